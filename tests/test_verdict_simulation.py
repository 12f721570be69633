"""Verdicts and rollbacks on real differences are seldom wrong; the benchmark does the same 2,000 times."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from verdict_simulation import Differences, load, promoted, sent_back, shipped_limits

LIMITS = replace(shipped_limits(), resamples=300)
PAIRS = load()
FITS = [name for name in PAIRS if "base" not in name]
"""Two fits of like worth: what a night compares once there is a champion."""


def test_the_differences_are_figures_of_real_conversations() -> None:
    assert FITS
    assert all(len(pair.tokens) >= 50 and pair.tokens.min() > 0 for pair in PAIRS.values())


@pytest.mark.parametrize("name", FITS)
@pytest.mark.parametrize(
    ("difference", "conversations", "least", "most"),
    [(0.0, 150, 0.0, 0.05), (0.0, 30, 0.0, 0.05), (0.02, 150, 0.0, 0.01), (-0.05, 150, 0.8, 1.0)],
)
def test_verdicts_are_seldom_wrong(
    name: str, difference: float, conversations: int, least: float, most: float
) -> None:
    share = promoted(PAIRS[name], difference, conversations=conversations, times=200, limits=LIMITS)
    assert least <= share <= most


@pytest.mark.parametrize("name", FITS)
def test_what_goes_on_from_the_champion_is_seldom_let_through_worse(name: str) -> None:
    for difference, most in ((0.01, 0.08), (0.02, 0.01)):
        share = promoted(PAIRS[name], difference, conversations=150, times=200, limits=LIMITS, need="grown")
        assert share <= most


@pytest.mark.parametrize("name", FITS)
def test_an_equal_version_is_seldom_sent_back_in_sixty_nights_and_a_worse_one_is(name: str) -> None:
    share, _ = sent_back(PAIRS[name], 0.0, nights=60, each=8, times=60, limits=LIMITS)
    assert share <= 0.05
    share, nights = sent_back(PAIRS[name], 0.1, nights=60, each=8, times=20, limits=LIMITS)
    assert share == 1.0
    assert nights <= 14


def test_moved_differences_have_the_mean_that_was_asked_for() -> None:
    pair = Differences([(30.0, 100), (-5.0, 50), (1.0, 10)])
    assert pair.mean == pytest.approx(26 / 160)
    assert pair.nats(0.05).sum() / pair.tokens.sum() == pytest.approx(0.05)
    night = pair.night(0.05, 4, np.random.default_rng(1))
    assert [gap.tokens for gap in night] in ([100, 50, 10, 100], [50, 10, 100, 50], [10, 100, 50, 10])
