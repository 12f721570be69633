"""When nights happen: a cron line in a time zone, and missed nights made up.

APScheduler only wakes this module up. Whether a night is due is decided here, by the injected clock and the
ledger's runs, so that a wake-up that comes late, twice or not at all changes nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from types import TracebackType
from typing import Self
from zoneinfo import ZoneInfo

from bot.background import Background
from bot.nights.cron import WallClockCron
from bot.nights.trainer_process import Nights, WatchedNight
from bot.rounds import Rounds
from ledger.clock import Clock, from_ms, to_ms
from ledger.errors import NightBusy
from ledger.store import Ledger

log = logging.getLogger(__name__)

Tell = Callable[[int, str], None]
"""Posts a text for a guild's admins; returns at once."""


def silent(guild_id: int, text: str) -> None:
    """Tell nobody."""


async def always() -> bool:
    """Believe the clock."""
    return True


LEFT_OUT = (
    "😴 I skip the night that was due <t:{at}:t>, because another one is under way (`/train status`). "
    "What it does not learn from, the next one does."
)

SCHEDULED = "schedule"
MADE_UP = "schedule, made up"
TAKEN_UP = "schedule, taken up again"
ATTEMPTS = 3
"""How often to begin or resume the same night: what killed it three times would kill it again."""


class NightSchedule:
    """``async with NightSchedule(…)``: starts due nights until it is left."""

    def __init__(
        self,
        *,
        cron: str,
        timezone: str,
        misfire_grace_minutes: int,
        ledger: Ledger,
        nights: Nights,
        rounds: Rounds,
        background: Background,
        clock: Clock,
        enabled: bool = True,
        tell: Tell = silent,
        believes: Callable[[], Awaitable[bool]] = always,
    ) -> None:
        """``tell`` posts a text for a guild's admins; ``believes`` says whether to believe the clock."""
        self._zone = ZoneInfo(timezone)
        self._trigger = WallClockCron(cron, self._zone)
        self._grace = timedelta(minutes=misfire_grace_minutes)
        self._ledger = ledger
        self._nights = nights
        self._rounds = rounds
        self._background = background
        self._clock = clock
        self._enabled = enabled
        self._tell, self._believes = tell, believes
        self._left_out: dict[int, datetime] = {}

    async def __aenter__(self) -> Self:
        if self._enabled:
            self._rounds.by_trigger(
                self._trigger,
                self.tick,
                name="night",
                grace_seconds=int(self._grace.total_seconds()),
                missed=self._missed,
            )
            self._nights.on_finished(self._ended)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._enabled:
            self._rounds.drop("night")

    def next_night(self) -> datetime | None:
        """Return when the next night is due, in the schedule's time zone; None when switched off."""
        if not self._enabled:
            return None
        # A time counts as due to the second; within that second the next one is meant.
        due = self._trigger.due(self._clock.now() + timedelta(seconds=1))
        return due.astimezone(self._zone) if due else None

    def last_due(self) -> datetime | None:
        """Return when a night was last due, however long ago, in the schedule's time zone."""
        due = self._trigger.last_due(self._clock.now())
        return due.astimezone(self._zone) if due else None

    async def tick(self) -> list[int]:
        """Start the night of every guild whose night is due and has not begun; return those guilds' ids.

        Called at the due time, at start (for nights that were missed while the bot was off), and whenever
        the demo moves its clock.
        """
        due = self.last_due()
        if not self._enabled or due is None or not await self._believes():
            return []
        late = self._clock.now() - due > self._grace
        started = []
        for guild_id in await self._ledger.guilds.all():
            trigger = MADE_UP if late else SCHEDULED
            # First: a run that was cut off has a row, too, and would count as the night that has begun.
            if await self._cut_off(guild_id, due):
                trigger = TAKEN_UP
            elif await self._begun_since(guild_id, due):
                continue
            try:
                self._nights.start(guild_id, trigger=trigger)
            except NightBusy:
                self._leave_out(guild_id, due)
                continue
            started.append(guild_id)
        return started

    def tell_with(self, tell: Tell) -> None:
        """Use ``tell`` from now on to reach a guild's admins: the bot is made after the schedule."""
        self._tell = tell

    def _leave_out(self, guild_id: int, due: datetime) -> None:
        """Say once that a due night is skipped because another one is running."""
        if self._left_out.get(guild_id) == due:
            return
        self._left_out[guild_id] = due
        log.info("guild %d is being trained already; its scheduled night is skipped", guild_id)
        self._tell(guild_id, LEFT_OUT.format(at=int(due.timestamp())))

    async def _ended(self, night: WatchedNight) -> None:
        """Resume a night whose trainer died, perhaps killed for lack of memory."""
        if night.died:
            self._background.run(self._make_up(), name="cut-off-night")

    async def _cut_off(self, guild_id: int, due: datetime) -> bool:
        """Tell whether the night since ``due`` was cut off (killed, or by a power cut) and may be resumed."""
        if self._nights.current(guild_id) is not None:
            return False
        runs = await self._ledger.runs.of_guild(guild_id, limit=1)
        if not runs or runs[0].finished or from_ms(runs[0].created_at) < due:
            return False
        return await self._ledger.runs.attempts(guild_id, to_ms(due)) < ATTEMPTS

    async def _begun_since(self, guild_id: int, due: datetime) -> bool:
        """Tell whether the night due at ``due`` has begun, or was due before the guild was known."""
        first_seen = await self._ledger.guilds.first_seen(guild_id)
        if first_seen is None or from_ms(first_seen) > due:
            return True
        current = self._nights.current(guild_id)
        if current is not None:
            return current.started_at >= due
        now = self._clock.now()
        last = self._nights.last.get(guild_id)
        if last is not None and due <= last.started_at <= now:
            return True  # it failed before it could record a run; the next due time tries again
        # A run from the future was begun while the clock was ahead, and says nothing about the days since.
        return await self._ledger.runs.begun_between(guild_id, to_ms(due), to_ms(now))

    def _missed(self, due: datetime) -> None:
        log.warning("the night of %s was missed by more than its grace period; it is made up", due)
        self._background.run(self._make_up(), name="missed-night")

    async def _make_up(self) -> None:
        await self.tick()
