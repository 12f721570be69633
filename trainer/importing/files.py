"""Which files an import consists of, how each is opened, and which format it has.

Formats are recognised by content, since people rename exports: zip and gzip by their first bytes, the
others by how their text begins.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Literal, cast

from ledger.errors import ImportRefused
from trainer.importing.json_text import ByteSource, Malformed, TextSource
from trainer.importing.message_drafts import FileReading

Format = Literal["chat export", "data package", "json lines"]

MAX_RATIO = 200
"""Chat compresses five- to twentyfold; a file that grows more than this when unpacked is a trap."""
SMALL_BYTES = 16 << 20  # up to this size unpacked, no ratio is asked for

_SUFFIXES = (".json", ".json.gz", ".jsonl", ".jsonl.gz", ".ndjson", ".ndjson.gz", ".zip")
_HINT = (
    "give DiscordChatExporter JSON (`--format Json`), a Discord data package (.zip) or JSON lines with "
    "channel, author, content and timestamp"
)


def collected(paths: Iterable[Path]) -> tuple[list[Path], list[str]]:
    """Return the files that ``paths`` name, and a sentence for each path that names none.

    It searches folders, names no file twice, and keeps the parts of an export in order.

    Raises:
        ImportRefused: there is no file at all.
    """
    found: dict[Path, None] = {}
    problems: list[str] = []
    for path in paths:
        try:
            for file in _inside(path) if path.is_dir() else [path]:
                if file.is_file():  # no pipe and no device: reading one could wait for ever
                    found[file.resolve()] = None
                else:
                    problems.append(f"There is no file or folder {shown(file)}; check the path.")
        except OSError as error:
            problems.append(f"{shown(path)} cannot be searched ({error.strerror}); check its permissions.")
        except ImportRefused as error:
            problems.append(str(error))
    if not found:
        raise ImportRefused(" ".join(problems) or "No file was named to be imported.")
    return list(found), problems


def _inside(folder: Path) -> list[Path]:
    """Return the files in a folder that could be exports, in order.

    Raises:
        ImportRefused: there are none.
    """
    named = [path for path in folder.rglob("*") if path.name.lower().endswith(_SUFFIXES)]
    files = [path for path in named if not path.is_dir()]
    if not files:
        raise ImportRefused(f"The folder {shown(folder)} holds no export; {_HINT}.")
    return sorted(files, key=_by_numbers)


def _by_numbers(path: Path) -> list[tuple[int, str]]:
    """Sort "[part 2]" in front of "[part 10]"."""
    return [(int(part) if part.isdecimal() else -1, part) for part in re.split(r"(\d+)", str(path))]


def shown(path: Path) -> str:
    """Return a path in printable form: file names need not be valid text."""
    return str(path).encode("utf-8", "backslashreplace").decode()


def most_unpacked(size: int) -> int:
    """Return how many bytes a packed file of ``size`` bytes may unpack to."""
    return max(SMALL_BYTES, MAX_RATIO * size)


class _Counting(io.RawIOBase):
    """A file that notes in ``reading`` which share of it has been read."""

    def __init__(self, file: BinaryIO, reading: FileReading, size: int) -> None:
        self._file, self._reading, self._size = file, reading, max(size, 1)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        self._reading.share = min(1.0, self._file.tell() / self._size)
        return len(data)


@contextmanager
def opened(reading: FileReading) -> Iterator[TextSource]:
    """Open a text file, through gzip if it begins like one.

    Raises:
        Malformed: it cannot be opened.
    """
    try:
        file = reading.path.open("rb")
    except OSError as error:
        raise Malformed(f"it cannot be opened ({error.strerror})") from error
    with file:
        packed = file.read(2) == b"\x1f\x8b"  # gzip's first bytes, whatever the file is called
        file.seek(0)
        size = os.fstat(file.fileno()).st_size
        raw = io.BufferedReader(_Counting(file, reading, size), 1 << 18)
        if packed:
            yield TextSource(cast(ByteSource, gzip.GzipFile(fileobj=raw)), limit=most_unpacked(size))
        else:
            yield TextSource(cast(ByteSource, raw))


def format_of(path: Path) -> Format:
    """Return the file's format.

    Raises:
        Malformed: it has none of them; the text says what it looks like.
    """
    with path.open("rb") as file:
        if file.read(4) in (b"PK\x03\x04", b"PK\x05\x06"):
            return "data package"
    # 64 Ki characters at most: enough for the first line of JSON lines, and no file is read whole for this.
    with opened(FileReading(path)) as source:
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
    except (ValueError, RecursionError):
        return False  # its reader will say what is wrong with it
    return isinstance(value, dict) and "content" in value and "messages" not in value
