"""Writes answers into Discord at the pace that a channel allows, without ever holding up the model.

An answer grows as an :class:`AnswerDraft`. One task per channel writes whatever is most urgent: finished
answers, then the first words of others, then the draft that has waited longest. It retries what will
pass (an outage, a lost connection, a rate limit) and reports in a sentence what will not; text that is
already there stays. Knows no model and no ledger.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import time
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

import aiohttp
import discord

from bot.failures import DISCORD_AWAY, reason
from bot.talking.asides import aside
from bot.talking.destinations import Destination

log = logging.getLogger(__name__)

BACK_OFF = (1.0, 2.0, 5.0, 10.0, 20.0, 40.0, 60.0, 60.0, 60.0)
"""Seconds before each new attempt to write a finished answer; after four minutes in all it is lost."""
CROWDED = 1.6
"""How much slower answers grow where several share a channel. Discord allows five writes in five seconds;
at three edits in that time, two are left for answers that are finished."""
TYPING_SECONDS = 8.0
"""How often to say so: Discord shows somebody as typing for ten seconds."""
CLOSING_SECONDS = 0.5
"""How long a stopping bot waits for its last words to arrive."""
AUTOMOD = (200_000, 200_001)
BLOCKED = "The server's AutoMod held back what I wanted to say."
REFUSED = "Discord did not take what I wanted to say."


def passes(error: Exception) -> bool:
    """Tell whether this will pass, so that another attempt is worth making."""
    if isinstance(error, discord.HTTPException):
        return error.status == 429 or error.status >= 500
    return isinstance(error, aiohttp.ClientError | OSError | TimeoutError | discord.RateLimited)


class AnswerDraft:
    """One answer on its way: call :meth:`grow` at will, then :meth:`finish` or :meth:`drop` once."""

    def __init__(self, destination: Destination, changed: Callable[[], None]) -> None:
        self.destination = destination
        self._changed = changed
        self.text = ""
        self.shown = ""
        self.finished = False
        self.dropped = False
        self.attempts = 0
        self.due = 0.0
        self.turn = 0
        """When it was last written, counted in writes of its channel; the lowest has waited longest."""
        self.written: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        """True once the last word is written, False once it is clear that it cannot be."""

    def grow(self, text: str) -> None:
        """Show ``text`` as soon as the channel has room for it; return at once."""
        self.text = text
        self._changed()

    async def finish(self, text: str) -> bool:
        """Show ``text`` before anything half-written; return whether all of it could be written."""
        self.text = text
        self.finished = True
        self._changed()
        # Shielded: a caller that is cancelled would cancel the future itself, and with it every other wait.
        return await asyncio.shield(self.written)

    async def drop(self) -> None:
        """Take back whatever was written of the answer."""
        self.dropped = self.finished = True
        self._changed()
        if await asyncio.shield(self.written) and self.shown:
            await self.destination.withdraw()  # its last word was being written at that very moment


class Scribes:
    """``async with Scribes(…) as scribes``; then ``scribes.draft(destination)``."""

    def __init__(
        self,
        *,
        interval_seconds: float,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        refused: Callable[[Destination, Exception], None] = lambda destination, error: None,
    ) -> None:
        """``refused`` is called when Discord does not let the bot write, say for lack of a permission."""
        self._interval = interval_seconds
        self._monotonic = monotonic
        self._sleep = sleep
        self.refused = refused
        self._channels: dict[int, _Scribe] = {}
        # Writing is this object's own work, in whatever event's context somebody asked for it. (The local
        # Discord of the tests waits for all work that an event starts.)
        self._context = contextvars.copy_context()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        tasks = [scribe.task for scribe in self._channels.values()]
        if tasks:
            await asyncio.wait(tasks, timeout=CLOSING_SECONDS)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def draft(self, destination: Destination) -> AnswerDraft:
        """Begin an answer; the bot shows as typing until its first words are written."""
        channel = destination.channel
        scribe = self._channels.get(channel)
        # A task that has ended leaves the table only one turn of the event loop later.
        if scribe is None or scribe.closed:
            scribe = self._context.copy().run(
                _Scribe, self._interval, self._monotonic, self._sleep, self._refused
            )
            self._channels[channel] = scribe
            ended = scribe
            scribe.task.add_done_callback(lambda _: self._drop(channel, ended))
        return scribe.draft(destination)

    def _drop(self, channel: int, ended: _Scribe) -> None:
        if self._channels.get(channel) is ended:
            del self._channels[channel]

    def _refused(self, destination: Destination, error: Exception) -> None:
        self.refused(destination, error)


class _Scribe:
    """The writer of one channel; its task ends with its last draft."""

    def __init__(
        self,
        interval: float,
        monotonic: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
        refused: Callable[[Destination, Exception], None],
    ) -> None:
        self._interval = interval
        self._monotonic = monotonic
        self._sleep = sleep
        self._refused = refused
        self._drafts: list[AnswerDraft] = []
        self._changed = asyncio.Event()
        self._turns = 0
        self._half_due = 0.0
        self.closed = False
        """Whether its task has ended or is about to, so that it takes no more drafts."""
        self.task = asyncio.create_task(self._write(), name="scribe")
        self._typing = asyncio.create_task(self._type(), name="typing")

    def draft(self, destination: Destination) -> AnswerDraft:
        draft = AnswerDraft(destination, self._changed.set)
        self._drafts.append(draft)
        self._changed.set()
        return draft

    async def _write(self) -> None:
        try:
            while self._drafts:
                # Before looking: what changes while Discord is being written to counts in the next turn.
                self._changed.clear()
                now = self._monotonic()
                draft, wait = self._next(now)
                if draft is None:
                    await self._until_changed(wait)
                elif draft.finished:
                    await self._finish(draft)
                else:
                    await self._grow(draft)
        finally:
            self.closed = True
            self._typing.cancel()
            for draft in self._drafts:
                _settle(draft, done=False)

    def _next(self, now: float) -> tuple[AnswerDraft | None, float | None]:
        """Return what to write now; or None, and in how many seconds there may be something."""
        final = [draft for draft in self._drafts if draft.finished]
        ready = [draft for draft in final if draft.due <= now]
        if ready:
            return ready[0], None
        half = [draft for draft in self._drafts if not draft.finished and draft.text != draft.shown]
        if half and self._half_due <= now:
            # First words before further ones: somebody who sees nothing asks again.
            return min(half, key=lambda draft: (draft.shown != "", draft.turn)), None
        times = [draft.due for draft in final] + ([self._half_due] if half else [])
        return None, min(times) - now if times else None

    async def _until_changed(self, wait: float | None) -> None:
        waiting: set[asyncio.Task[object]] = {asyncio.create_task(self._changed.wait())}
        if wait is not None:
            # Tasks take coroutines alone, and the sleep that is handed in may be any awaitable.
            waiting.add(asyncio.create_task(self._nap(wait)))
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()

    async def _nap(self, seconds: float) -> None:
        await self._sleep(seconds)

    async def _grow(self, draft: AnswerDraft) -> None:
        """Write half an answer; do not retry, since more of it will follow anyway."""
        self._turns += 1
        draft.turn = self._turns
        text = draft.text
        try:
            await draft.destination.show(text)
            draft.shown = text
        except Exception as error:  # noqa: BLE001 - the finished answer is retried in earnest
            log.info("half an answer could not be shown: %s", reason(error))
        gap = self._interval * (CROWDED if len(self._drafts) > 1 else 1.0)
        self._half_due = self._monotonic() + gap

    async def _finish(self, draft: AnswerDraft) -> None:
        try:
            if draft.dropped:
                await draft.destination.withdraw()
            elif draft.text != draft.shown:
                await draft.destination.show(draft.text)
                draft.shown = draft.text
            self._end(draft, done=True)
        except Exception as error:  # noqa: BLE001 - sorted by kind in there
            await self._failed(draft, error)

    async def _failed(self, draft: AnswerDraft, error: Exception) -> None:
        """Retry what will pass; say in a sentence what will not. Text that is already there stays."""
        # Due later instead of slept for: the channel's other answers do not wait for this one.
        if passes(error) and draft.attempts < len(BACK_OFF):
            draft.due = self._monotonic() + BACK_OFF[draft.attempts]
            draft.attempts += 1
            log.info("an answer could not be written and is tried again: %s", reason(error))
            return
        log.error("an answer could not be written: %s", reason(error))
        self._refused(draft.destination, error)
        if isinstance(error, discord.HTTPException) and not passes(error) and not draft.shown:
            await self._say_why(draft, error)
        self._end(draft, done=False)

    async def _say_why(self, draft: AnswerDraft, error: discord.HTTPException) -> None:
        """Write one sentence instead of the answer, if Discord takes that."""
        try:
            await draft.destination.show(aside(BLOCKED if error.code in AUTOMOD else REFUSED))
        except Exception as second:  # noqa: BLE001 - nothing at all can be written here; the log and the admins know
            log.error("nor could the reason be: %s", reason(second))

    def _end(self, draft: AnswerDraft, *, done: bool) -> None:
        self._drafts.remove(draft)
        _settle(draft, done=done)

    async def _type(self) -> None:
        """Show the bot as typing while somebody waits for first words; it does no harm if that fails."""
        while True:
            waiting = next((draft for draft in self._drafts if not draft.shown and not draft.finished), None)
            if waiting is not None:
                try:
                    await waiting.destination.signal()
                except DISCORD_AWAY as error:
                    log.debug("typing could not be shown: %s", reason(error))
            await asyncio.sleep(TYPING_SECONDS)


def _settle(draft: AnswerDraft, *, done: bool) -> None:
    if not draft.written.done():
        draft.written.set_result(done)
