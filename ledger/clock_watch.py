"""Whether the clock can be believed: what deletes by age, or starts by date, asks here first.

A clock that jumps ten years ahead makes everything too old to keep. The watch compares it with the time since
the machine was started and, across restarts, with the last time that it believed. It believes a doubted clock
again once that shows what it should, or once Discord's own time agrees with it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta

from ledger.clock import from_ms, to_ms
from ledger.store import Ledger

TOLERANCE = timedelta(hours=1)
"""More than drift and a leap second, and less than any jump that would cost a night or a message."""
AWAY = timedelta(days=7)
"""How long a bot may have been off before its clock has to be confirmed."""


def since_boot() -> float:
    """Return the seconds since the machine was started, those in which it slept included."""
    # Linux leaves sleep out of its monotonic clock and counts it in this one; macOS counts it in both.
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class ClockWatch:
    """Doubts the ledger's clock where it jumps; ``problem`` says why, and is empty while it is believed."""

    def __init__(self, ledger: Ledger, *, seconds: Callable[[], float] = since_boot) -> None:
        self._ledger = ledger
        self._seconds = seconds
        self._believed: tuple[datetime, float] | None = None
        self._ahead = TOLERANCE
        self.problem = ""

    async def look(self) -> bool:
        """Compare the clock with what it should show; return whether it can be believed."""
        now = self._ledger.clock.now()
        if self._believed is None:
            last = await self._last_believed()
            self._believed, self._ahead = (last or now, self._seconds()), AWAY
        wall, seconds = self._believed
        expected = wall + timedelta(seconds=self._seconds() - seconds)
        if -TOLERANCE <= now - expected <= self._ahead:
            await self._believe(now)
        else:
            self.problem = (
                f"The clock shows <t:{_seconds_of(now)}:F> where about <t:{_seconds_of(expected)}:F> was "
                "expected. Until it is set right, or somebody's new message shows that it is right, nothing "
                "is deleted by age or date and no night starts by itself."
            )
        return not self.problem

    def heard(self, moment: datetime) -> None:
        """Take note of what Discord's own clock says: it made the number of a message at this time."""
        now = self._ledger.clock.now()
        if self.problem and abs(now - moment) <= TOLERANCE:
            self.problem = ""
            self._believed, self._ahead = (now, self._seconds()), TOLERANCE

    async def _believe(self, now: datetime) -> None:
        self.problem = ""
        self._believed, self._ahead = (now, self._seconds()), TOLERANCE
        await self._ledger.writer.execute(
            "INSERT INTO clock (only_row, believed_at) VALUES (1, ?)"
            " ON CONFLICT (only_row) DO UPDATE SET believed_at = excluded.believed_at",
            (to_ms(now),),
        )

    async def _last_believed(self) -> datetime | None:
        async with self._ledger.reader.execute("SELECT believed_at FROM clock") as cursor:
            row = await cursor.fetchone()
        return from_ms(int(row["believed_at"])) if row else None


def _seconds_of(moment: datetime) -> int:
    return int(moment.timestamp())
