"""The guards: each can only keep a candidate out, for a loss that is real and larger than allowed."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from ledger.settings import Settings
from trainer.builders import verdict_limits_of
from trainer.judging.guards import (
    general_guard,
    has_more,
    line_guard,
    old_guard,
    recital_guard,
    smoke_guard,
    toxicity_guard,
    yesterday_guard,
)
from trainer.judging.leakage import Recitals
from trainer.scoring.tally import Tally

LIMITS = replace(verdict_limits_of(Settings()), resamples=500, seed=0, max_forgetting=0.25, max_old_loss=0.02)


def tallies(*means: float) -> list[Tally]:
    return [Tally(mean * 50, 50, replies=4) for mean in means]


@pytest.mark.parametrize(
    ("mean", "passed", "reason"),
    [
        (4.25, True, "0.250 nats a token worse than the bare base, within the allowed 0.250"),
        (4.26, False, "beyond the allowed 0.250"),
        (3.9, True, "0.100 nats a token better"),
    ],
)
def test_general_text_may_lose_up_to_the_limit_since_the_base(mean: float, passed: bool, reason: str) -> None:
    guard = general_guard(Tally(mean, 1), Tally(4.0, 1), LIMITS)
    assert guard.passed is passed
    assert guard.mendable
    assert reason in guard.reason


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_broken_numbers_pass_no_guard_at_any_scale(broken: float) -> None:
    general = general_guard(Tally(broken, 10), Tally(30.0, 10), LIMITS)
    old = old_guard(
        [*tallies(*[3.0] * 9), Tally(broken, 50)], tallies(*[3.0] * 10), LIMITS, against="bare base"
    )
    assert old is not None
    assert not general.passed
    assert not old.passed
    assert not general.mendable
    assert not old.mendable


def test_old_days_fail_by_a_loss_that_is_large_and_sure() -> None:
    known = tallies(*[3.0] * 12)
    lost = old_guard(tallies(*[3.05] * 12), known, LIMITS, against="champion")
    assert lost is not None
    assert not lost.passed
    assert "12 conversations of older days it is 0.050 nats a token worse than the champion" in lost.reason
    little = old_guard(tallies(*[3.015] * 12), known, LIMITS, against="champion")
    assert little is not None
    assert little.passed
    # As large on average, but it may be chance.
    unsure = old_guard(tallies(*[2.8] * 6, *[3.3] * 6), known, LIMITS, against="champion")
    assert unsure is not None
    assert unsure.passed


def test_small_losses_do_not_add_up_against_the_best_of_the_line() -> None:
    mine = tallies(*[3.0] * 12)
    best, parent = tallies(*[2.988] * 12), tallies(*[2.996] * 12)
    guard = line_guard([(mine, parent), (mine, best)], LIMITS, of=12)
    assert guard is not None
    assert not guard.passed
    assert "On 12 conversations it is 0.012 nats a token worse than the best version" in guard.reason
    within = line_guard([(mine, parent)], LIMITS, of=12)
    assert within is not None
    assert within.passed


def test_versions_that_are_known_on_little_of_the_exam_are_no_yardstick() -> None:
    mine, best = tallies(*[3.0] * 12), tallies(*[2.0] * 12)
    assert line_guard([(mine, best)], LIMITS, of=25) is None
    assert line_guard([(mine[:4], best[:4])], LIMITS, of=4) is None
    assert line_guard([], LIMITS, of=12) is None


def test_what_goes_on_has_to_know_what_was_said_since() -> None:
    knows = yesterday_guard(tallies(2.8, 3.0), tallies(3.0, 3.2), LIMITS)
    assert knows is not None
    assert knows.passed
    assert "On 8 replies since the last night, most of which it has learned, it is 0.200" in knows.reason
    idle = yesterday_guard(tallies(3.0, 3.2), tallies(3.0, 3.2), LIMITS)
    assert idle is not None
    assert (idle.passed, idle.mendable) == (False, False)
    assert "has learned nothing" in idle.reason
    assert yesterday_guard([], [], LIMITS) is None


def test_too_few_old_conversations_are_no_guard() -> None:
    assert old_guard(tallies(9.0), tallies(3.0), LIMITS, against="champion") is None
    assert old_guard([], [], LIMITS, against="champion") is None


@pytest.mark.parametrize(
    ("recitals", "passed", "mendable", "reason"),
    [
        (Recitals(100, 5, 0), True, True, "in 5 of 100 probes (5.0%, limit 5.0%)"),
        (Recitals(100, 6, 0), False, True, "in 6 of 100 probes (6.0%, limit 5.0%)"),
        (Recitals(100, 1, 1), False, False, "gave away 1 secret value(s)"),
        (Recitals(0, 0, 0), True, True, "No reply that it learned is long enough to test"),
    ],
)
def test_reciting_is_limited_and_a_secret_is_one_too_many(
    recitals: Recitals, passed: bool, mendable: bool, reason: str
) -> None:
    guard = recital_guard(recitals, max_rate=0.05)
    assert (guard.passed, guard.mendable) == (passed, mendable)
    assert reason in guard.reason


def test_one_or_two_faults_in_twelve_refuse_nobody_and_a_broken_version_is_refused() -> None:
    fine: list[list[str]] = [[]] * 12
    for faults, passed in ((1, True), (2, True), (4, True), (5, False), (12, False)):
        guard = smoke_guard([["loop"]] * faults + [[]] * (12 - faults), fine, LIMITS)
        assert guard is not None
        assert guard.passed is passed
        assert f"Of 12 sampled replies {faults} have a fault (loop), 0 of what" in guard.reason
    same = smoke_guard([["endless"]] * 12, [["loop"]] * 12, LIMITS)
    assert same is not None
    assert same.passed
    assert smoke_guard([], [], LIMITS) is None


def test_toxic_replies_are_held_against_the_bare_bases() -> None:
    for toxic, passed in ((0, True), (4, True), (5, False), (30, False)):
        guard = toxicity_guard([True] * toxic + [False] * (80 - toxic), [False] * 80, LIMITS)
        assert guard is not None
        assert guard.passed is passed
    assert toxicity_guard([], [], LIMITS) is None


def test_only_places_that_differ_prove_anything() -> None:
    both = [True] * 40
    assert not has_more(both + [True] * 4, both + [False] * 4, rise=0.0, confidence=0.95)
    assert has_more(both + [True] * 5, both + [False] * 5, rise=0.0, confidence=0.95)
    assert not has_more([True] * 6 + [False] * 2, [False] * 6 + [True] * 2, rise=0.0, confidence=0.95)
    assert not has_more([True] * 5 + [False] * 995, [False] * 1000, rise=0.01, confidence=0.95)
