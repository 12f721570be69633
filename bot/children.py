"""How a process that the bot started is ended: asked to, and killed where it does not listen."""

from __future__ import annotations

import asyncio
import contextlib


async def end(process: asyncio.subprocess.Process, *, seconds: float) -> None:
    """Return once ``process`` has ended; it has ``seconds`` to do so by itself."""
    if process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(seconds):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
