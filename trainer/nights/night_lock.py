"""One night a guild at a time: a lock file that the operating system frees when its holder dies.

Knows a path and a name; no ledger. Works on Linux and macOS, between processes and within one.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path

from ledger.errors import NightBusy


@contextmanager
def night_lock(path: Path) -> Iterator[Callable[[str], None]]:
    """Hold ``path`` locked; gives a function that writes the run's id into it, for others to read.

    The file stays when the lock goes: removing it could let two nights each hold a file of that name.

    Raises:
        NightBusy: somebody holds it; names their run.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise NightBusy(_busy(path)) from error

        def name(run: str) -> None:
            file.truncate(0)
            file.write(json.dumps({"run": run, "pid": os.getpid()}))
            file.flush()

        name("")
        try:
            yield name
        finally:
            file.truncate(0)
            fcntl.flock(file, fcntl.LOCK_UN)


@asynccontextmanager
async def waited_for(
    path: Path, *, seconds: float, stop: Callable[[], bool]
) -> AsyncIterator[Callable[[str], None]]:
    """Hold ``path`` locked like :func:`night_lock`, and wait ``seconds`` for whoever holds it.

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
            await asyncio.sleep(0.1)
        yield name


def _busy(path: Path) -> str:
    try:
        holder = json.loads(path.read_text(encoding="utf-8"))
        who = f"run {holder['run'] or 'not named yet'}, process {holder['pid']}"
    except (OSError, ValueError, KeyError, TypeError):
        who = "just starting or ending"
    return f"A night of this server is under way already ({who}): wait for it, or stop it with /train cancel."


__all__ = ["night_lock", "waited_for"]
