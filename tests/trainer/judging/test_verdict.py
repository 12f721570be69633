"""The verdict: promoted only with proof, and never on luck, forgetting or broken numbers."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.judging.leakage import Recitals
from trainer.judging.verdict import (
    MIN_CONVERSATIONS,
    Decision,
    judge,
    paired_bootstrap,
    with_recitals,
)
from trainer.judging.verdict_limits import VerdictLimits
from trainer.scoring.tally import Tally

GENERAL = Tally(3000.0, 1000)
LIMITS = VerdictLimits(
    confidence=0.95, resamples=500, max_forgetting=0.15, min_test_replies=20, max_rate=0.05, seed=0
)


def tallies(*means: float, tokens: int = 50) -> list[Tally]:
    return [Tally(mean * tokens, tokens, replies=4) for mean in means]


def decide(candidate: list[Tally], reference: list[Tally], **changes: Any) -> Decision:
    limits = {name: changes.pop(name) for name in ("max_forgetting", "min_test_replies") if name in changes}
    given_values: dict[str, Any] = {
        "against": "champion",
        "candidate_general": GENERAL,
        "base_general": GENERAL,
        "limits": replace(LIMITS, **limits),
    }
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


def test_forgetting_beyond_the_limit_keeps_the_champion() -> None:
    decision = decide(tallies(*[3.0] * 10), tallies(*[3.5] * 10), candidate_general=Tally(3200.0, 1000))
    assert decision.verdict == "keep"
    assert decision.forgetting == pytest.approx(0.2)
    assert "beyond the allowed 0.150" in decision.reasons[1]


def test_forgetting_exactly_at_the_limit_is_allowed() -> None:
    decision = decide(
        tallies(*[3.0] * 10),
        tallies(*[3.5] * 10),
        candidate_general=Tally(4.25, 1),
        base_general=Tally(4.0, 1),
        max_forgetting=0.25,
    )
    assert decision.verdict == "promote"


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
    good = tallies(*[1.0] * 10)
    decision = decide(good, tallies(*[5.0] * 10), candidate_general=Tally(broken, 1000))
    assert decision.verdict == "keep"


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


@settings(max_examples=40, deadline=None)
@given(
    gaps=st.lists(st.floats(-2.0, 2.0), min_size=MIN_CONVERSATIONS, max_size=10),
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
    assert min(gaps) - 1e-9 <= interval.low <= interval.high <= max(gaps) + 1e-9
    turned = paired_bootstrap(candidate[::-1], reference[::-1], confidence=0.95, resamples=400)
    assert turned.estimate == pytest.approx(interval.estimate, abs=1e-9)


@pytest.mark.parametrize(
    ("recitals", "verdict", "reason"),
    [
        (Recitals(100, 5, 0), "promote", "in 5 of 100 probes (5.0%, limit 5.0%)"),
        (Recitals(100, 6, 0), "keep", "in 6 of 100 probes (6.0%, limit 5.0%)"),
        (Recitals(100, 1, 1), "keep", "gave away 1 secret value(s)"),
        (Recitals(0, 0, 0), "promote", "No reply that it learned is long enough to test"),
    ],
)
def test_the_gate_only_turns_a_verdict_to_keep_and_says_why(
    recitals: Recitals, verdict: str, reason: str
) -> None:
    good = Decision("promote", ("better",), None, 0.0)
    judged = with_recitals(good, recitals, max_rate=0.05)
    assert judged.verdict == verdict
    assert judged.reasons[0] == "better"
    assert reason in judged.reasons[1]
    assert with_recitals(replace(good, verdict="keep"), recitals, max_rate=1.0).verdict == "keep"
