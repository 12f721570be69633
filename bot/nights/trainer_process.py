"""Nights as the bot sees them: a trainer process for one guild at a time, watched and cancellable.

Loads no model: ``python -m trainer night`` does the work and reports in lines on its stdout.
"""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from bot.background import Background
from bot.children import end, send
from ledger.clock import Clock
from ledger.errors import NightBusy
from ledger.learned.cut_off import close_cut_off
from ledger.learned.outcome import STAGES, NightStage, Outcome, OutcomeUnreadable
from ledger.store import Ledger

log = logging.getLogger(__name__)

STOP_SECONDS = 10.0
"""How long a cancelled trainer may take to write down that it was, before it is killed."""
LEAVE_SECONDS = 15.0
"""How long one that is left may take to write its resume point; it gives itself ten."""
STOPPED = "The night was stopped before it had begun; what serves keeps serving."
KILLED = "The night was stopped; it did not end by itself and was killed. What serves keeps serving."


@dataclass(slots=True)
class WatchedNight:
    """One night under way, or just ended."""

    guild_id: int
    trigger: str
    started_at: datetime
    stage: NightStage | Literal["waiting"] = "waiting"
    step: int = 0
    steps: int = 0
    loss: float | None = None
    eta_seconds: float | None = None
    running: bool = False
    """Whether its turn has come; until then it waits for another guild's night."""
    cancelled: bool = False
    run: str = ""
    """The run's id, as soon as the trainer has told it."""
    died: bool = False
    """Whether the trainer ended without an outcome, as when it is killed for the memory it took."""
    outcome: Outcome | None = None
    """What it came to; None while it is under way."""
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def share(self) -> float:
        """How much of the current stage is done, 0 to 1."""
        return self.step / self.steps if self.steps else 0.0


Finished = Callable[[WatchedNight], Awaitable[None]]


