"""Locks between processes: a file that the operating system frees when its holder dies.

Knows a path and a text for others to read. Works on Linux and macOS, between processes and within one.
"""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


class Held(Exception):
    """Somebody else holds the lock; ``note`` is what they wrote into it."""

    def __init__(self, note: str) -> None:
        super().__init__(note)
        self.note = note


def night_lock_path(data_dir: Path, guild_id: int) -> Path:
    """Return the file that a guild's night holds locked while it lives."""
    return data_dir / f"night-{guild_id}.lock"


@contextmanager
def hold(path: Path) -> Iterator[Callable[[str], None]]:
    """Hold ``path`` locked; gives a function that writes a note into it, for others to read.

    The file stays when the lock goes: removing it could let two processes each hold a file of that
    name.

    Raises:
        Held: somebody holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Held(path.read_text(encoding="utf-8")) from error

        def note(text: str) -> None:
            file.truncate(0)
            file.write(text)
            file.flush()

        note("")
        try:
            yield note
        finally:
            file.truncate(0)
            fcntl.flock(file, fcntl.LOCK_UN)
