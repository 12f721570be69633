"""From a question to an answer that streams into Discord: a bounded queue and its workers.

Knows no Discord event and no prompt rule: it is handed chat turns and a place to write.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from bot.engine_client import EngineClient, EngineRefusal, Sampling
from bot.serving import Serving
from ledger.errors import EngineBusy, EngineError
from ledger.prompts import Turn, shortened

log = logging.getLogger(__name__)

BUSY = "I'm talking to a lot of people right now. Ask me again in a moment?"
DOWN = "My head is somewhere else just now: the model isn't running. An admin can look at `/bot status`."
BROKEN = "Something broke on my side, and I lost my words. An admin finds the reason in my log."
ATTEMPTS = 4
"""How often an answer is asked for; three halvings fit text of which each letter is two tokens."""
SPEECHLESS = "…I have no words."


class Place(Protocol):
    """Where an answer is written."""

    def typing(self) -> AbstractAsyncContextManager[None]:
        """Show that an answer is on its way."""
        ...

    async def show(self, text: str) -> None:
        """Show the answer so far (the whole text, not only what is new)."""
        ...


Answered = Callable[[str, str | None], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Question:
    """One thing to answer; ``answered`` is called with the text and the version that wrote it."""

    guild_id: int | None
    asker_id: int
    turns: Callable[[], Awaitable[Sequence[Turn]]]
    place: Place
    answered: Answered


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a question is not taken; ``text`` is for the asker, empty when silence is kinder."""

    text: str


class Answering:
    """``async with Answering(…) as answering``; then ``answering.ask(question)``."""

    def __init__(
        self,
        engine: EngineClient,
        serving: Serving,
        *,
        sampling: Sampling,
        workers: int,
        queue_size: int,
        cooldown_seconds: float,
        edit_interval_seconds: float,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._engine = engine
        self._serving = serving
        self._sampling = sampling
        self._worker_count = workers
        self._queue: asyncio.Queue[Question] = asyncio.Queue(maxsize=queue_size)
        self._cooldown = cooldown_seconds
        self._edit_interval = edit_interval_seconds
        self._monotonic = monotonic
        self._sleep = sleep
        self._last_asked: dict[int, float] = {}
        self._workers: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._workers = [
            asyncio.create_task(self._work(), name=f"answering-{number}")
            for number in range(self._worker_count)
        ]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)

    @property
    def waiting(self) -> int:
        """How many questions wait for a worker."""
        return self._queue.qsize()

    async def drained(self) -> None:
        """Return once every question that was taken has been answered."""
        await self._queue.join()

    def refusal(self, asker_id: int) -> Refusal | None:
        """Tell why a question of this person would not be taken now; None if it would."""
        asked = self._last_asked.get(asker_id)
        wait = 0.0 if asked is None else asked + self._cooldown - self._monotonic()
        if wait > 0:
            return Refusal(f"One at a time! Ask me again in {wait:.0f} s." if wait >= 1 else "")
        return Refusal(BUSY) if self._queue.full() else None

    def ask(self, question: Question) -> Refusal | None:
        """Queue the question, or say why not."""
        refusal = self.refusal(question.asker_id)
        if refusal is None:
            self._queue.put_nowait(question)
            self._last_asked[question.asker_id] = self._monotonic()
            self._forget_old_askers(self._monotonic())
        return refusal

    def _forget_old_askers(self, now: float) -> None:
        if len(self._last_asked) > 1000:
            self._last_asked = {
                asker: asked for asker, asked in self._last_asked.items() if now - asked < self._cooldown
            }

    async def _work(self) -> None:
        while True:
            question = await self._queue.get()
            try:
                await self._answer(question)
            except Exception:  # a worker must outlive whatever one answer runs into
                log.exception("an answer failed")
            finally:
                self._queue.task_done()

    async def _answer(self, question: Question) -> None:
        pace = _Pace(question.place, self._edit_interval, self._monotonic, self._sleep)
        try:
            async with question.place.typing():
                turns = await question.turns()
                text, version = await self._generate(question, turns, pace)
        except EngineBusy:
            await pace.finish(BUSY)
        except EngineError as error:
            # Not its text: a server that repeats what it was asked would put prompts into the log.
            log.warning("no answer: %s %s", type(error).__name__, getattr(error, "status", ""))
            await pace.finish(DOWN)
        except Exception:  # whatever it is, the person must not wait for an answer that never comes
            log.exception("an answer failed")
            await pace.finish(BROKEN)
        else:
            await pace.finish(text)
            await question.answered(text, version)

    async def _generate(
        self, question: Question, turns: Sequence[Turn], pace: _Pace
    ) -> tuple[str, str | None]:
        """Stream one answer into its place; return its text and the version that wrote it.

        Asked again where the engine was restarted in between and no longer holds the version, and
        with the newer half of the context where it found the prompt too long.
        """
        for attempt in range(ATTEMPTS):
            async with self._serving.lease(question.guild_id) as (model, version):
                try:
                    return await self._stream(question, model, turns, pace), version
                except EngineRefusal as error:
                    lost = error.status == 404 and version is not None
                    if attempt == ATTEMPTS - 1 or not (lost or error.status == 400):
                        raise
            if lost and version is not None:
                self._serving.forget(version)
                await self._serving.sync()
            else:
                turns = shortened(turns, max_characters=sum(len(turn["content"]) for turn in turns) // 2)
        raise AssertionError("the last attempt returns or raises")

    async def _stream(self, question: Question, model: str, turns: Sequence[Turn], pace: _Pace) -> str:
        text = ""
        async for piece in self._engine.stream(model, turns, self._sampling, guild_id=question.guild_id):
            text = (text + piece).lstrip()
            if text:
                await pace.grow(text)
        return text.strip() or SPEECHLESS


class _Pace:
    """Writes to a place at most once an interval, the last time included."""

    def __init__(
        self,
        place: Place,
        interval: float,
        monotonic: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._place = place
        self._interval = interval
        self._monotonic = monotonic
        self._sleep = sleep
        self._due = monotonic() + interval
        self._written = False

    async def grow(self, text: str) -> None:
        """Write if it is time to."""
        if self._monotonic() >= self._due:
            await self._write(text)

    async def finish(self, text: str) -> None:
        """Write as soon as it is time to."""
        if self._written and (wait := self._due - self._monotonic()) > 0:
            await self._sleep(wait)
        await self._write(text)

    async def _write(self, text: str) -> None:
        await self._place.show(text)
        self._written = True
        self._due = self._monotonic() + self._interval
