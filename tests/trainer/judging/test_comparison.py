"""What three models scored, and the decision on it: against whom, with what it recites."""

from __future__ import annotations

from dataclasses import replace

import pytest

from trainer.judging.comparison import Evaluation, Scores, decide, interval_of
from trainer.judging.leakage import Recitals
from trainer.judging.verdict import Decision
from trainer.judging.verdict_limits import VerdictLimits
from trainer.scoring.tally import Tally

LIMITS = VerdictLimits(
    confidence=0.95, resamples=300, max_forgetting=0.15, min_test_replies=20, max_rate=0.05, seed=0
)


def scores(mean: float, *, general: float = 3.0) -> Scores:
    """Return ten conversations of four replies at ``mean`` nats a token."""
    tallies = tuple(Tally(mean * 50 + index, 50, 10, replies=4) for index in range(10))
    return Scores(tallies, Tally(general * 1000, 1000))


def evaluation(**models: Scores) -> Evaluation:
    return Evaluation(models, ())


def test_the_champion_is_to_be_beaten_and_without_one_the_base() -> None:
    alone = evaluation(base=scores(4.0), candidate=scores(3.0))
    assert alone.reference == "base"
    assert "than the bare base" in decide(alone, LIMITS).reasons[0]
    served = evaluation(base=scores(4.0), champion=scores(2.0), candidate=scores(3.0))
    assert served.reference == "champion"
    decision = decide(served, LIMITS)
    assert decision.verdict == "keep"
    assert "worse than the champion" in decision.reasons[0]


@pytest.mark.parametrize(
    ("recitals", "verdict"),
    [(None, "promote"), (Recitals(100, 5, 0), "promote"), (Recitals(100, 6, 0), "keep")],
)
def test_what_a_candidate_recites_is_part_of_the_decision(recitals: Recitals | None, verdict: str) -> None:
    found = replace(evaluation(base=scores(4.0), candidate=scores(3.0)), recitals=recitals)
    decision = decide(found, LIMITS)
    assert decision.verdict == verdict
    assert len(decision.reasons) == (2 if recitals is None else 3)


def test_figures_are_totals_over_totals() -> None:
    figures = Scores((Tally(10.0, 10, 4, 1), Tally(30.0, 10, 2, 2)), Tally(6.0, 2)).figures()
    assert (figures["nll"], figures["token_accuracy"]) == (2.0, 0.3)
    assert (figures["tokens"], figures["replies"], figures["conversations"]) == (20, 3, 2)
    assert figures["general_nll"] == 3.0
    assert "sampled" not in figures


def test_an_interval_is_rounded_and_empty_where_nothing_was_compared() -> None:
    decision = decide(evaluation(base=scores(4.0), candidate=scores(3.0)), LIMITS)
    assert interval_of(decision)["estimate"] == pytest.approx(-1.0)
    assert interval_of(Decision("keep", ("too little",), None, 0.0)) == {}
