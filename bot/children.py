"""Ends processes that the bot started: asks by a signal, and kills the ones that do not listen."""

from __future__ import annotations

import asyncio
import contextlib
import signal

Process = asyncio.subprocess.Process


def send(process: Process, number: signal.Signals) -> None:
    """Send a signal, if the process is still running."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):  # it has just ended, and asyncio has not noticed yet
            process.send_signal(number)


async def end(process: Process, *, seconds: float, by: signal.Signals = signal.SIGTERM) -> bool:
    """End ``process``; return whether it ended by itself within ``seconds`` of the signal."""
    if process.returncode is not None:
        return True
    send(process, by)
    try:
        async with asyncio.timeout(seconds):
            await process.wait()
    except TimeoutError:
        send(process, signal.SIGKILL)
        await process.wait()
        return False
    return True
