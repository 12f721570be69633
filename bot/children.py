"""How a process that the bot started is ended: by a signal, and killed where it does not listen."""

from __future__ import annotations

import asyncio
import contextlib
import signal

Process = asyncio.subprocess.Process


def send(process: Process, number: signal.Signals) -> None:
    """Send a signal, if the process still runs."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):  # it ended, and nobody has waited for it yet
            process.send_signal(number)


async def end(process: Process, *, seconds: float, by: signal.Signals = signal.SIGTERM) -> bool:
    """Return once ``process`` has ended; tell whether it did so by itself within ``seconds``."""
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
