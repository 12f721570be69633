"""Run ``python -m bot`` against Discord's double, with a probe in its event loop: python probed_bot.py run …

DISCORD_REST says where the double is. Where LAG_FILE names a file, a task beside the bot's own sleeps for
5 ms over and over, and what it saw is written there at the end: lines of :class:`Wake`. Nothing of the bot
is replaced but the addresses at which Discord is.
"""

from __future__ import annotations

import asyncio
import atexit
import json
import os
import sys
import time
from pathlib import Path
from typing import NamedTuple

PAUSE_SECONDS = 0.005
"""The pause whose end is watched."""


class Wake(NamedTuple):
    """One end of a pause."""

    at: float
    """Seconds of the machine's monotonic clock."""
    lag: float
    """Seconds by which it came later than asked."""
    loop_cpu: float
    """CPU seconds of the loop's thread since the pause began: what the loop itself was busy with."""
    cpu: float
    """The same of the whole process."""


def read_wakes(path: Path) -> list[Wake]:
    """Return what a probe has written."""
    return [Wake(*json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


async def _probe(wakes: list[Wake]) -> None:
    while True:
        asked, thread, process = time.monotonic(), time.thread_time(), time.process_time()
        await asyncio.sleep(PAUSE_SECONDS)
        at = time.monotonic()
        busy = (time.thread_time() - thread, time.process_time() - process)
        wakes.append(Wake(at, at - asked - PAUSE_SECONDS, *busy))


class _Probed(asyncio.DefaultEventLoopPolicy):
    """Makes loops that are watched from their first turn on."""

    def __init__(self, wakes: list[Wake]) -> None:
        super().__init__()
        self._wakes = wakes
        self._tasks: list[asyncio.Task[None]] = []

    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        loop = super().new_event_loop()
        loop.call_soon(lambda: self._tasks.append(loop.create_task(_probe(self._wakes), name="lag probe")))
        return loop


def main() -> None:
    """Set up the probe, and run the bot."""
    if name := os.environ.get("LAG_FILE"):
        wakes: list[Wake] = []

        def write() -> None:
            Path(name).write_text("".join(f"{json.dumps(wake)}\n" for wake in wakes), encoding="utf-8")

        atexit.register(write)
        asyncio.set_event_loop_policy(_Probed(wakes))
    from tests.bot.accelerated import run_bot

    run_bot(os.environ["DISCORD_REST"])


if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    main()
