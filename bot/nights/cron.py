"""A cron line, read off a time zone's wall clock: each time that it names comes exactly once.

cronsim reads the line as Debian's cron does. For lines with a star in minute or hour it also treats a change
of the clocks as cron does. The others name times of day, for which this module applies the zone: a time that
the clock skips comes an hour later, and of a time that it shows twice the first counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from apscheduler.triggers.base import BaseTrigger
from cronsim import CronSim

_LONGEST_CHANGE = timedelta(hours=3)
"""More than any clock is put forward or back at a time."""


class WallClockCron(BaseTrigger):
    """An APScheduler trigger for a cron line of five fields."""

    def __init__(self, line: str, zone: ZoneInfo) -> None:
        """``line`` has passed the settings' check."""
        self._line, self._zone = line, zone
        minute, hour, *_ = line.split()
        self._names_times = not (minute.startswith("*") or hour.startswith("*"))

    def get_next_fire_time(self, previous: datetime | None, now: datetime) -> datetime | None:
        """Return the next due time in UTC, as APScheduler asks for it."""
        # due() takes the time itself as well, and the last one must not come again.
        return self.due(now if previous is None else max(now, previous + timedelta(seconds=1)))

    def due(self, earliest: datetime) -> datetime | None:
        """Return the first due time that is not before ``earliest``, in UTC; None if there is none."""
        found = self._times(earliest, back=False)
        return next((due for due in found if due >= earliest), None)

    def last_due(self, latest: datetime) -> datetime | None:
        """Return the last due time that is not after ``latest``, in UTC; None if there was none."""
        found = self._times(latest, back=True)
        return next((due for due in found if due <= latest), None)

    def _times(self, start: datetime, *, back: bool) -> Iterator[datetime]:
        """Yield due times from shortly before ``start`` on, or backwards from shortly after it."""
        if self._names_times:
            shift = _LONGEST_CHANGE if back else -_LONGEST_CHANGE
            wall = start.astimezone(self._zone).replace(tzinfo=UTC) + shift
            for shown in CronSim(self._line, wall, reverse=back):
                # fold 0 is the first of two; a time that is skipped gets the offset from before the gap, and
                # so comes an hour later.
                yield shown.replace(tzinfo=self._zone, fold=0).astimezone(UTC)
        else:
            # cronsim skips the very time that it starts from.
            step = timedelta(minutes=1) if back else timedelta(minutes=-1)
            for due in CronSim(self._line, (start + step).astimezone(self._zone), reverse=back):
                yield due.astimezone(UTC)
