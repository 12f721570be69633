"""Locks between processes: a file that the operating system frees when its holder dies.

``hold`` is any lock, ``night_lock`` that of one guild's night. Knows paths and notes for others to read.
Works on Linux and macOS, between processes and within one.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from pathlib import Path

from ledger.errors import NightBusy

_LOOK_SECONDS = 0.1


class Held(Exception):
    """Somebody else holds the lock; ``note`` is what they wrote into it."""

    def __init__(self, note: str) -> None:
        super().__init__(note)
        self.note = note


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


def night_lock_path(data_dir: Path, guild_id: int) -> Path:
    """Return the file that a guild's night holds locked while it lives."""
    return data_dir / f"night-{guild_id}.lock"


@contextmanager
def night_lock(path: Path) -> Iterator[Callable[[str], None]]:
    """Hold a night's lock; gives a function that notes the run's id, for whoever comes too early.

    Raises:
        NightBusy: another night holds it; names its run.
    """
    with ExitStack() as held:
        try:
            note = held.enter_context(hold(path))
        except Held as other:
            raise NightBusy(_busy(other.note)) from other

        def name(run: str) -> None:
            note(json.dumps({"run": run, "pid": os.getpid()}))

        name("")
        yield name


@asynccontextmanager
async def awaited_night_lock(
    path: Path, *, seconds: float, stop: Callable[[], bool]
) -> AsyncIterator[Callable[[str], None]]:
    """Hold a night's lock like :func:`night_lock`, and wait up to ``seconds`` for whoever holds it.

    The trainer of a bot that was killed lives on for a moment, until it notices.

    Raises:
        NightBusy: somebody still holds it then, or ``stop`` says not to wait.
    """
    until = time.monotonic() + seconds
    async with AsyncExitStack() as held:
        while True:
            try:
                name = held.enter_context(night_lock(path))
                break
            except NightBusy:
                if stop() or time.monotonic() >= until:
                    raise
            await asyncio.sleep(_LOOK_SECONDS)
        yield name


def _busy(note: str) -> str:
    try:
        holder = json.loads(note)
        who = f"run {holder['run'] or 'not named yet'}, process {holder['pid']}"
    except (ValueError, KeyError, TypeError):
        who = "just starting or ending"
    return f"A night of this server is under way already ({who}): wait for it, or stop it with /train cancel."


__all__ = ["Held", "awaited_night_lock", "hold", "night_lock", "night_lock_path"]