class Nights:
    """Starts, watches and cancels nights; several guilds' nights wait for each other."""

    def __init__(
        self,
        config: Path,
        *,
        background: Background,
        clock: Clock,
        ledger: Ledger | None = None,
        command: tuple[str, ...] = (sys.executable, "-m", "trainer"),
        stop_seconds: float = STOP_SECONDS,
    ) -> None:
        self._config = config
        self._background = background
        self._clock = clock
        self._ledger = ledger
        self._command = command
        self._stop_seconds = stop_seconds
        self._current: dict[int, WatchedNight] = {}
        self._processes: dict[int, asyncio.subprocess.Process] = {}
        self._one_at_a_time = asyncio.Lock()
        self._listeners: list[Finished] = []
        self._leaving = False
        self.last: dict[int, WatchedNight] = {}

    def on_finished(self, listener: Finished) -> None:
        """Have ``listener`` called with each night that ends."""
        self._listeners.append(listener)

    def off_finished(self, listener: Finished) -> None:
        """Stop calling ``listener``."""
        self._listeners.remove(listener)

    def current(self, guild_id: int) -> WatchedNight | None:
        """Return the guild's night that is under way, or None."""
        return self._current.get(guild_id)

    def start(self, guild_id: int, *, trigger: str) -> WatchedNight:
        """Start a night for the guild.

        Raises:
            NightBusy: one is under way.
        """
        if guild_id in self._current:
            raise NightBusy("A night is under way already; `/train status` shows how far it is.")
        night = WatchedNight(guild_id=guild_id, trigger=trigger, started_at=self._clock.now())
        self._current[guild_id] = night
        self._background.run(self._run(night), name=f"night-{guild_id}")
        return night

    def cancel(self, guild_id: int) -> bool:
        """Ask the guild's night to stop; tell whether there was one."""
        night = self._current.get(guild_id)
        if night is None:
            return False
        if night.cancelled:
            return True  # a second signal would end the trainer before it has written that down
        night.cancelled = True
        work = self._cancel(guild_id) if night.running else self._drop(night)
        self._background.run(work, name=f"cancel-{guild_id}")
        return True

    def leave(self) -> None:
        """Have all trainers end with a resume point, since the bot stops; returns at once."""
        self._leaving = True
        for process in self._processes.values():
            send(process, signal.SIGTERM)

    async def _drop(self, night: WatchedNight) -> None:
        """End a night whose turn has not come; the one before it may take hours."""
        self._close(night)
        await self._tell(night)

    async def _run(self, night: WatchedNight) -> None:
        async with self._one_at_a_time:
            if night.cancelled or self._leaving:
                return
            night.running = True
            try:
                await self._train(night)
            except Exception as error:  # told like every other end of a night
                log.exception("the night of guild %d broke off", night.guild_id)
                night.outcome = _failed(night, f"the trainer could not be run ({error}); see the bot's log")
            finally:
                self._close(night)
        # What is resumed at the next start has not ended: nobody is told of it.
        if not self._leaving and night.outcome is not None and night.outcome.stage != "paused":
            await self._tell(night)

    def _close(self, night: WatchedNight) -> None:
        self._current.pop(night.guild_id, None)
        self.last[night.guild_id] = night
        if night.outcome is None:
            night.outcome = Outcome(night.run if night.cancelled else "", night.guild_id)
            if night.cancelled:
                night.outcome.stage, night.outcome.error = "cancelled", KILLED if night.run else STOPPED
        night.ended.set()

    async def _tell(self, night: WatchedNight) -> None:
        # A copy: a cog that is unloaded takes its listener off, perhaps while this waits for another.
        for listener in list(self._listeners):
            try:
                await listener(night)
            except Exception:  # one listener's failure must not keep the night from the others
                log.exception("a listener failed on the night of guild %d", night.guild_id)
        # They quote members, and were shown now; in here, no deletion would reach them.
        if night.outcome is not None:
            night.outcome.samples = ()

    async def _train(self, night: WatchedNight) -> None:
        process = await asyncio.create_subprocess_exec(
            *self._command,
            "night",
            "--config",
            str(self._config),
            "--guild",
            str(night.guild_id),
            "--trigger",
            night.trigger,
            "--now",
            night.started_at.isoformat(),
            "--progress",
            "--json",
            stdin=asyncio.subprocess.DEVNULL,
            # Ctrl-C at a terminal reaches the bot alone, which then says what it means for the night.
            process_group=0,
            stdout=asyncio.subprocess.PIPE,
            limit=2**22,  # the outcome is one line, samples included
        )
        self._processes[night.guild_id] = process
        if night.cancelled:  # while the process was being started
            self._background.run(self._cancel(night.guild_id), name=f"cancel-{night.guild_id}")
        try:
            assert process.stdout is not None  # noqa: S101 - it was asked for
            async for line in process.stdout:
                self._read(night, line)
            code = await process.wait()
        except BaseException:
            # SIGTERM leaves the run to be resumed; SIGINT would cancel it, checkpoints included.
            await self._stop(night.guild_id, signal.SIGTERM, LEAVE_SECONDS)
            raise
        finally:
            self._processes.pop(night.guild_id, None)
        stage = night.outcome.stage if night.outcome is not None else None
        log.info("night of guild %d ended: %s (exit %d)", night.guild_id, stage, code)
        if night.outcome is None and night.cancelled:
            await self._record_cancel(night)
        elif night.outcome is None:
            night.died = True
            error = f"the trainer ended with exit code {code} and no outcome; see its log"
            night.outcome = _failed(night, error)

    def _read(self, night: WatchedNight, line: bytes) -> None:
        try:
            event = json.loads(line)
        except ValueError:
            return  # something a library printed
        if not isinstance(event, dict):
            return
        progress = event.get("progress")
        if progress is None:
            if "stage" in event:
                night.outcome = _outcome(night, event)
            return
        if progress["stage"] in STAGES:
            night.stage = progress["stage"]
        night.run = str(progress.get("run") or night.run)
        night.step, night.steps = progress["step"], progress["steps"]
        night.loss, night.eta_seconds = progress.get("loss"), progress.get("eta_seconds")

    async def _record_cancel(self, night: WatchedNight) -> None:
        """Write down a cancel that the trainer could not: it was killed, or had only just been started."""
        if self._ledger is not None:
            closed = await close_cut_off(self._ledger, night.guild_id, "cancelled", KILLED)
            night.run = closed[-1] if closed else night.run

    async def _cancel(self, guild_id: int) -> None:
        await self._stop(guild_id, signal.SIGINT, self._stop_seconds)

    async def _stop(self, guild_id: int, number: signal.Signals, seconds: float) -> None:
        process = self._processes.get(guild_id)
        if process is not None and not await end(process, seconds=seconds, by=number):
            log.warning("the trainer of guild %d did not stop and was killed", guild_id)


def _outcome(night: WatchedNight, event: dict[str, Any]) -> Outcome:
    """Return the outcome that the trainer printed; one of another version's trainer may be unreadable."""
    try:
        return Outcome.from_json(event)
    except OutcomeUnreadable as error:
        return _failed(night, f"the trainer's outcome is {error}; see the run's report")


def _failed(night: WatchedNight, error: str) -> Outcome:
    return Outcome(guild=night.guild_id, error=error)
