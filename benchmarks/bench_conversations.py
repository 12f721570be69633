"""How well ``ledger.talk.conversations`` tells conversations apart, against hand-annotated reply links.

    python benchmarks/bench_conversations.py LINKS.jsonl.gz [--out benchmarks/results]

LINKS holds one message a line: ``file``, ``idx``, ``date``, ``time`` (HH:MM), ``author``,
``content``, ``gold`` (annotated or mere context) and ``parents`` (``idx`` of the messages answered),
the form of Kummerfeld et al., "A Large-Scale Corpus for Conversation Disentanglement", ACL 2019.
Names are resolved with the importers' own rules. Prints and writes figures alone: no names, no text.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import platform
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ledger.clock import to_ms
from ledger.records import Message
from ledger.talk.conversations import around, disentangle
from trainer.importing.addressing import ChannelVoices
from trainer.importing.message_drafts import ExportedChannel, MessageDraft, stable_id

GAP_MINUTES = 15.0
CONTEXT = 16
Clusters = Mapping[int, Hashable]
Method = Callable[[Sequence[Message]], list[list[Message]]]


@dataclass(frozen=True)
class Log:
    """One annotated channel: all messages, and the conversation and parents of the annotated ones."""

    messages: list[Message]
    gold: dict[int, int]
    parents: dict[int, list[int]]


def load(path: Path) -> list[Log]:
    """Read the annotated logs; minutes become times in order, names become ids."""
    files: dict[str, list[dict[str, Any]]] = defaultdict(list)
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            value = json.loads(line)
            files[value["file"]].append(value)
    return [_log(rows) for rows in files.values()]


def _log(rows: list[dict[str, Any]]) -> Log:
    voices = ChannelVoices()
    channel = ExportedChannel(1, "", 1, "")
    drafts = []
    for row, moment in zip(rows, _moments(rows), strict=True):
        author = stable_id(row["author"].casefold())
        message = Message(row["idx"] + 1, 1, 1, author, row["author"], row["content"], moment)
        drafts.append(MessageDraft(channel, message, (row["author"],)))
        voices.hear(drafts[-1])
    messages = [replace(draft.message, mentions=voices.addressed(draft.message.content)) for draft in drafts]
    parents = {row["idx"] + 1: [parent + 1 for parent in row["parents"]] for row in rows if row["gold"]}
    return Log(messages, _components(parents), parents)


def _moments(rows: Sequence[Mapping[str, Any]]) -> list[int]:
    """Spread the messages of a minute over it; a clock that runs backwards has passed midnight."""
    minutes: list[datetime] = []
    for row in rows:
        moment = datetime.fromisoformat(f"{row['date']}T{row['time']}").replace(tzinfo=UTC)
        while minutes and moment < minutes[-1] - timedelta(hours=12):
            moment += timedelta(days=1)
        minutes.append(max([moment, *minutes[-1:]]))
    total, seen, moments = Counter(minutes), Counter[datetime](), []
    for moment in minutes:
        moments.append(to_ms(moment) + 60_000 * seen[moment] // total[moment])
        seen[moment] += 1
    return moments


def _components(parents: Mapping[int, list[int]]) -> dict[int, int]:
    """Return the conversation of each annotated message: whatever links connect."""
    root: dict[int, int] = {}

    def find(node: int) -> int:
        while root.setdefault(node, node) != node:
            node = root[node]
        return node

    for child, answered in parents.items():
        for parent in answered:
            root[find(child)] = find(parent)
    return {child: find(child) for child in parents}


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


def by_rules(minutes: float) -> Method:
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


def measure(name: str, method: Method, logs: Sequence[Log]) -> list[str]:
    """Return one table row."""
    pairs: list[tuple[Clusters, Clusters]] = [(log.gold, predicted(method, log)) for log in logs]
    size = sum(len(gold) for gold, _ in pairs)
    vi = sum(scaled_vi(*pair) * len(pair[0]) for pair in pairs) / size
    overlap = sum(one_to_one(*pair) * len(pair[0]) for pair in pairs) / size
    figures = [vi, overlap, *exact(pairs), *context_quality(method, logs)]
    return [name, *(f"{figure:.1f}" for figure in figures)]


HEAD = ["method", "VI", "1-1", "exact P", "exact R", "exact F1", "answered seen", "window pure"]


def table(logs: Sequence[Log]) -> list[list[str]]:
    rows = [measure(f"time gap {gap:g} min", by_gap(gap), logs) for gap in (1, 2, 5, 15)]
    rows += [measure(f"rules, {gap:g} min", by_rules(gap), logs) for gap in (2, 5, GAP_MINUTES, 30)]
    return rows


def serving_agrees(logs: Sequence[Log], each: int = 25) -> bool:
    """Tell whether the window at serving time equals the one in training, for some messages a log."""
    gap = round(GAP_MINUTES * 60_000)
    for log in logs:
        home = {m.id: (c, n) for c in disentangle(log.messages, gap_ms=gap) for n, m in enumerate(c)}
        for message in log.messages[:: max(1, len(log.messages) // each)]:
            conversation, index = home[message.id]
            served = around(log.messages, message.id, gap_ms=gap, limit=CONTEXT)
            if served != conversation[: index + 1][-CONTEXT:]:
                return False
    return True


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("links", type=Path)
    parser.add_argument("--out", type=Path, help="folder to write conversations-<date>.md into")
    arguments = parser.parse_args()
    logs = load(arguments.links)
    began = time.perf_counter()
    rows = table(logs)
    seconds = time.perf_counter() - began
    lines = [f"| {' | '.join(cells)} |" for cells in (HEAD, ["---"] * len(HEAD), *rows)]
    messages = [message for log in logs for message in log.messages]
    addressed = sum(bool(message.mentions) for message in messages)
    notes = [
        f"{len(logs)} logs, {len(messages):,} messages, {sum(len(log.gold) for log in logs):,} annotated; "
        f"{100 * addressed / len(messages):.1f} % name whom they answer. Percent, higher is better.",
        f"Serving and training windows agree: {'yes' if serving_agrees(logs) else 'NO'}. "
        f"Measured in {seconds:.1f} s on {platform.machine()}, Python {platform.python_version()}.",
    ]
    print("\n".join([*lines, "", *notes]))
    if arguments.out:
        today = datetime.now(UTC).date().isoformat()
        text = "\n".join([f"# Conversations told apart, {today}", "", *lines, "", *notes, ""])
        (arguments.out / f"conversations-{today}.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
