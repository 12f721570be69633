"""How well ``ledger.talk`` tells links and conversations, against hand-annotated reply links.

    python benchmarks/bench_conversations.py LOGS… [--unnamed EXPORT.json.gz…] [--out benchmarks/results]

LOGS are annotated logs (see ``annotated_logs``); each has a row as it is, and one without names. EXPORT are
real channels without annotation: whoever leads with somebody's name shows whom they answer, so the name is
taken away there, and the share of messages that are still linked to that person is counted. Writes
figures: no names, no text.
"""

from __future__ import annotations

import argparse
import math
import platform
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from annotated_logs import Log, load, load_export, without_names
from ledger.records import Message
from ledger.talk.conversations import around, disentangle
from ledger.talk.links import links

GAP_MINUTES = 15.0
CONTEXT = 16
Clusters = Mapping[int, Hashable]
Method = Callable[[Sequence[Message]], list[list[Message]]]


def by_gap(minutes: float) -> Method:
    """The baseline: a silence ends the channel's only conversation."""

    def split(messages: Sequence[Message]) -> list[list[Message]]:
        found: list[list[Message]] = []
        for message in messages:
            if not found or message.created_at - found[-1][-1].created_at > minutes * 60_000:
                found.append([])
            found[-1].append(message)
        return found

    return split


def by_links(minutes: float) -> Method:
    """What Nightschool does."""
    return lambda messages: disentangle(messages, gap_ms=round(minutes * 60_000))


def predicted(method: Method, log: Log) -> dict[int, int]:
    """Return the conversation that ``method`` puts each annotated message into."""
    return {
        message.id: number
        for number, conversation in enumerate(method(log.messages))
        for message in conversation
        if message.id in log.gold
    }


def scaled_vi(gold: Clusters, found: Clusters) -> float:
    """Return 100 (1 - VI / log2 n): variation of information (Meila 2007), higher is better."""
    size = len(gold)
    joint = Counter((gold[item], found[item]) for item in gold)
    left, right = Counter(gold.values()), Counter(found[item] for item in gold)
    distance = -sum(
        count / size * (math.log2(count / left[a]) + math.log2(count / right[b]))
        for (a, b), count in joint.items()
    )
    return 100 * (1 - distance / math.log2(size))


def one_to_one(gold: Clusters, found: Clusters) -> float:
    """Return the percentage of messages under the best pairing of conversations (Elsner 2008)."""
    rows, columns = sorted(set(gold.values()), key=str), sorted({found[item] for item in gold}, key=str)
    overlap = np.zeros((len(rows), len(columns)), dtype=np.int64)
    row_of, column_of = {v: i for i, v in enumerate(rows)}, {v: i for i, v in enumerate(columns)}
    for item in gold:
        overlap[row_of[gold[item]], column_of[found[item]]] += 1
    return 100 * best_pairing(overlap) / len(gold)


def best_pairing(gain: np.ndarray) -> int:
    """Return the largest sum of one entry a row and column (Hungarian method, O(n^2 m))."""
    if gain.shape[0] > gain.shape[1]:
        gain = gain.T
    cost = -np.pad(gain, ((1, 0), (1, 0))).astype(float)
    height, width = gain.shape
    row_price, column_price = np.zeros(height + 1), np.zeros(width + 1)
    owner = np.zeros(width + 1, dtype=int)
    for row in range(1, height + 1):
        owner[0], column = row, 0
        slack, way, used = np.full(width + 1, np.inf), np.zeros(width + 1, int), np.zeros(width + 1, bool)
        while owner[column]:
            used[column] = True
            reduced = cost[owner[column]] - row_price[owner[column]] - column_price
            better = ~used & (reduced < slack)
            better[0] = False
            slack[better], way[better] = reduced[better], column
            free = np.where(used, np.inf, slack)
            free[0] = np.inf
            following = int(free.argmin())
            step = free[following]
            row_price[owner[used]] += step
            column_price[used] -= step
            slack[~used] -= step
            column = following
        while column:
            owner[column] = owner[way[column]]
            column = int(way[column])
    return int(sum(gain[owner[column] - 1, column - 1] for column in range(1, width + 1) if owner[column]))


def exact(logs: Iterable[tuple[Clusters, Clusters]]) -> tuple[float, float, float]:
    """Return precision, recall and F1 in percent of conversations of two and more found exactly."""
    right = told = wanted = 0
    for gold, found in logs:
        a, b = _sets(gold), _sets({item: found[item] for item in gold})
        right, told, wanted = right + len(a & b), told + len(b), wanted + len(a)
    precision, recall = right / max(told, 1), right / max(wanted, 1)
    return 100 * precision, 100 * recall, 200 * precision * recall / max(precision + recall, 1e-9)


def _sets(clusters: Clusters) -> set[frozenset[int]]:
    groups: dict[Hashable, set[int]] = defaultdict(set)
    for item, cluster in clusters.items():
        groups[cluster].add(item)
    return {frozenset(group) for group in groups.values() if len(group) > 1}


def context_quality(method: Method, logs: Sequence[Log], limit: int = CONTEXT) -> tuple[float, float]:
    """Return what a model would see of it: share of answered messages that stand in the window of
    ``limit`` messages in front of their answer, and share of that window that is of the same
    conversation, both in percent (annotated messages alone).
    """
    seen = answered = same = shown = 0
    for log in logs:
        for conversation in method(log.messages):
            ids = [message.id for message in conversation]
            for index, item in enumerate(ids):
                if not log.parents.get(item):
                    continue
                window = ids[max(0, index - limit + 1) : index]
                answered += 1
                seen += any(parent in window for parent in log.parents[item])
                known = [other for other in window if other in log.gold]
                shown += len(known)
                same += sum(log.gold[other] == log.gold[item] for other in known)
    return 100 * seen / max(answered, 1), 100 * same / max(shown, 1)


