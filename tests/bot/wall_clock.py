"""The machine's wall clock in a test's hand: APScheduler plans by it, and knows no injected clock."""

from __future__ import annotations

from datetime import datetime, timedelta, tzinfo

from bot.rounds import Rounds


class WallClock:
    """Real time, moved by whole spans; ``datetime`` stands in for the class of that name."""

    def __init__(self) -> None:
        self.ahead = timedelta()
        clock = self

        class Moved(datetime):
            """The clock's time as ``datetime.now`` gives it."""

            @classmethod
            def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
                return datetime.now(tz) + clock.ahead

        self.datetime = Moved

    def move(self, rounds: Rounds, **span: float) -> None:
        """Move the clock, and have the rounds look at it, as they do when they wake up next."""
        self.ahead += timedelta(**span)
        rounds._scheduler.wakeup()
