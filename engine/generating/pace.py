"""How many prompt tokens a pass reads beside the rows that write: as many as lengthen it by a half.

Imported, not run. Its border: it counts tokens and time; it knows no model. What a token costs depends on
the machine, on what else runs there and on the rows, so it is measured while the engine works.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_LONGER = 0.5
"""By what share of a step reading may lengthen it. A third of the time then reads, so a crowd of prompts is
read in three times the time that it takes alone."""
_LONGER_APART = 1.5
"""The same where a prompt takes a pass of its own, which costs a step before it has read anything."""
_STEPS = 5
"""Steps of which the second fastest counts, so that those do not that a neighbour held up."""
_CHANGE = 1.25
"""Factor by which the number of tokens changes from pass to pass, at most."""
_PLAIN_EVERY = 16
"""One pass in so many reads nothing while rows write, so that what a step takes stays known."""


class Pace:
    """How fast prompts are read. One thread uses it."""

    def __init__(self, most: int, *, together: bool, clock: Callable[[], float] = time.perf_counter) -> None:
        """``most`` tokens are read where nobody writes; ``together`` tells whether a pass does both."""
        self._most, self._least = most, most // 32
        self._longer = _LONGER if together else _LONGER_APART
        self._clock = clock
        self._tokens = most / 16
        self._steps: dict[int, deque[float]] = {}
        self._since_plain = 0

    def tokens(self, writing: int) -> int:
        """Return how many prompt tokens the next pass may read beside so many rows that write."""
        if not writing:
            return self._most
        return 0 if self._since_plain >= _PLAIN_EVERY else int(self._tokens)

    @contextmanager
    def measured(self, writing: int, tokens: int) -> Iterator[None]:
        """Take the time of a pass with so many rows and prompt tokens."""
        began = self._clock()
        yield
        seconds = self._clock() - began
        if writing and tokens:
            self._since_plain += 1
            self._adapt(writing, tokens, seconds)
        elif writing:
            self._since_plain = 0
            self._steps.setdefault(writing, deque(maxlen=_STEPS)).append(seconds)

    def _adapt(self, writing: int, tokens: int, seconds: float) -> None:
        step = self._step(writing)
        # A prompt's last tokens say little about what a whole portion costs.
        if step is None or 2 * tokens < self._tokens:
            return
        fits = tokens * self._longer * step / max(seconds - step, 1e-9)
        fits = min(max(fits, self._tokens / _CHANGE), self._tokens * _CHANGE)
        self._tokens = min(max(fits, self._least), self._most)

    def _step(self, writing: int) -> float | None:
        """Return the seconds of a step with so many rows, or with the number nearest to it."""
        nearest = min(self._steps, key=lambda rows: abs(rows - writing), default=None)
        if nearest is None:
            return None
        steps = sorted(self._steps[nearest])
        return steps[min(1, len(steps) - 1)]
