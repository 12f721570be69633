"""The keys and values of what was read a moment ago, so that the next prompt begins behind them.

Imported, not run. Its border: tokens and memory; it knows no requests and no text. Whoever asks again in a
channel asks behind the same system line and much of the same conversation. An adapter changes what every
token is computed to, so an entry serves its own adapter alone. Entries hold people's words as numbers: they
go with their adapter, and after ten minutes whatever happens.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from engine.computing.cache import RowCache

BYTES = 256 * 2**20
"""Most memory for entries: some 5,700 tokens of the small model in float32, 11,900 of TinyLlama in bf16."""
SECONDS = 600.0
"""How long an entry is kept. Use does not prolong it: its words may have been deleted meanwhile."""


@dataclass(frozen=True, slots=True, eq=False)
class _Entry:
    adapter: str | None
    tokens: Sequence[int]
    states: RowCache
    made: float


class PrefixStore:
    """Entries by adapter and tokens. One thread uses it."""

    def __init__(
        self,
        *,
        most_bytes: int = BYTES,
        seconds: float = SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most, self._seconds, self._clock = most_bytes, seconds, clock
        self._entries: list[_Entry] = []  # the one that was used last stands last

    @property
    def bytes(self) -> int:
        """Memory that the entries take."""
        return sum(entry.states.bytes for entry in self._entries)

    def keep(self, adapter: str | None, tokens: Sequence[int], states: RowCache) -> None:
        """Keep a copy of a row's states, one column a token, in place of older entries that it continues."""
        self.expire()
        size = states.bytes
        if not tokens or size > self._most:
            return
        left = [entry for entry in self._entries if not _continues(adapter, tokens, entry)]
        while left and sum(entry.states.bytes for entry in left) + size > self._most:
            left.pop(0)
        self._entries = left
        self._entries.append(_Entry(adapter, tuple(tokens), states.copied(), self._clock()))

    def find(self, adapter: str | None, prompt: Sequence[int]) -> RowCache | None:
        """Return the states of the longest known beginning of ``prompt``, without its last token.

        They share the entry's memory until a column is added, which copies them.
        """
        self.expire()
        best, most = None, 0
        for entry in self._entries:
            # The last token is always read: its logits are what the answer begins with.
            common = min(shared(entry.tokens, prompt), len(prompt) - 1) if entry.adapter == adapter else 0
            if common > most:
                best, most = entry, common
        if best is None:
            return None
        self._entries.remove(best)
        self._entries.append(best)
        return best.states.beginning(0, most)

    def forget(self, adapter: str | None) -> None:
        """Drop what was read with an adapter."""
        self._entries = [entry for entry in self._entries if entry.adapter != adapter]

    def clear(self) -> None:
        """Drop everything."""
        self._entries = []

    def expire(self) -> float | None:
        """Drop what is too old; return the seconds until the next entry is, None where there is none."""
        now = self._clock()
        self._entries = [entry for entry in self._entries if now - entry.made < self._seconds]
        return min((entry.made + self._seconds - now for entry in self._entries), default=None)


def shared(one: Sequence[int], other: Sequence[int]) -> int:
    """Return how many tokens two sequences have in common at their beginning."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))


def _continues(adapter: str | None, tokens: Sequence[int], entry: _Entry) -> bool:
    known = len(entry.tokens)
    return entry.adapter == adapter and shared(entry.tokens, tokens) == known
