"""A cron line read off a time zone's wall clock: each time that it names comes once, as an instant.

APScheduler's own trigger compares local times. In the hour that a clock shows twice when summer time
ends it gives a time twice, and from the second on the same one for ever; so it is only asked in UTC.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.cron import CronTrigger

_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat", "sun")
_LONGEST_CHANGE = timedelta(hours=3)
"""More than any clock is put forward or back at once."""


class WallClockCron(BaseTrigger):
    """An APScheduler trigger for a cron line; weekdays count as in cron: 0 and 7 are Sunday."""

    def __init__(self, line: str, zone: ZoneInfo) -> None:
        *fields, weekdays = line.split()
        self._cron = CronTrigger.from_crontab(" ".join([*fields, _named(weekdays)]), timezone=UTC)
        self._zone = zone

    def get_next_fire_time(self, previous: datetime | None, now: datetime) -> datetime | None:
        """Return the next due time in UTC, as APScheduler asks for it."""
        return self.due(now if previous is None else max(now, previous + timedelta(seconds=1)))

    def due(self, earliest: datetime) -> datetime | None:
        """Return the first due time that is not before ``earliest``, in UTC; None if there is none.

        A time in the hour that is left out in spring comes an hour later; one in the hour that comes
        twice in autumn is due the first time.
        """
        wall = earliest.astimezone(self._zone).replace(tzinfo=UTC) - _LONGEST_CHANGE
        while (shown := self._cron.get_next_fire_time(None, wall)) is not None:
            due: datetime = shown.replace(tzinfo=self._zone).astimezone(UTC)
            if due >= earliest:
                return due
            wall = shown + timedelta(seconds=1)
        return None


def _named(weekdays: str) -> str:
    """Return the weekday field with names for numbers: APScheduler 3 counts from Monday, cron from Sunday."""
    return ",".join(_named_part(part) for part in weekdays.split(","))


def _named_part(part: str) -> str:
    found = re.fullmatch(r"([0-7])(?:-([0-7]))?(?:/(\d+))?", part)
    if found is None:
        return part
    first, last, step = int(found[1]), int(found[2] or found[1]), int(found[3] or 1)
    return ",".join(_DAYS[first : last + 1 : step]) or part
