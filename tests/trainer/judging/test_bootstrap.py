"""How sure a difference is: ratios of totals, whole conversations, and how many of them would tell."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.judging.bootstrap import _student, _widening, conversations_needed, paired_bootstrap
from trainer.scoring.tally import Tally


def tallies(*means: float, tokens: int = 50) -> list[Tally]:
    return [Tally(mean * tokens, tokens, replies=4) for mean in means]


def test_the_figure_is_a_ratio_of_totals_and_no_mean_of_means() -> None:
    candidate = [Tally(10.0, 10), *[Tally(1000.0, 1000)] * 4]
    reference = [Tally(110.0, 10), *[Tally(1000.0, 1000)] * 4]
    interval = paired_bootstrap(candidate, reference, confidence=0.9, resamples=100)
    assert interval.estimate == pytest.approx(-100 / 4010)


def test_scores_on_different_tokens_are_refused() -> None:
    with pytest.raises(ValueError, match="same tokens"):
        paired_bootstrap(tallies(1.0), [Tally(50.0, 51)], confidence=0.9, resamples=100)


def test_many_conversations_are_resampled_in_parts() -> None:
    candidate, reference = tallies(*[3.0] * 300), tallies(*[3.1] * 300)
    interval = paired_bootstrap(candidate, reference, confidence=0.95, resamples=501)
    assert interval.better == 1.0
    assert interval.low == pytest.approx(-0.1)


def test_better_means_by_more_than_the_margin() -> None:
    candidate, reference = tallies(*[2.98, 3.0] * 20), tallies(*[3.0] * 40)
    shares = [
        paired_bootstrap(candidate, reference, confidence=0.95, resamples=500, margin=margin).better
        for margin in (0.01, 0.0, -0.01, -0.02)
    ]
    assert shares[0] == shares[1] == 1.0
    assert 0.3 < shares[2] < 0.7
    assert shares[3] == 0.0


def test_the_spread_is_that_of_a_ratio_and_foretells_the_interval() -> None:
    draw = np.random.default_rng(1)
    tokens = draw.integers(20, 400, size=300)
    gaps = draw.normal(0.03, 0.2, size=300) * tokens
    reference = [Tally(4.0 * int(n), int(n)) for n in tokens]
    candidate = [
        Tally(tally.nll + gap, tally.tokens) for tally, gap in zip(reference, gaps.tolist(), strict=True)
    ]
    found = paired_bootstrap(candidate, reference, confidence=0.95, resamples=4000)
    assert found.conversations == 300
    assert (found.high - found.low) / (2 * 1.96) == pytest.approx(found.spread / math.sqrt(300), rel=0.05)


@pytest.mark.parametrize(
    ("freedom", "quantile"), [(2, 2.920), (4, 2.132), (9, 1.833), (29, 1.699), (1000, 1.646)]
)
def test_few_conversations_ask_for_more_as_students_table_does(freedom: float, quantile: float) -> None:
    assert _student(0.95, freedom) == pytest.approx(quantile, rel=0.015)


def test_conversations_of_which_one_is_huge_count_as_few() -> None:
    alike = _widening(np.array([100.0] * 30), 0.95)
    unlike = _widening(np.array([10_000.0] + [100.0] * 29), 0.95)
    assert 1.0 < alike < 1.06
    assert unlike > 2


def test_the_number_needed_is_what_the_formula_says() -> None:
    assert conversations_needed(0.05, 0.005, confidence=0.95) == math.ceil(6.1826 * 100)
    assert conversations_needed(0.05, 0.005, confidence=0.99) > conversations_needed(
        0.05, 0.005, confidence=0.95
    )


@settings(max_examples=40, deadline=None)
@given(
    gaps=st.lists(st.floats(-2.0, 2.0), min_size=5, max_size=10),
    tokens=st.lists(st.integers(1, 400), min_size=10, max_size=10),
)
def test_the_interval_holds_the_estimate_and_the_order_of_conversations_does_not_matter(
    gaps: list[float], tokens: list[int]
) -> None:
    reference = [Tally(4.0 * n, n) for n, _ in zip(tokens, gaps, strict=False)]
    candidate = [
        Tally(tally.nll + gap * tally.tokens, tally.tokens)
        for tally, gap in zip(reference, gaps, strict=True)
    ]
    interval = paired_bootstrap(candidate, reference, confidence=0.95, resamples=400)
    # Widened for few conversations, it may reach beyond the outermost of them.
    reach = 3 * (max(gaps) - min(gaps)) + 1e-9
    assert min(gaps) - reach <= interval.low <= interval.high <= max(gaps) + reach
    assert min(gaps) - 1e-9 <= interval.estimate <= max(gaps) + 1e-9
    turned = paired_bootstrap(candidate[::-1], reference[::-1], confidence=0.95, resamples=400)
    assert turned.estimate == pytest.approx(interval.estimate, abs=1e-9)
