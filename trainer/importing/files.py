"""Which files an import is made of, how each is opened, and which reader fits it.

Formats are told by their content, since exports get renamed; only the zip of a data package and
gzip are told by their first bytes.
"""

from __future__ import annotations

import gzip
import io
import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Literal, cast

from ledger.errors import ImportRefused
from trainer.importing.drafts import Reading
from trainer.importing.json_text import ByteSource, Malformed, TextSource

Format = Literal["chat export", "data package", "json lines"]

_SUFFIXES = (".json", ".json.gz", ".jsonl", ".jsonl.gz", ".ndjson", ".ndjson.gz", ".zip")
_HINT = (
    "give DiscordChatExporter JSON (`--format Json`), a Discord data package (.zip) or JSON lines with "
    "channel, author, content and timestamp"
)


def collected(paths: Iterable[Path]) -> list[Path]:
    """Return the files that ``paths`` name: folders searched, no file twice, parts in their order.

    Raises:
        ImportRefused: a path does not exist, or a folder holds nothing that could be an export.
    """
    found: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            inside = [file for file in path.rglob("*") if file.name.lower().endswith(_SUFFIXES)]
            if not inside:
                raise ImportRefused(f"The folder {path} holds no export; {_HINT}.")
            found.update((file.resolve(), None) for file in sorted(inside, key=_by_numbers))
        elif path.is_file():
            found[path.resolve()] = None
        else:
            raise ImportRefused(f"There is no file or folder {path}; check the path.")
    return list(found)


def _by_numbers(path: Path) -> list[tuple[int, str]]:
    """Sort "[part 2]" in front of "[part 10]"."""
    return [(int(part) if part.isdigit() else -1, part) for part in re.split(r"(\d+)", str(path))]


class _Counting(io.RawIOBase):
    """A file that notes in ``reading`` which share of its bytes has been read."""

    def __init__(self, file: BinaryIO, reading: Reading, size: int) -> None:
        self._file, self._reading, self._size = file, reading, max(size, 1)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        self._reading.share = min(1.0, self._file.tell() / self._size)
        return len(data)


@contextmanager
def opened(reading: Reading) -> Iterator[TextSource]:
    """Open a text file, through gzip if its first bytes say so.

    Raises:
        Malformed: it cannot be opened.
    """
    try:
        file = reading.path.open("rb")
    except OSError as error:
        raise Malformed(f"it cannot be opened ({error.strerror})") from error
    with file:
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        raw = io.BufferedReader(_Counting(file, reading, reading.path.stat().st_size), 1 << 18)
        yield TextSource(cast(ByteSource, gzip.GzipFile(fileobj=raw) if packed else raw))


def format_of(path: Path) -> Format:
    """Return which of the formats the file has.

    Raises:
        Malformed: it is none of them; the text says what it looks like.
    """
    with path.open("rb") as file:
        if file.read(4) in (b"PK\x03\x04", b"PK\x05\x06"):
            return "data package"
    with opened(Reading(path)) as source:
        start = ""
        while len(start) < 1 << 16 and (piece := source.read()):
            start += piece
    start = start.lstrip()
    if not start:
        raise Malformed(f"it is empty; {_HINT}")
    if start.startswith("["):
        raise Malformed("it is a bare list, as inside a data package; give the whole package as .zip")
    if not start.startswith("{"):
        kind = "an HTML page" if start.startswith("<") else "no JSON"
        raise Malformed(f"it is {kind}; {_HINT}")
    return "json lines" if _is_line(start.split("\n", 1)[0]) else "chat export"


def _is_line(first: str) -> bool:
    try:
        value = json.loads(first)
    except ValueError:
        return False
    return isinstance(value, dict) and "content" in value and "messages" not in value
