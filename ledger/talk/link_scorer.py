"""A small trained network that scores what a message may answer: one hidden layer over rows of weights.

All its numbers are whole, so that every machine finds the same links. ``benchmarks/fit_links.py`` trains
it; ``link_weights.json`` says on what, when and how well.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from struct import Struct
from typing import Any

from ledger.errors import LedgerError
from ledger.talk.link_features import ROWS, SPAN, START

SCALE = 256
"""Weights are whole multiples of 1/256, and scores of 1/256 squared."""
_LANE = 1 << 31
"""Hidden sums are told from their neighbours in one big number by 32 bits each, moved above zero by this."""


class LinkScorer:
    """Scores candidates; ``weights`` has ``rows`` (hidden units and a direct weight) and ``output``."""

    def __init__(self, weights: dict[str, Any]) -> None:
        rows: list[list[int]] = weights["rows"]
        self._output: list[int] = weights["output"]
        if len(rows) != ROWS or any(len(row) != len(self._output) + 1 for row in rows):
            raise LedgerError("The weights for reply links are of another version: train them again.")
        # One addition of big numbers adds all units at once: 20,000 messages take 5 s.
        self._rows = [_packed(row) for row in rows]
        self._base = _packed([_LANE] * len(rows[0]))
        self._lanes = Struct(f"<{len(rows[0])}I")

    def scores(self, message: Iterable[int], pairs: Sequence[Iterable[int]]) -> list[int]:
        """Return the score of answering nothing, then of answering each candidate, from their rows."""
        message, get = list(message), self._rows.__getitem__
        starts = sum(map(get, [row + SPAN for row in message]), self._base + get(START))
        answers = sum(map(get, message), self._base)
        return [self._score(starts), *(self._score(sum(map(get, pair), answers)) for pair in pairs)]

    def _score(self, total: int) -> int:
        *hidden, direct = self._lanes.unpack(total.to_bytes(self._lanes.size, "little"))
        units = zip(hidden, self._output, strict=True)
        score: int = direct + sum([weight * (unit - _LANE) for unit, weight in units if unit > _LANE])
        return score - _LANE


def _packed(values: Sequence[int]) -> int:
    return sum(value << (32 * place) for place, value in enumerate(values))


@cache
def shipped() -> LinkScorer:
    """Return the scorer with the weights that come along; loaded once."""
    text = Path(__file__).with_name("link_weights.json").read_text(encoding="utf-8")
    return LinkScorer(json.loads(text))
