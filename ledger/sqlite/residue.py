"""Find what SQLite leaves of deleted text in pages that are in use.

``secure_delete`` overwrites deleted cells and freed pages. When pages split or merge, though, SQLite
copies cells and leaves the old copies in the gap between a page's pointers and its content, where
they outlive the row. This looks into those gaps, by SQLite's documented file format, and never writes.

It looks in a process of its own, which runs this file alone. On systems with POSIX locks, a process that
closes a file loses SQLite's locks on it: another process would then believe that it is the last one with
the database open and remove the write-ahead log under this one (in 9 to 13 of 80 rounds, measured). And a
file that shrinks meanwhile takes down no more than that process.
"""

from __future__ import annotations

import mmap
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

TABLES = ("messages", "replies", "people")
"""Tables that hold members' text and names."""
_INTERIOR = (0x02, 0x05)
_KEYS_ALONE = 0x05
"""Kind of page that holds row numbers and pointers only."""
_CLEAN, _RESIDUE = 0, 3


def has_residue(path: Path) -> bool:
    """Tell whether a page of a table with text holds anything in its gap; the WAL has to be empty.

    Blocks for the 30 ms or so that a process takes to start, and for the look. A look that fails, as it may
    beside a process that rewrites the file, counts as a find.
    """
    # Isolated and without site-packages: it needs nothing but this file and the standard library.
    look = subprocess.run([sys.executable, "-I", "-S", __file__, str(path)], check=False)
    return look.returncode != _CLEAN


def _look(path: Path) -> bool:
    with closing(sqlite3.connect(path)) as connection:
        marks = ", ".join("?" * len(TABLES))
        rows = connection.execute(f"SELECT rootpage FROM sqlite_schema WHERE name IN ({marks})", TABLES)
        roots = [int(row[0]) for row in rows]
        size = int(connection.execute("PRAGMA page_size").fetchone()[0])
    with path.open("rb") as file, closing(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)) as data:
        return any(_holds_text(gap, size) for root in roots for gap in _gaps(data, root, size))


def _holds_text(gap: bytes, size: int) -> bool:
    """Tell whether the gap holds more than old pointers.

    Those stay where a page loses cells: pairs of bytes, the first below the page's size in 256ths. No
    two bytes of text in a row look so.
    """
    return max(gap[::2], default=0) >= size >> 8


def _gaps(data: mmap.mmap, root: int, size: int) -> Iterator[bytes]:
    """Yield what lies between pointers and content of each page of one b-tree."""
    waiting = [root]
    while waiting:
        number = waiting.pop()
        page = data[(number - 1) * size : number * size]
        if len(page) < size:
            continue  # written meanwhile; the next look sees it
        # The first page begins with the file's own header.
        head = 100 if number == 1 else 0
        interior = page[head] in _INTERIOR
        cells = int.from_bytes(page[head + 3 : head + 5], "big")
        # Two bytes cannot hold 65,536, so SQLite writes 0 for it.
        content = int.from_bytes(page[head + 5 : head + 7], "big") or 65536
        pointers = head + (12 if interior else 8)
        if page[head] != _KEYS_ALONE:
            yield page[pointers + 2 * cells : content]
        if interior:
            # The last child stands in the page's header, each other one in front of its cell.
            waiting.append(int.from_bytes(page[head + 8 : head + 12], "big"))
            for offset in range(pointers, pointers + 2 * cells, 2):
                cell = int.from_bytes(page[offset : offset + 2], "big")
                waiting.append(int.from_bytes(page[cell : cell + 4], "big"))


if __name__ == "__main__":
    sys.exit(_RESIDUE if _look(Path(sys.argv[1])) else _CLEAN)

__all__ = ["has_residue"]
