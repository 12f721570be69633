"""How long work takes, whatever else the machine does and other tests left behind."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable

TRIES = 3
"""The least of them counts: a neighbour on the same core makes single runs several times as slow."""


def cpu_seconds(work: Callable[[], object], *, prepare: Callable[[], object] = lambda: None) -> float:
    """Return the least CPU seconds that ``work`` took; ``prepare`` runs before each try and is not counted.

    Garbage is collected before and not meanwhile: a full collection took 0.6 s in a process that had
    run a thousand tests, fifteen times as long as what was measured.
    """
    tries = []
    for _ in range(TRIES):
        prepare()
        gc.collect()
        gc.disable()
        try:
            began = time.process_time()
            work()
            tries.append(time.process_time() - began)
        finally:
            gc.enable()
    return min(tries)
