"""After a promotion: evidence grows while the champion is worse, and seldom by accident."""

from __future__ import annotations

import numpy as np
import pytest

from ledger.settings import Settings
from trainer.builders import verdict_limits_of
from trainer.judging.watching import Gap, gaps_between, watch
from trainer.scoring.tally import Tally

LIMITS = verdict_limits_of(Settings())


def nights(difference: float, *, count: int, seed: int = 1, each: int = 10) -> list[list[Gap]]:
    """Return nights of conversations whose differences scatter around ``difference`` nats a token."""
    draw = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        tokens = draw.integers(50, 400, size=each)
        means = draw.normal(difference, 0.1, size=each)
        found.append([Gap(float(mean * n), int(n)) for mean, n in zip(means, tokens, strict=True)])
    return found


def test_a_version_that_is_clearly_worse_goes_back_within_a_week() -> None:
    judged = watch(nights(0.1, count=7), LIMITS)
    assert judged.go_back
    assert judged.evidence >= 20
    assert "worse than the version before it" in judged.reason
    assert "20 to 1 is reached, so the version before it serves again" in judged.reason


@pytest.mark.parametrize("difference", [-0.1, 0.0, 0.01])
def test_a_version_that_is_not_worse_stays(difference: float) -> None:
    judged = watch(nights(difference, count=60), LIMITS)
    assert not judged.go_back
    assert "20 to 1 would send it back" in judged.reason


def test_at_most_one_in_twenty_is_sent_back_by_accident_at_the_very_margin() -> None:
    back = [watch(nights(LIMITS.go_back_margin, count=30, seed=seed), LIMITS).go_back for seed in range(200)]
    assert np.mean(back) <= 0.05


def test_evidence_that_was_reached_is_not_taken_back_by_better_days() -> None:
    bad, good = nights(0.15, count=6), nights(-0.3, count=20)
    assert watch([*bad, *good], LIMITS).go_back
    assert not watch([*good, *bad], LIMITS).go_back


def test_one_conversation_however_bad_is_no_reason() -> None:
    assert not watch([[Gap(1e9, 5000)]], LIMITS).go_back
    assert watch([[Gap(1e9, 5000)]], LIMITS).evidence < 2


def test_without_fresh_conversations_there_is_no_evidence() -> None:
    for quiet in range(3):
        judged = watch([[]] * quiet, LIMITS)
        assert (judged.evidence, judged.go_back) == (1.0, False)
        assert "Nothing new" in judged.reason


def test_gaps_are_taken_where_both_were_scored_on_the_same_tokens() -> None:
    champion = {2: Tally(9.0, 4), 1: Tally(5.0, 2), 3: Tally(1.0, 1)}
    predecessor = {1: Tally(4.0, 2), 2: Tally(9.5, 4)}
    assert gaps_between(champion, predecessor) == (Gap(1.0, 2), Gap(-0.5, 4))
    with pytest.raises(ValueError, match="same tokens"):
        gaps_between({1: Tally(5.0, 2)}, {1: Tally(4.0, 3)})
