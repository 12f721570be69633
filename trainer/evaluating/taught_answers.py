"""Whether what people taught is known in the morning: each taught question is asked once.

Reads the dataset's lines; the model answers with its likeliest words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ledger.talk.prompts import asked
from trainer.evaluating.switched_model import CANDIDATE, SwitchedModel
from trainer.preparing.dataset_files import read_lines, targets_of

KNOWN_SHARE = 0.7
"""Share of the taught answer's words that have to come back, of those that the question does not give away:
its facts do, in another order or with a filler left out. Of all words, 16 of 20 replies had so many, and 7
of them the fact: a reply in the answer's manner repeats the question."""
MAX_TOKENS = 60
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class TaughtPair:
    """The turns up to the begun answer, and the answer that was taught."""

    turns: tuple[Mapping[str, Any], ...] = field(repr=False)
    answer: str = field(repr=False)

    @property
    def question(self) -> str:
        """The user's turn that the answer follows; behind it stands the begun answer."""
        asked = [str(turn["content"]) for turn in self.turns if turn["role"] == "user"]
        return asked[-1] if asked else ""


def taught_pairs(dataset_dir: Path) -> list[TaughtPair]:
    """Return each taught pair of the training part once."""
    found: dict[int, TaughtPair] = {}
    for line in read_lines(dataset_dir, "train"):
        if line.get("taught") and line["targets"]:
            target = targets_of(line)[-1]
            turn, start, end = target
            answer = str(line["messages"][turn]["content"])[start:end].strip()
            found[line["conversation"]] = TaughtPair(tuple(asked(line["messages"], target)), answer)
    return list(found.values())


def known_pairs(model: SwitchedModel, pairs: Sequence[TaughtPair], *, scale: float, seed: int) -> int:
    """Return how many of the pairs the candidate knows."""
    if not pairs:
        return 0
    replies = model.write(
        CANDIDATE,
        [pair.turns for pair in pairs],
        scale=scale,
        max_new_tokens=MAX_TOKENS,
        temperature=0.0,
        seed=seed,
    )
    return sum(
        is_known(pair.answer, reply.text, question=pair.question)
        for pair, reply in zip(pairs, replies, strict=True)
    )


def is_known(answer: str, reply: str, *, question: str = "") -> bool:
    """Tell whether the reply says what the answer says beyond the question, with every number in it."""
    whole = _words(answer)
    wanted = whole - _words(question) or whole
    said = _words(reply)
    numbers = {word for word in wanted if any(map(str.isdigit, word))}
    return bool(wanted) and numbers <= said and len(wanted & said) >= KNOWN_SHARE * len(wanted)


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text.casefold()))


__all__ = ["TaughtPair", "is_known", "known_pairs", "taught_pairs"]
