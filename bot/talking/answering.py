"""From a question to an answer that streams into Discord: a bounded queue and its workers.

Knows no Discord event and no prompt rule: it gets a prompt and somewhere to write. Reading from the
engine never waits for Discord, because the scribe does the writing (:mod:`bot.talking.scribe`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from bot.serving.engine_client import AnswerSampling, EngineClient
from bot.serving.served_versions import ServedVersions
from bot.talking.asides import aside, without_asides
from bot.talking.destinations import Destination
from bot.talking.refusing import Courtesy
from bot.talking.scribe import AnswerDraft, Scribes
from bot.talking.thinking import Listener, Prompt, Thinking, Withdrawn
from ledger.errors import EngineBusy, EngineError

log = logging.getLogger(__name__)

BUSY = "I'm talking to a lot of people right now. If you got no answer, ask me again in a moment?"
DOWN = "My head is somewhere else just now: the model isn't running. An admin can look at `/bot status`."
BROKEN = "Something broke on my side, and I lost my words. An admin can find the reason in my log."
BROKE_OFF = "I lost my train of thought here."
RESTARTING = "I'm about to restart. If you got no answer, ask me again in a minute?"
INTERRUPTED = "I was interrupted here by a restart."
SPEECHLESS = "…I have no words."
GRACE_SECONDS = 4.0
"""How long a stopping bot keeps working on its answers; Docker kills a container after ten seconds."""
LAST_WORDS_SECONDS = 2.0
"""How long its last words may take to reach Discord after that."""

Answered = Callable[[str, str | None], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Question:
    """One thing to answer; ``answered`` gets the text and the version that wrote it."""

    guild_id: int | None
    asker_id: int
    prompt: Callable[[], Awaitable[Prompt]]
    destination: Destination
    answered: Answered
    id: int = 0
    """The id of the message that asks, by which the question can be withdrawn; 0 for a slash command."""


@dataclass(frozen=True, slots=True)
class Declined:
    """Why a question was not taken; ``text`` is for the asker, and empty when silence is kinder."""

    text: str


@dataclass(slots=True)
class _Open:
    """A question that was taken and not answered yet."""

    question: Question
    draft: AnswerDraft
    withdrawn: bool = False
    delivering: bool = False
    """Whether the answer is ready and waiting to be written."""


class Answering:
    """``async with Answering(…) as answering``; then ``answering.ask(question)``."""

    def __init__(
        self,
        engine: EngineClient,
        serving: ServedVersions,
        scribes: Scribes,
        *,
        sampling: AnswerSampling,
        workers: int,
        queue_size: int,
        cooldown_seconds: float,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._thinking = Thinking(engine, serving, sampling, monotonic=monotonic, sleep=sleep)
        self._scribes = scribes
        self._worker_count = workers
        self._queue: asyncio.Queue[_Open] = asyncio.Queue(maxsize=queue_size)
        self._courtesy = Courtesy(cooldown_seconds, monotonic)
        self._workers: list[asyncio.Task[None]] = []
        self._open: list[_Open] = []
        self._deliveries: set[asyncio.Task[None]] = set()
        # Enough for every question that catching up can find a second time.
        self._taken: deque[int] = deque(maxlen=1000)
        self._closing = False

    async def __aenter__(self) -> Self:
        self._workers = [
            asyncio.create_task(self._work(), name=f"answering-{number}")
            for number in range(self._worker_count)
        ]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.wind_down(seconds=0.0)

    @property
    def waiting(self) -> int:
        """How many questions are waiting for a worker."""
        return self._queue.qsize()

    async def drained(self) -> None:
        """Return once every question that was taken is answered, and every answer written."""
        await self._queue.join()
        while self._deliveries:
            await asyncio.wait(set(self._deliveries))

    async def wind_down(self, *, seconds: float = GRACE_SECONDS) -> None:
        """Take no more questions; finish the answers under way, or mark where each was interrupted."""
        self._closing = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.drained()
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        for left in [each for each in self._open if not each.delivering]:
            said = without_asides(left.draft.text)
            if said:
                self._deliver(left, said, None, INTERRUPTED)
            elif self._courtesy.says(("channel", left.question.destination.channel)):
                self._deliver(left, "", None, RESTARTING)
            else:  # one line for everybody waiting in a channel: Discord takes five in five seconds
                self._open.remove(left)
                self._track(left.draft.drop(), "withdrawal")
        if self._deliveries:
            # Not gather: whatever has not arrived by then is given up, and must not raise here.
            await asyncio.wait(set(self._deliveries), timeout=min(seconds, LAST_WORDS_SECONDS))
        for delivery in list(self._deliveries):
            delivery.cancel()
        await asyncio.gather(*self._deliveries, return_exceptions=True)

    def declines(self, asker_id: int) -> Declined | None:
        """Return why a question from this person would not be taken now; None if it would."""
        if self._closing:
            return Declined(RESTARTING)
        wait = self._courtesy.wait(asker_id)
        if wait > 0:
            return Declined(f"One at a time! Ask me again in {wait:.0f} s." if wait >= 1 else "")
        return Declined(BUSY) if self._queue.full() else None

    def ask(self, question: Question) -> Declined | None:
        """Queue the question, or say why not.

        Everybody in a channel reads the reason. So a person is asked to wait only once, and a channel hears
        only once that it is asking too much; then there is silence for a while.
        """
        if question.id in self._taken:
            return Declined("")  # heard live, and once more when the bot caught up
        declined = self.declines(question.asker_id)
        if declined is not None:
            about = (
                ("channel", question.destination.channel) if self._full() else ("person", question.asker_id)
            )
            return declined if declined.text and self._courtesy.says(about) else Declined("")
        taken = _Open(question, self._scribes.draft(question.destination))
        self._open.append(taken)
        self._queue.put_nowait(taken)
        # Only now: a question that was refused does not count for the cooldown.
        self._courtesy.asked(question.asker_id)
        if question.id:
            self._taken.append(question.id)
        return None

    def _full(self) -> bool:
        return self._closing or self._queue.full()

    def remark(self, destination: Destination, text: str) -> None:
        """Say something about the bot itself; return at once."""
        self._track(self._scribes.draft(destination).finish(aside(text)), "remark")

    def withdraw(self, question_ids: Collection[int]) -> None:
        """Drop questions that somebody deleted, and take back what was already written."""
        for each in self._open:
            if each.question.id in question_ids and not each.withdrawn:
                each.withdrawn = True
                self._track(each.draft.drop(), "withdrawal")

    async def _work(self) -> None:
        while True:
            taken = await self._queue.get()
            try:
                await self._answer(taken)
            finally:
                self._queue.task_done()

    async def _answer(self, taken: _Open) -> None:
        text, version, note = "", None, ""
        listener = Listener(taken.question.guild_id, taken.draft.grow, lambda: taken.withdrawn)
        try:
            if taken.withdrawn:
                raise Withdrawn
            # The prompt is made now and not when the question came: the talk has gone on in the queue.
            text, version = await self._thinking.answer(await taken.question.prompt(), listener)
            note = "" if text else SPEECHLESS
        except Withdrawn:
            self._open.remove(taken)
            return
        except EngineBusy:
            note = BUSY
        except EngineError as error:
            # Not the error's text: a server that repeats its request would put prompts into the log.
            log.warning("no answer: %s %s", type(error).__name__, getattr(error, "status", ""))
            note = DOWN
        except Exception:  # a defect, but nobody may be left waiting for an answer that never comes
            log.exception("an answer failed")
            note = BROKEN
        if taken.withdrawn:
            self._open.remove(taken)
            return
        if not text and (text := without_asides(taken.draft.text)):
            note = BROKE_OFF  # what people have already read stays
        self._deliver(taken, text, version, note)

    def _deliver(self, taken: _Open, text: str, version: str | None, note: str) -> None:
        taken.delivering = True
        self._track(self._delivered(taken, text, version, note), "delivery")

    async def _delivered(self, taken: _Open, text: str, version: str | None, note: str) -> None:
        """Write the answer, then record what really stands in Discord."""
        parts = [text, aside(note) if note else ""]
        try:
            written = await taken.draft.finish("\n".join(part for part in parts if part))
        finally:
            self._open.remove(taken)
        # Nothing is recorded then: AnswerDraft.drop takes back what was written.
        if taken.withdrawn:  # the question was deleted while its answer was being written
            return
        stands = text if written else without_asides(taken.draft.shown)
        if stands:
            await taken.question.answered(stands, version)

    def _track(self, work: Awaitable[object], name: str) -> None:
        """Do ``work`` while the next answer begins; log its failure, which concerns no other answer."""
        delivery = asyncio.create_task(_done(work, name), name=name)
        self._deliveries.add(delivery)
        delivery.add_done_callback(self._deliveries.discard)


async def _done(work: Awaitable[object], name: str) -> None:
    try:
        await work
    except Exception:
        log.exception("the %s of an answer failed", name)
