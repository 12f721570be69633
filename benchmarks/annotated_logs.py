"""Chat logs with hand-annotated reply links, as the records that Nightschool works with.

Two forms are read, both of Kummerfeld et al., "A Large-Scale Corpus for Conversation Disentanglement",
ACL 2019 (CC-BY-4.0): JSON lines with ``file``, ``idx``, ``date``, ``time`` (HH:MM), ``author``,
``content``, ``gold`` (annotated or mere context) and ``parents`` (``idx`` of the messages answered), and
the corpus' own folders of ``*.ascii.txt`` beside ``*.annotation.txt``. Names are resolved with the
importers' own rules.
"""

from __future__ import annotations

import gzip
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ledger.clock import to_ms
from ledger.records import Message
from trainer.importing.addressing import ChannelVoices
from trainer.importing.message_drafts import ExportedChannel, MessageDraft, stable_id

_LINE = re.compile(r"(?:\S+ (?P<date>\d{4}-\d\d-\d\d) )?\[(?P<time>\d\d:\d\d)(?::\d\d)?\]\s*<([^>]*)>\s?(.*)")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
UNDATED = "2008-01-01"


@dataclass(frozen=True)
class Log:
    """One annotated channel: all messages, and the conversation and parents of the annotated ones."""

    name: str
    messages: list[Message]
    gold: dict[int, int]
    parents: dict[int, list[int]]


def load(path: Path) -> list[Log]:
    """Read the annotated logs; minutes become times in order, names become ids."""
    files: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in _folder_rows(path) if path.is_dir() else _json_rows(path):
        files[row["file"]].append(row)
    return [_log(rows) for rows in files.values()]


def load_export(path: Path) -> list[Message]:
    """Read one channel in DiscordChatExporter's form, people alone, without annotation."""
    with gzip.open(path, "rt", encoding="utf-8-sig") as file:
        rows = [row for row in json.load(file)["messages"] if not row["author"].get("isBot")]
    voices, channel = ChannelVoices(), ExportedChannel(1, "", 1, "")
    drafts = []
    for row in rows:
        name, author = row["author"]["name"], stable_id(row["author"]["name"].casefold())
        moment = to_ms(datetime.fromisoformat(row["timestamp"]))
        drafts.append(
            MessageDraft(
                channel, Message(int(row["id"]), 1, 1, author, name, row["content"], moment), (name,)
            )
        )
        voices.hear(drafts[-1])
    return [replace(draft.message, mentions=voices.addressed(draft.message.content)) for draft in drafts]


def without_names(log: Log) -> Log:
    """Return the log as if nobody led with a name or mentioned anybody, as in most Discord channels."""
    return replace(log, messages=[unnamed(message) for message in log.messages])


def unnamed(message: Message) -> Message:
    """Return the message without the name that it leads with, and without mentions."""
    if not message.mentions:
        return message
    lead, _, rest = message.content.partition(" ")
    content = rest.lstrip() if lead[-1:] in (":", ",") or lead[:1] == "@" else message.content
    return replace(message, mentions=(), content=content or message.content)


def _json_rows(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def _folder_rows(folder: Path) -> Iterator[dict[str, Any]]:
    for text in sorted(folder.glob("*.ascii.txt")):
        name = text.name.removesuffix(".ascii.txt")
        links = _annotation(text.with_name(f"{name}.annotation.txt"))
        named = _DATE.match(name)
        for number, line in enumerate(text.read_text(encoding="utf-8", errors="replace").split("\n")):
            found = _LINE.match(line)
            if found is None:
                continue  # who came and went
            yield {
                "file": name,
                "idx": number,
                "date": found["date"] or (named[0] if named else UNDATED),
                "time": found["time"],
                "author": found[3],
                "content": found[4].rstrip(),
                "gold": number in links,
                "parents": sorted(links.get(number, ())),
            }


def _annotation(path: Path) -> dict[int, set[int]]:
    """Return what each annotated line answers; a line that is linked to itself alone answers nothing."""
    links: dict[int, set[int]] = defaultdict(set)
    for line in path.read_text(encoding="utf-8").splitlines():
        numbers = [int(part) for part in line.split() if part != "-"]
        if numbers:
            links[max(numbers)] |= set(numbers) - {max(numbers)}
    return links


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
    return Log(rows[0]["file"], messages, components(parents), parents)


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


def components(parents: Mapping[int, Iterable[int]]) -> dict[int, int]:
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
