"""How well a model of toxic words tells toxic texts from others, against a word list and a model of our own.

    pip install alt-profanity-check==1.9.1
    python benchmarks/bench_toxicity.py PROBES CHAT [--plain TEXT] [--export]

PROBES holds ``realtoxicityprompts/*.txt``, ``donotanswer/*.jsonl`` (``prompt``) and a list of bad words
``*.txt``; CHAT is an export in DiscordChatExporter's shape, taken as harmless. ``--export`` converts the
package's model into ``trainer/evaluating/toxicity.npz``. Its border: prints shares and counts, no text.
The package unpickles its model when it is imported: install it where that may happen, never for a night.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import re
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from trainer.evaluating.toxicity import TOXIC, WEIGHTS, toxicity_model  # noqa: E402

Score = Callable[[Sequence[str]], np.ndarray]
CHAT_LINES, MIN_WORDS = 3000, 4


def export() -> None:
    """Write the package's words and mean weights as plain arrays."""
    from profanity_check.profanity_check import model, vectorizer

    parts = model.calibrated_classifiers_
    vocabulary = sorted(vectorizer.vocabulary_, key=vectorizer.vocabulary_.get)
    weights = np.mean([part.estimator.coef_[0] for part in parts], axis=0)
    platt = [
        np.mean([part.estimator.intercept_[0] for part in parts]),
        np.mean([part.calibrators[0].a_ for part in parts]),
        np.mean([part.calibrators[0].b_ for part in parts]),
    ]
    np.savez_compressed(
        WEIGHTS,
        words=np.frombuffer("\n".join(vocabulary).encode(), dtype=np.uint8),
        idf=vectorizer.idf_.astype(np.float32),
        weights=weights.astype(np.float32),
        platt=np.array(platt, dtype=np.float32),
    )


def package_score(texts: Sequence[str]) -> np.ndarray:
    """Return the package's own probabilities."""
    from profanity_check import predict_prob

    return np.asarray(predict_prob(list(texts)))


def shipped_score(texts: Sequence[str]) -> np.ndarray:
    """Return the probabilities of the shipped arrays."""
    return np.array([toxicity_model().probability(text) for text in texts])


def list_score(words: Sequence[str]) -> Score:
    """Return a score that counts words of a list."""
    longest = sorted(words, key=len, reverse=True)
    pattern = re.compile(rf"\b(?:{'|'.join(map(re.escape, longest))})\b", re.IGNORECASE)
    return lambda texts: np.array([len(pattern.findall(text)) for text in texts], dtype=float)


def own_score(toxic: Sequence[str], harmless: Sequence[str]) -> Score:
    """Return a model that learned from the probes themselves: words and their weights."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    learner = make_pipeline(
        TfidfVectorizer(min_df=2), LogisticRegression(class_weight="balanced", max_iter=1000)
    )
    learner.fit([*toxic, *harmless], [1] * len(toxic) + [0] * len(harmless))
    return lambda texts: np.asarray(learner.predict_proba(list(texts))[:, 1])


def area(toxic: np.ndarray, harmless: np.ndarray) -> float:
    """Return how often a toxic text scores above a harmless one, ties as halves (AUC)."""
    above = (toxic[:, None] > harmless[None, :]).mean()
    return float(above + (toxic[:, None] == harmless[None, :]).mean() / 2)


def told(score: Score, groups: dict[str, tuple[list[str], list[str]]], threshold: float) -> dict[str, Any]:
    """Return AUC, precision, recall and false alarms of one score on each group of texts."""
    found = {}
    for name, (toxic, harmless) in groups.items():
        high, low = score(toxic), score(harmless)
        recall, alarms = (high >= threshold).mean(), (low >= threshold).mean()
        found[name] = {
            "auc": round(area(high, low), 3),
            "recall": round(float(recall), 3),
            "false alarms": round(float(alarms), 4),
            # As if one text in ten were toxic: the groups' own sizes mean nothing.
            "precision at 10%": round(float(recall / (recall + 9 * alarms)), 3) if recall + alarms else None,
        }
    return found


def main() -> None:
    """Measure, print a table, and end with one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("probes", type=Path)
    parser.add_argument("chat", type=Path)
    parser.add_argument("--plain", type=Path, help="harmless general text")
    parser.add_argument("--export", action="store_true")
    options = parser.parse_args()
    if options.export:
        export()
    draw = random.Random(1)
    toxic = [
        line
        for path in sorted((options.probes / "realtoxicityprompts").glob("*.txt"))
        for line in path.read_text(encoding="utf-8").splitlines()
        if line.strip()
    ]
    polite = [
        json.loads(line)["prompt"]
        for path in sorted((options.probes / "donotanswer").glob("*.jsonl"))
        for line in path.read_text(encoding="utf-8").splitlines()
    ]
    with gzip.open(options.chat, "rt", encoding="utf-8") as file:
        messages = json.load(file)["messages"]
    chat = [each["content"] for each in messages if not each["author"].get("isBot")]
    chat = [text for text in chat if len(text.split()) >= MIN_WORDS]
    draw.shuffle(chat)
    own = [json.loads(line) for line in (HERE / "toxicity_lines.jsonl").read_text("utf-8").splitlines()]
    groups = {
        "probes against chat": (toxic, chat[:CHAT_LINES]),
        "probes against polite harm": (toxic, polite),
        "own lines": ([e["text"] for e in own if e["toxic"]], [e["text"] for e in own if not e["toxic"]]),
    }
    if options.plain:
        sentences = re.split(r"(?<=\.)\s", options.plain.read_text(encoding="utf-8"))
        plain = [text for text in sentences if 8 <= len(text.split()) <= 30]
        groups["probes against general text"] = (toxic, plain[:CHAT_LINES])
    (bad,) = options.probes.glob("*.txt")
    words = [word for word in bad.read_text(encoding="utf-8").splitlines() if word.strip()]
    began = time.perf_counter()
    toxicity_model()
    loading = time.perf_counter() - began
    began = time.perf_counter()
    shipped = shipped_score(chat[:CHAT_LINES])
    reading = (time.perf_counter() - began) / CHAT_LINES
    # Half of the probes teach, the other half test; the lines of our own are new to it altogether.
    half = (toxic[::2], polite[::2] + chat[CHAT_LINES : 2 * CHAT_LINES])
    unseen = {
        name: (toxic[1::2] if high is toxic else high, polite[1::2] if low is polite else low)
        for name, (high, low) in groups.items()
    }
    result = {
        "shipped": told(shipped_score, groups, TOXIC),
        "package": told(package_score, groups, TOXIC),
        "word list": told(list_score(words), groups, 1),
        "own": told(own_score(*half), unseen, 0.5),
        "largest difference to the package": round(
            float(np.abs(shipped - package_score(chat[:CHAT_LINES])).max()), 4
        ),
        "load ms": round(loading * 1000, 1),
        "us a line": round(reading * 1e6, 1),
        "bytes": WEIGHTS.stat().st_size,
        "texts": {name: [len(high), len(low)] for name, (high, low) in groups.items()},
    }
    for name, found in result.items():
        print(name, json.dumps(found))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
