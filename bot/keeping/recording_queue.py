"""What was heard, in the order in which Discord sent it: kept in batches, and let in turns between.

Events run side by side, and many come while one is written. They line up here at once, before anything
waits; one task takes what stands first. Messages go on together, up to the first turn: a place in the line
that belongs to an edit or a deletion, which must not overtake its message, nor be overtaken by what is said
after it. Knows no rule about consent, and writes nothing itself.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from bot.background import Background
from bot.keeping.backlog import BATCH, Backlog
from ledger.records import Heard

Look = Callable[[], Awaitable[Heard | None]]
"""Finds out what to keep of a message, where that cannot be said at once; None is nothing."""


def _promise() -> asyncio.Future[None]:
    return asyncio.get_running_loop().create_future()


@dataclass(eq=False, slots=True)
class _InLine:
    """A message, and who waits until it is kept."""

    heard: Heard | Look
    kept: asyncio.Future[None] = field(default_factory=_promise)


@dataclass(eq=False, slots=True)
class _Turn:
    """A place at which somebody else works, while everything behind it waits."""

    come: asyncio.Future[None] = field(default_factory=_promise)
    over: asyncio.Future[None] = field(default_factory=_promise)


class RecordingQueue:
    """The line before the backlog, which writes or keeps what cannot be written."""

    def __init__(self, backlog: Backlog, *, background: Background) -> None:
        self._backlog = backlog
        self._background = background
        self._line: deque[_InLine | _Turn] = deque()
        self._busy = False

    async def keep(self, heard: Heard | Look) -> None:
        """Return once the message is written, or waits in the backlog; in line as soon as this is called.

        Raises whatever the message itself made fail; others of its batch are not affected.
        """
        place = _InLine(heard)
        self._add(place)
        await place.kept

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait until everything heard so far is kept; nothing heard later is before the block ends."""
        turn = _Turn()
        self._add(turn)
        try:
            await turn.come
            yield
        finally:
            if not turn.over.done():
                turn.over.set_result(None)

    def _add(self, place: _InLine | _Turn) -> None:
        self._line.append(place)
        if not self._busy:
            self._busy = True
            self._background.run(self._work(), name="recording")

    async def _work(self) -> None:
        try:
            while self._line:
                # Held for each step anew: what waits in the backlog is tried again in between.
                async with self._backlog.in_order:
                    first = self._line[0]
                    if isinstance(first, _Turn):
                        self._line.popleft()
                        await _given(first)
                    else:
                        await self._keep(self._batch())
        finally:
            self._busy = False
            # Only when the bot stops: nobody comes for them any more.
            for place in self._line:
                (place.come if isinstance(place, _Turn) else place.kept).cancel()
            self._line.clear()

    def _batch(self) -> list[_InLine]:
        batch: list[_InLine] = []
        while self._line and len(batch) < BATCH and isinstance(first := self._line[0], _InLine):
            batch.append(first)
            self._line.popleft()
        return batch

    async def _keep(self, batch: list[_InLine]) -> None:
        try:
            wanted = [(place, heard) for place in batch if (heard := await _looked(place)) is not None]
            try:
                await self._backlog.take([heard for _, heard in wanted])
            except Exception as error:  # noqa: BLE001 - whose it is shows when each is taken alone
                for place, heard in wanted:
                    await self._take_alone(place, heard, error if len(wanted) == 1 else None)
            for place in batch:
                if not place.kept.done():
                    place.kept.set_result(None)
        finally:
            for place in batch:
                place.kept.cancel()

    async def _take_alone(self, place: _InLine, heard: Heard, error: Exception | None) -> None:
        """Take a message of a batch that failed; ``error`` says why, if the batch was this message."""
        try:
            if error is None:
                await self._backlog.take([heard])
        except Exception as own:  # noqa: BLE001 - raised where the message is awaited
            error = own
        if error is not None and not place.kept.done():
            place.kept.set_exception(error)


async def _looked(place: _InLine) -> Heard | None:
    if isinstance(place.heard, Heard):
        return place.heard
    try:
        return await place.heard()
    except Exception as error:  # noqa: BLE001 - raised where the message is awaited
        if not place.kept.done():
            place.kept.set_exception(error)
        return None


async def _given(turn: _Turn) -> None:
    # Whoever gave up while waiting is over already.
    if not turn.come.done():
        turn.come.set_result(None)
    await turn.over
