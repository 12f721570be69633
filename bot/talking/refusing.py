"""When somebody may ask again, and when saying so would only add to the noise. Pure bookkeeping."""

from __future__ import annotations

from collections.abc import Callable

SILENT_SECONDS = 60.0
"""How long to keep quiet after telling somebody to wait, or a channel that it is asking too much."""
REMEMBERED = 1000
"""With more entries than this, those that no longer matter are dropped."""

About = tuple[str, int]


class Courtesy:
    """Remembers who asked when, and who was asked to wait."""

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
        """Note that a question from this person was taken."""
        now = self._monotonic()
        self._asked[asker_id] = now
        if len(self._asked) > REMEMBERED:
            self._asked = {who: at for who, at in self._asked.items() if now - at < self._cooldown}

    def says(self, about: About) -> bool:
        """Tell whether to give a reason now, and note that it was given."""
        now = self._monotonic()
        last = self._said.get(about)
        if last is not None and now - last < SILENT_SECONDS:
            return False
        self._said[about] = now
        if len(self._said) > REMEMBERED:
            self._said = {what: at for what, at in self._said.items() if now - at < SILENT_SECONDS}
        return True
