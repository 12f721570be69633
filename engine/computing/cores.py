"""How many CPU cores write a token: two while they are free, one while something else wants them.

Imported, not run. Its border: it counts time and threads; it knows no model. A step of a small model
shares a hundred small products among threads that spin for some 100 µs in between (``GOMP_SPINCOUNT``).
On two free cores that takes 21 ms instead of 28 with one. Beside a busy neighbour the second thread gets
its core late, and the first waits for it a hundred times a step: 75 to 95 ms.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

_LOOKED_AT = 8
"""Steps whose median decides: 0.2 s of the small model."""
_WAITED = 1.08
"""Wall time over CPU time of the writing thread. Spinning counts as CPU time, so on free cores it is 1.00 to
1.05; beside a training run of the same night 1.10 to 1.34, beside a process of equal priority 2."""
_ALONE = 256
"""Steps with one core before two are tried again, which costs 3 % where they are still wanted."""


class WritingCores:
    """The cores of one thread's steps."""

    def __init__(
        self,
        most: int,
        *,
        wall: Callable[[], float] = time.perf_counter,
        own: Callable[[], float] = time.thread_time,
    ) -> None:
        """``wall`` and ``own`` are clocks of the time that passes and of what this thread computes."""
        self._most, self._wall, self._own = most, wall, own
        self._alone = 0
        self._ratios: list[float] = []

    @contextmanager
    def step(self) -> Iterator[None]:
        """Compute one step on as many cores as are free."""
        threads = 1 if self._alone else self._most
        use_threads(threads)
        wall, own = self._wall(), self._own()
        yield
        if threads == 1:
            self._alone = max(0, self._alone - 1)
            return
        self._ratios.append((self._wall() - wall) / max(self._own() - own, 1e-9))
        if len(self._ratios) == _LOOKED_AT:
            # Their median: a single step that was held up for long says nothing about the next.
            if statistics.median(self._ratios) > _WAITED:
                self._alone = _ALONE
            self._ratios.clear()


def use_threads(threads: int) -> None:
    """Have PyTorch compute on so many threads from now on."""
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)


__all__ = ["WritingCores", "use_threads"]
