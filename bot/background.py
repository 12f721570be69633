"""Work that outlives the event that started it: one supervisor, so that no failure is lost.

asyncio keeps only weak references to tasks. One that an event handler starts by itself may be collected
half done, and its exception is reported, if at all, when nobody remembers why. Handlers hand such work
over to this supervisor instead.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self

log = logging.getLogger(__name__)


class Background:
    """Runs coroutines until they end or the bot stops: ``async with Background() as background``."""

    def __init__(self) -> None:
        self._handed_over: asyncio.Queue[tuple[Coroutine[Any, Any, None], str]] = asyncio.Queue()
        self._tasks: set[asyncio.Task[None]] = set()
        self._supervisor: asyncio.Task[None] | None = None
        self._closed = False

    async def __aenter__(self) -> Self:
        self._supervisor = asyncio.create_task(self._supervise(), name="background")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        tasks = [*self._tasks, *([self._supervisor] if self._supervisor else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._closed = True
        while not self._handed_over.empty():
            self._handed_over.get_nowait()[0].close()

    def run(self, work: Coroutine[Any, Any, None], *, name: str) -> None:
        """Start ``work`` soon, in the supervisor's context instead of the caller's; never after the end."""
        if self._closed:
            work.close()  # an event that Discord still delivered while the bot stopped
            return
        self._handed_over.put_nowait((work, name))

    async def _supervise(self) -> None:
        while True:
            work, name = await self._handed_over.get()
            task = asyncio.create_task(work, name=name)
            self._tasks.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("%s failed", task.get_name(), exc_info=error)
