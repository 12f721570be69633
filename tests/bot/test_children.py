"""How child processes end: by the signal that was sent, or killed where they do not listen."""

from __future__ import annotations

import asyncio
import signal
import sys

from bot.children import end, send

READY = "import signal, sys, time\n{}\nprint('ready', flush=True)\ntime.sleep(60)"
DEAF = "signal.signal(signal.SIGTERM, signal.SIG_IGN)"
SAYS_WHICH = "for n in (2, 15): signal.signal(n, lambda number, frame: sys.exit(number))"


async def started(line: str) -> asyncio.subprocess.Process:
    """Start a process that has set up its signals by now."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-S", "-c", READY.format(line), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"ready\n"
    return process


async def test_a_process_that_listens_ends_by_itself_at_the_signal_that_it_is_sent() -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        process = await started(SAYS_WHICH)
        assert await end(process, seconds=10, by=number)
        assert process.returncode == number


async def test_a_process_that_does_not_listen_is_killed() -> None:
    process = await started(DEAF)
    assert not await end(process, seconds=0.05)
    assert process.returncode == -signal.SIGKILL


async def test_a_process_that_is_over_is_left_alone() -> None:
    process = await started(SAYS_WHICH)
    assert await end(process, seconds=10)
    assert await end(process, seconds=0)
    send(process, signal.SIGTERM)
    assert process.returncode == signal.SIGTERM
