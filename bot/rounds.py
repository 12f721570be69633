"""What runs when: everything that the bot does by the clock is a job of this one APScheduler.

- ``night``: by the cron line of the settings (:mod:`bot.nights.schedule`)
- ``housekeeping``: at start, then once a day (:mod:`bot.client`)
- ``what is due``: every minute (:mod:`bot.client`)
- ``what is owed``: as soon as Discord is there, then every minute (:mod:`bot.client`)
- ``following Discord``: every minute while a deletion could not be followed (:mod:`bot.keeping.following`)
- ``catching up``: every ten minutes while a channel could not be read (:mod:`bot.keeping.catching_up`)

Knows neither Discord nor the ledger. Retries that back off (an answer, the engine, the log-in, messages that
wait for the database) are no rounds: they count their own seconds where they fail.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Self
from uuid import uuid4

from apscheduler.events import EVENT_JOB_MISSED, JobExecutionEvent
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.base import BaseTrigger

log = logging.getLogger(__name__)

Work = Callable[[], Awaitable[object]]


class Every(BaseTrigger):
    """A trigger for every so many seconds, counted from when the last round was noticed to be due.

    APScheduler's own interval lists every time that was missed: after a clock that jumped ten years ahead,
    that is five million minutes, before it does anything.
    """

    def __init__(self, seconds: float, *, at_once: bool = False) -> None:
        self._pause = timedelta(seconds=seconds)
        self._at_once = at_once

    def get_next_fire_time(self, previous: datetime | None, now: datetime) -> datetime:
        """Return the next time, as APScheduler asks for it."""
        return now if previous is None and self._at_once else now + self._pause


class _Scheduler(AsyncIOScheduler):
    """APScheduler, but with new plans once the machine's clock has been put back.

    It waits for times of the wall clock. If the clock is a year ahead for a minute and then set right, all
    jobs would otherwise be planned for next year.
    """

    def __init__(self) -> None:
        super().__init__(timezone=UTC)  # type: ignore[no-untyped-call]  # triggers know their zones
        self._woken = datetime.min.replace(tzinfo=UTC)

    def wakeup(self) -> None:
        now = datetime.now(UTC)
        put_back, self._woken = now < self._woken, now
        if put_back:
            for job in super().get_jobs():  # type: ignore[no-untyped-call]
                # Never later than planned: small steps back, again and again, would put a daily round off.
                again = job.trigger.get_next_fire_time(now, now)
                job.modify(next_run_time=min(job.next_run_time, again))
        super().wakeup()


class Rounds:
    """``async with Rounds() as rounds``: does what is planned until it is left."""

    def __init__(self) -> None:
        self._scheduler: AsyncIOScheduler = _Scheduler()
        self._running: dict[str, asyncio.Task[object]] = {}
        self._closing = False
        self._missed: dict[str, Callable[[datetime], None]] = {}
        # A round runs in this context, not in that of the event in which somebody planned it.
        self._context = contextvars.copy_context()

    async def __aenter__(self) -> Self:
        self._scheduler.add_listener(self._on_missed, EVENT_JOB_MISSED)
        self._context.run(self._scheduler.start)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # shutdown() comes into force one turn of the loop later, and a job may begin until then.
        self._closing = True
        self._scheduler.shutdown(wait=False)
        running = list(self._running.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def every(self, seconds: float, work: Work, *, name: str, at_once: bool = False) -> None:
        """Do ``work`` every so many seconds; a round that takes longer than that skips its own next turn.

        However late the machine wakes up, it does the round, and does it once. A new round under the same
        name replaces the old one.
        """
        self._add(work, Every(seconds, at_once=at_once), name=name)

    def until(self, done: Callable[[], Awaitable[bool]], *, seconds: float, name: str) -> None:
        """Call ``done`` every so many seconds, beginning after the first pause, until it returns True."""
        # A name of its own: the next deletion that fails must not replace this one's retries.
        unique = f"{name} {uuid4().hex[:8]}"

        async def work() -> None:
            if await done():
                self._scheduler.remove_job(unique)

        self._add(work, Every(seconds), name=unique)

    def by_trigger(
        self,
        trigger: BaseTrigger,
        work: Work,
        *,
        name: str,
        grace_seconds: int,
        missed: Callable[[datetime], None],
    ) -> None:
        """Do ``work`` at the trigger's times; call ``missed`` instead if that comes later than the grace."""
        self._missed[name] = missed
        self._add(work, trigger, name=name, grace_seconds=grace_seconds)

    def drop(self, name: str) -> None:
        """Plan the round no more; if it is under way, it ends by itself."""
        self._scheduler.remove_job(name)

    def _add(self, work: Work, trigger: BaseTrigger, *, name: str, grace_seconds: int | None = None) -> None:
        self._context.run(
            self._scheduler.add_job,
            self._begin,
            trigger,
            args=(name, work),
            id=name,
            coalesce=True,
            max_instances=1,
            # None: however late. APScheduler's own is one second, after which it drops a round.
            misfire_grace_time=grace_seconds,
            replace_existing=True,
        )

    async def _begin(self, name: str, work: Work) -> None:
        """Start a round unless the last one of this name is still running; return at once.

        In a task of our own: on shutdown APScheduler cancels its jobs without waiting for them, so they
        would still be running when the ledger closes.
        """
        if self._closing or name in self._running:
            return
        task = asyncio.create_task(_done(work, name), name=name)
        self._running[name] = task
        task.add_done_callback(lambda _: self._running.pop(name, None))

    def _on_missed(self, event: JobExecutionEvent) -> None:
        if event.job_id in self._missed:
            self._missed[event.job_id](event.scheduled_run_time)


async def _done(work: Work, name: str) -> None:
    try:
        await work()
    except Exception:  # the next round may succeed, and the others have nothing to do with it
        log.exception("the round %r failed", name)
