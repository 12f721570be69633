"""The scorer: the same sums as written out, and weights that fit the features."""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path
from typing import Any

import pytest

from ledger.errors import LedgerError
from ledger.talk import link_scorer
from ledger.talk.link_features import ROWS, SPAN, START
from ledger.talk.link_scorer import LinkScorer
from tests.timing import cpu_seconds

SHIPPED = Path(link_scorer.__file__).with_name("link_weights.json")


def some_weights(units: int = 5) -> dict[str, Any]:
    draw = random.Random(2)
    rows = [[draw.randrange(-9_000, 9_000) for _ in range(units + 1)] for _ in range(ROWS)]
    return {"rows": rows, "output": [draw.randrange(-400, 400) for _ in range(units)]}


def written_out(weights: dict[str, Any], rows: list[int]) -> int:
    rows_of_weights: list[list[int]] = [weights["rows"][row] for row in rows]
    *hidden, direct = (sum(column) for column in zip(*rows_of_weights, strict=True))
    score: int = direct + sum(max(0, unit) * out for unit, out in zip(hidden, weights["output"], strict=True))
    return score


def test_scores_are_those_of_the_network_written_out() -> None:
    weights, message, pairs = some_weights(), [1, 7, SPAN], [[ROWS - 1, 300], [301], []]
    expected = [written_out(weights, [START, *(row + SPAN for row in message)])]
    expected += [written_out(weights, message + pair) for pair in pairs]
    assert LinkScorer(weights).scores(message, pairs) == expected


def test_weights_of_another_version_are_refused() -> None:
    weights = some_weights()
    weights["rows"].pop()
    with pytest.raises(LedgerError, match="train them again"):
        LinkScorer(weights)


def test_the_shipped_weights_are_whole_and_say_where_they_come_from() -> None:
    weights = json.loads(SHIPPED.read_text(encoding="utf-8"))
    numbers = json.dumps(weights["rows"], separators=(",", ":")).encode()
    assert weights["about"]["sha256 of rows"] == hashlib.sha256(numbers).hexdigest()
    assert weights["about"]["licence of the data"] == "CC-BY-4.0"
    assert all(type(value) is int for row in weights["rows"] for value in row)


def test_sums_of_shipped_weights_stay_within_their_lanes() -> None:
    """A hidden sum beyond 31 bits would spill into its neighbour."""
    rows = json.loads(SHIPPED.read_text(encoding="utf-8"))["rows"]
    assert max(abs(value) for row in rows for value in row) * 40 < 2**31


def test_the_shipped_weights_load_quickly() -> None:
    assert cpu_seconds(link_scorer.shipped, prepare=link_scorer.shipped.cache_clear) < 0.05
