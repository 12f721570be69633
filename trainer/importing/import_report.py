"""What an import did: counts, and one sentence for each file that was not read whole."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class ImportReport:
    """Counts of one import.

    ``read`` = ``added`` + ``already_there`` + the sum of ``left_out``. ``problems`` holds a sentence for each
    file that was refused or cut off; the others were imported all the same.
    """

    files: int = 0
    read: int = 0
    added: int = 0
    already_there: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    guilds: set[int] = field(default_factory=set)
    channels: set[int] = field(default_factory=set)
    addressed: int = 0
    """Messages, added or already there, of which it is known whom they address."""
    problems: list[str] = field(default_factory=list)
    advice: str = ""
    """What to do if nothing could be taken, or nothing may be learned."""
    seconds: float = 0.0

    @property
    def exit_code(self) -> int:
        """0 when every file was read to its end, otherwise 1."""
        return 1 if self.problems else 0

    def as_json(self) -> dict[str, Any]:
        """Return the report as one JSON object, for scripts."""
        return {
            "files": self.files,
            "read": self.read,
            "added": self.added,
            "already_there": self.already_there,
            "left_out": dict(self.left_out.most_common()),
            "guilds": sorted(self.guilds),
            "channels": sorted(self.channels),
            "addressed": self.addressed,
            "problems": list(self.problems),
            "advice": self.advice,
            "seconds": round(self.seconds, 2),
        }

    def lines(self) -> list[str]:
        """Return the report as sentences, for people."""
        told = [
            f"Read {self.read:,} messages from {_many(self.files, 'file')}: {self.added:,} added, "
            f"{self.already_there:,} already there, {self.left_out.total():,} left out."
        ]
        told += [f"  left out: {count:,} – {reason}" for reason, count in self.left_out.most_common()]
        if self.guilds:
            told.append(
                f"They belong to {_many(len(self.channels), 'channel')} of "
                f"{_many(len(self.guilds), 'server')}; {self.addressed:,} name whom they answer."
            )
        return told + self.problems + ([self.advice] if self.advice else [])


def _many(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
