"""The verdict: promoted only with proof, and never on luck, forgetting or broken numbers."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.settings import Settings
from trainer.builders import verdict_limits_of
from trainer.judging.guards import Guard
from trainer.judging.verdict import MIN_CONVERSATIONS, Decision, judge
from trainer.scoring.tally import Tally

LIMITS = replace(verdict_limits_of(Settings()), resamples=500, seed=0)
PASSED, FAILED = Guard("general", True, "It kept it."), Guard("old", False, "It lost it.")
SECRET = Guard("recitals", False, "It gave it away.", mendable=False)


def tallies(*means: float, tokens: int = 50) -> list[Tally]:
    return [Tally(mean * tokens, tokens, replies=4) for mean in means]


def decide(candidate: list[Tally], reference: list[Tally], **changes: Any) -> Decision:
    limits = {
        name: changes.pop(name)
        for name in ("min_gain", "grown_margin", "min_test_replies")
        if name in changes
    }
    given_values: dict[str, Any] = {"against": "champion", "limits": replace(LIMITS, **limits)}
    return judge(candidate, reference, **{**given_values, **changes})


def test_a_candidate_that_is_better_everywhere_is_promoted() -> None:
    decision = decide(tallies(*[3.0] * 10), tallies(*[3.5] * 10))
    assert decision.verdict == "promote"
    assert decision.difference is not None
    assert decision.difference.estimate == pytest.approx(-0.5)
    assert decision.difference.low <= decision.difference.estimate <= decision.difference.high
    assert "perplexity 20.1 instead of 33.1" in decision.reasons[0]


def test_a_candidate_that_is_the_champion_itself_is_kept_out() -> None:
    same = tallies(3.0, 3.2, 2.8, 3.1, 3.0, 2.9)
    assert decide(same, same).verdict == "keep"


def test_one_lucky_conversation_is_no_proof() -> None:
    reference = tallies(*[3.0] * 10)
    candidate = [*tallies(*[3.01] * 9), *tallies(1.0)]
    decision = decide(candidate, reference)
    assert decision.difference is not None
    assert decision.difference.estimate < 0
    assert decision.verdict == "keep"
    assert "not proof enough" in decision.reasons[0]


def test_a_gain_below_the_least_that_counts_is_no_reason_to_change() -> None:
    reference, candidate = tallies(*[3.0] * 10), tallies(*[2.996] * 10)
    assert decide(candidate, reference).verdict == "keep"
    assert decide(candidate, reference, min_gain=0.003).verdict == "promote"


def test_a_failed_guard_keeps_the_best_candidate_out_and_says_why() -> None:
    decision = decide(tallies(*[3.0] * 10), tallies(*[3.5] * 10), guards=[PASSED, FAILED], scale=0.75)
    assert (decision.verdict, decision.failed, decision.mendable) == ("keep", ("old",), True)
    assert decision.reasons[1:] == ("It kept it.", "It lost it.")
    assert decision.scale == 0.75
    passed = decide(tallies(*[3.0] * 10), tallies(*[3.5] * 10), guards=[PASSED])
    assert (passed.verdict, passed.failed, passed.mendable) == ("promote", (), False)


def test_what_gave_a_secret_away_is_not_mended_by_a_smaller_scale() -> None:
    decision = decide(tallies(*[3.0] * 10), tallies(*[3.5] * 10), guards=[FAILED, SECRET])
    assert not decision.mendable
    assert set(decision.failed) == {"old", "recitals"}


def test_what_goes_on_from_the_champion_has_to_be_surely_no_worse() -> None:
    reference = tallies(*[3.0] * 10)
    for worse, verdict in ((-0.001, "promote"), (0.009, "promote"), (0.011, "keep")):
        decision = decide(tallies(*[3.0 + worse] * 10), reference, need="grown")
        assert decision.verdict == verdict
        assert "since it goes on from the champion and knows what was said since" in decision.reasons[0]
    unsure = decide(tallies(*[2.9, 3.1] * 5), reference, need="grown")
    assert unsure.verdict == "keep"
    assert decide(reference, reference, need="grown", guards=[FAILED]).verdict == "keep"


def test_a_margin_below_zero_asks_a_gain_of_what_goes_on_as_well() -> None:
    reference = tallies(*[3.0] * 10)
    for better, verdict in ((0.004, "keep"), (0.006, "promote")):
        candidate = tallies(*[3.0 - better] * 10)
        decision = decide(candidate, reference, need="grown", grown_margin=-0.005)
        assert decision.verdict == verdict
        assert "more than 0.005 better;" in decision.reasons[0]


def test_where_nothing_is_proven_it_says_how_many_conversations_are_lacking() -> None:
    candidate = tallies(*[2.9, 3.1] * 10)
    decision = decide(candidate, tallies(*[3.0] * 20))
    # 6.18 x (0.1026 / 0.005)²: the spread of ±0.1 among twenty is 0.1026.
    assert "about 2,604 conversations" in decision.reasons[1]
    assert "lacks 2,584" in decision.reasons[1]
    proven = decide(tallies(*[3.5] * 10), tallies(*[3.0] * 10))
    assert len(proven.reasons) == 1


def test_an_exam_that_is_large_enough_says_that_there_is_no_more_to_find() -> None:
    reference = tallies(*[3.0] * 400)
    candidate = tallies(*[2.985, 3.005] * 200)  # 0.005 better, give or take a hair
    decision = decide(candidate, reference)
    assert decision.verdict == "keep"
    assert "large enough" in decision.reasons[1]


def test_a_large_exam_says_that_what_goes_on_may_have_lost_something() -> None:
    reference, candidate = tallies(*[3.0] * 400), tallies(*[2.999, 3.02] * 200)
    decision = decide(candidate, reference, need="grown")
    assert decision.verdict == "keep"
    assert "may well be worse by about as much" in decision.reasons[1]


def test_too_few_replies_prove_nothing() -> None:
    decision = decide(tallies(*[1.0] * 6), tallies(*[5.0] * 6), min_test_replies=25)
    assert decision.verdict == "keep"
    assert decision.difference is None
    assert len(decision.reasons) == 1
    assert decision.reasons[0].startswith("Only 24 held-out replies could be scored, and fewer than 25 ")


def test_many_replies_of_too_few_conversations_prove_nothing() -> None:
    few = MIN_CONVERSATIONS - 1
    decision = decide(tallies(*[1.0] * few), tallies(*[5.0] * few), min_test_replies=1)
    assert decision.verdict == "keep"
    assert f"only {few} conversations" in decision.reasons[0]


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_a_candidate_with_broken_numbers_is_never_promoted(broken: float) -> None:
    candidate = [*tallies(*[1.0] * 9), Tally(broken, 50, replies=4)]
    assert decide(candidate, tallies(*[5.0] * 10)).verdict == "keep"


MEANS = st.lists(st.floats(0.5, 9.0), min_size=MIN_CONVERSATIONS, max_size=12)


@settings(max_examples=60, deadline=None)
@given(means=MEANS, worse=st.floats(0.0, 3.0))
def test_a_candidate_that_is_nowhere_better_is_never_promoted(means: list[float], worse: float) -> None:
    candidate = tallies(*[mean + worse for mean in means])
    assert decide(candidate, tallies(*means), min_test_replies=1).verdict == "keep"


@settings(max_examples=60, deadline=None)
@given(means=MEANS, better=st.floats(0.01, 0.4))
def test_a_candidate_that_is_better_everywhere_is_promoted_whatever_the_level(
    means: list[float], better: float
) -> None:
    candidate = tallies(*[mean - better for mean in means])
    assert decide(candidate, tallies(*means), min_test_replies=1).verdict == "promote"