def link_quality(logs: Sequence[Log], gap_ms: int) -> tuple[float, float, float]:
    """Return precision, recall and F1 in percent of links; a start counts as a link of its own, as in the
    corpus' own evaluation, and a message that answers two has two links of which one can be found.
    """
    right = told = wanted = 0
    for log in logs:
        found = {link.message: link.parent for link in links(log.messages, gap_ms=gap_ms)}
        for item, parents in log.parents.items():
            told, wanted = told + 1, wanted + max(1, len(parents))
            right += found[item] in (parents or (None,))
    precision, recall = right / max(told, 1), right / max(wanted, 1)
    return 100 * precision, 100 * recall, 200 * precision * recall / max(precision + recall, 1e-9)


HEAD = ["logs", "naming", "link P", "link R", "link F1", "VI", "1-1", "exact P", "exact R", "exact F1"]
HEAD += ["answered seen", "window pure", "ms a message"]


def measure(name: str, logs: Sequence[Log]) -> list[str]:
    """Return one table row."""
    gap_ms, method = round(GAP_MINUTES * 60_000), by_links(GAP_MINUTES)
    messages = [message for log in logs for message in log.messages]
    named = 100 * sum(bool(message.mentions) for message in messages) / len(messages)
    began = time.process_time()
    quality = link_quality(logs, gap_ms)
    spent = 1000 * (time.process_time() - began) / len(messages)
    figures = [named, *quality, *cluster_quality(method, logs), *context_quality(method, logs)]
    return [name, *(f"{figure:.1f}" for figure in figures), f"{spent:.2f}"]


def cluster_quality(method: Method, logs: Sequence[Log]) -> tuple[float, ...]:
    """Return VI, one-to-one overlap, and precision, recall and F1 of exact conversations, in percent."""
    pairs: list[tuple[Clusters, Clusters]] = [(log.gold, predicted(method, log)) for log in logs]
    size = sum(len(gold) for gold, _ in pairs)
    vi = sum(scaled_vi(*pair) * len(pair[0]) for pair in pairs) / size
    overlap = sum(one_to_one(*pair) * len(pair[0]) for pair in pairs) / size
    return vi, overlap, *exact(pairs)


def unnamed(messages: Sequence[Message], gap_ms: int, every: int = 5) -> tuple[int, int, int]:
    """Hide whom every fifth naming message leads with; return how many, how many of these are linked to that
    person's words, and to how many distinct conversations all messages come.

    Only names of somebody who spoke within the gap count; the author's own words are no answer.
    """
    hidden, spoke, wanted, count = list(messages), dict[int, int](), dict[int, int](), 0
    for place, message in enumerate(messages):
        lead = message.content.casefold().split(maxsplit=1)
        person = message.mentions[0] if len(message.mentions) == 1 and len(lead) == 2 else None
        if (
            person is not None
            and message.created_at - spoke.get(person, -gap_ms) < gap_ms
            and person != message.author_id
        ):
            count += 1
            if count % every == 0:
                wanted[message.id] = person
                hidden[place] = replace(message, mentions=(), content=message.content.split(maxsplit=1)[1])
        spoke[message.author_id] = message.created_at
    author = {message.id: message.author_id for message in messages}
    found = links(hidden, gap_ms=gap_ms)
    hits = sum(link.parent is not None and author[link.parent] == wanted.get(link.message) for link in found)
    return len(wanted), hits, sum(link.parent is None for link in found)


def serving_agrees(logs: Sequence[Log], each: int = 25) -> bool:
    """Tell whether the window at serving time equals the one in training, for some messages a log."""
    gap = round(GAP_MINUTES * 60_000)
    for log in logs:
        home = {m.id: (c, n) for c in disentangle(log.messages, gap_ms=gap) for n, m in enumerate(c)}
        for message in log.messages[:: max(1, len(log.messages) // each)]:
            conversation, index = home[message.id]
            served = around(log.messages, message.id, gap_ms=gap, limit=CONTEXT)
            if not served or served != conversation[index + 1 - len(served) : index + 1]:
                return False
    return True


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("logs", type=Path, nargs="+")
    parser.add_argument("--unnamed", type=Path, nargs="+", default=[], help="channels without annotation")
    parser.add_argument("--out", type=Path, help="folder to write conversations-<date>.md into")
    arguments = parser.parse_args()
    everything = {path.name.split(".")[0]: load(path) for path in arguments.logs}
    everything |= {
        f"{name}, no names": [without_names(log) for log in logs] for name, logs in everything.items()
    }
    rows = [measure(name, logs) for name, logs in everything.items()]
    lines = [f"| {' | '.join(cells)} |" for cells in (HEAD, ["---"] * len(HEAD), *rows)]
    agrees = all(serving_agrees(logs[:10], each=5) for logs in everything.values())
    notes = [
        "Percent, higher is better. Serving and training windows agree: " + ("yes." if agrees else "NO."),
        f"{platform.machine()}, Python {platform.python_version()}, one core.",
    ]
    for path in arguments.unnamed:
        messages = load_export(path)
        count, hits, starts = unnamed(messages, round(GAP_MINUTES * 60_000))
        notes.append(
            f"{len(messages):,} messages without annotation, {starts:,} conversations: of {count:,} whose "
            f"leading name was hidden, {100 * hits / count:.1f} % are linked to that person's words."
        )
    print("\n".join([*lines, "", *notes]))
    if arguments.out:
        today = datetime.now(UTC).date().isoformat()
        text = "\n".join([f"# Conversations told apart, {today}", "", *lines, "", *notes, ""])
        (arguments.out / f"conversations-{today}.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
