"""Sums that can be added, and the means that are formed from them."""

from __future__ import annotations

import math

import pytest

from trainer.scoring.tally import Tally, total


def test_perplexity_is_the_exponential_of_total_over_total() -> None:
    added = total([Tally(10.0, 4, 1, 1), Tally(2.0, 8, 7, 1)])
    assert added.perplexity == pytest.approx(math.e)
    assert added.accuracy == pytest.approx(8 / 12)
    assert Tally(1e6, 1).perplexity == math.inf


def test_a_tally_of_nothing_has_no_mean_and_adds_nothing() -> None:
    nothing = total([])
    assert math.isnan(nothing.mean)
    assert math.isnan(nothing.accuracy)
    assert nothing + Tally(3.0, 2, 1, 1) == Tally(3.0, 2, 1, 1)
