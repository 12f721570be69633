"""When a person may ask again, and when saying so would only add to the noise. Pure bookkeeping."""

from __future__ import annotations

from collections.abc import Callable

SILENT_SECONDS = 60.0
"""How long nothing more is said about it to a person who hurries, or in a channel that asks too much."""
REMEMBERED = 1000
"""Entries behind which those that count no more are dropped."""

About = tuple[str, int]


class Courtesy:
    """Remembers who asked when, and who was told to wait."""

    def __init__(self, cooldown_seconds: float, monotonic: Callable[[], float]) -> None:
        self._cooldown = cooldown_seconds
        self._monotonic = monotonic
        self._asked: dict[int, float] = {}
        self._said: dict[About, float] = {}

    def wait(self, asker_id: int) -> float:
        """Return the seconds until this person may ask again."""
        asked = self._asked.get(asker_id)
        return 0.0 if asked is None else asked + self._cooldown - self._monotonic()

    def asked(self, asker_id: int) -> None:
        """Note that a question of this person was taken."""
        now = self._monotonic()
        self._asked[asker_id] = now
        if len(self._asked) > REMEMBERED:
            self._asked = {who: at for who, at in self._asked.items() if now - at < self._cooldown}

    def says(self, about: About) -> bool:
        """Tell whether a refusal is due, and note that it is given now."""
        now = self._monotonic()
        last = self._said.get(about)
        if last is not None and now - last < SILENT_SECONDS:
            return False
        self._said[about] = now
        if len(self._said) > REMEMBERED:
            self._said = {what: at for what, at in self._said.items() if now - at < SILENT_SECONDS}
        return True
