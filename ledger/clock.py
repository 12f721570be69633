"""The clock that everything is handed, so that nights can be replayed and tests need not wait."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Protocol

FIRST_MS = 0
LAST_MS = 1_420_070_400_000 + (1 << 42) - 1
"""The first and the last time that a message can have: from 1970 to 2154, where Discord's ids end."""


class Clock(Protocol):
    """Anything that tells the time."""

    def now(self) -> datetime:
        """Return the current time, aware, in UTC."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)


def to_ms(moment: datetime) -> int:
    """Return ``moment`` in milliseconds since the epoch, the form in which the ledger keeps time."""
    return round(moment.timestamp() * 1000)


def from_ms(milliseconds: int) -> datetime:
    """Return the aware UTC time of ``milliseconds`` since the epoch."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


class OffsetClock:
    """A clock that was set: it starts at ``start`` and runs on with the machine's own."""

    def __init__(self, start: datetime) -> None:
        self._offset = start.astimezone(UTC) - datetime.now(UTC)

    def now(self) -> datetime:
        return datetime.now(UTC) + self._offset

    def set(self, moment: datetime) -> None:
        """Move the clock to ``moment``."""
        self._offset = moment.astimezone(UTC) - datetime.now(UTC)
