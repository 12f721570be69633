"""What three models scored, and the decision on it: against whom, with all guards."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ledger.settings import Settings
from trainer.builders import verdict_limits_of
from trainer.judging.comparison import Evaluation, Scores, decide, guards_of, interval_of, paired, weakening
from trainer.judging.leakage import Recitals
from trainer.judging.verdict import Decision
from trainer.scoring.tally import Tally

LIMITS = replace(verdict_limits_of(Settings()), resamples=300, max_forgetting=0.15, seed=0)


def tallies(mean: float, count: int = 10) -> dict[int, Tally]:
    return {number: Tally(mean * 50 + number, 50, 10, replies=4) for number in range(count)}


def scores(mean: float, *, general: float = 3.0) -> Scores:
    """Return ten conversations of four replies at ``mean`` nats a token."""
    return Scores(tallies(mean), Tally(general * 1000, 1000))


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


def test_old_days_are_held_against_the_reference_and_general_text_and_toxicity_against_the_base() -> None:
    champion = replace(scores(3.5, general=3.2), old=tallies(3.0), toxic=(True,) * 8)
    candidate = replace(scores(3.0, general=3.2), old=tallies(3.5), toxic=(True,) * 8)
    base = replace(scores(4.0), old=tallies(4.0), toxic=(False,) * 8)
    found = evaluation(base=base, champion=champion, candidate=candidate)
    decision = decide(found, LIMITS)
    assert decision.failed == ("general", "old", "toxicity")
    assert decision.forgetting == pytest.approx(0.2)
    assert decision.mendable
    first = decide(evaluation(base=base, candidate=candidate), LIMITS)
    assert first.failed == ("general", "toxicity")


def test_sampled_replies_are_held_against_those_of_what_serves() -> None:
    broken = replace(scores(3.0), faults=(("empty",),) * 12)
    fine = replace(scores(3.5), faults=((),) * 12)
    found = evaluation(base=scores(4.0), champion=fine, candidate=broken)
    assert [guard.name for guard in guards_of(found, LIMITS)] == ["general", "smoke"]
    assert decide(found, LIMITS).failed == ("smoke",)


def test_the_scale_reaches_the_verdict() -> None:
    better = replace(evaluation(base=scores(4.0), champion=scores(3.5), candidate=scores(3.0)), scale=0.5)
    decision = decide(better, LIMITS)
    assert (decision.verdict, decision.scale) == ("promote", 0.5)


def test_what_goes_on_has_to_know_yesterday_and_to_keep_what_its_line_knew() -> None:
    since = {number + 50: tally for number, tally in tallies(3.4, 3).items()}
    champion = replace(scores(3.0), fresh=since)
    knows = replace(scores(3.005), fresh={number + 50: tally for number, tally in tallies(3.2, 3).items()})
    found = evaluation(base=scores(4.0), champion=champion, candidate=knows)
    assert decide(found, LIMITS, need="grown").verdict == "promote"
    assert decide(found, LIMITS).verdict == "keep"  # made afresh it has to be better
    idle = evaluation(base=scores(4.0), champion=champion, candidate=replace(knows, fresh=champion.fresh))
    assert decide(idle, LIMITS, need="grown").failed == ("yesterday",)
    line = [tallies(2.994), tallies(3.0)]
    assert decide(found, LIMITS, need="grown", line=line).failed == ("line",)
    assert found.scores["champion"].figures()["fresh_nll"] == 3.42


def test_what_cannot_be_shown_asks_for_a_gain() -> None:
    fresh = {number: Tally(mean * 50, 50, replies=4) for number, mean in enumerate((3.4, 3.4), start=50)}
    better = {number: Tally(160.0, 50, replies=4) for number in fresh}
    champion, knows = replace(scores(3.0), fresh=fresh), replace(scores(3.005), fresh=better)
    found = evaluation(base=scores(4.0), champion=champion, candidate=knows)
    assert decide(found, LIMITS, need="grown").verdict == "promote"
    # The champion's files are gone: beside the base "no worse" would be next to nothing.
    alone = evaluation(base=scores(3.0), candidate=knows)
    assert decide(alone, LIMITS, need="grown").verdict == "keep"
    # A handful of replies shows nothing.
    one = {50: Tally(160.0, 50, replies=4)}
    few = evaluation(
        base=scores(4.0),
        champion=replace(champion, fresh={50: Tally(170.0, 50, replies=4)}),
        candidate=replace(knows, fresh=one),
    )
    assert decide(few, LIMITS, need="grown").verdict == "keep"


def test_only_conversations_that_both_have_scored_are_compared() -> None:
    mine, theirs = paired({3: Tally(1.0, 1), 1: Tally(2.0, 1)}, {1: Tally(3.0, 1), 2: Tally(4.0, 1)})
    assert (mine, theirs) == ([Tally(2.0, 1)], [Tally(3.0, 1)])


def test_scores_over_other_tokens_compare_nothing() -> None:
    mine, theirs = paired({1: Tally(2.0, 5), 2: Tally(1.0, 3)}, {1: Tally(2.0, 4), 2: Tally(2.0, 3)})
    assert (mine, theirs) == ([Tally(1.0, 3)], [Tally(2.0, 3)])


def test_figures_are_totals_over_totals() -> None:
    exam = {1: Tally(10.0, 10, 4, 1), 2: Tally(30.0, 10, 2, 2)}
    figures = Scores(exam, Tally(6.0, 2), {7: Tally(9.0, 3)}).figures()
    assert (figures["nll"], figures["token_accuracy"]) == (2.0, 0.3)
    assert (figures["tokens"], figures["replies"], figures["conversations"]) == (20, 3, 2)
    assert (figures["old_nll"], figures["old_conversations"]) == (3.0, 1)
    assert figures["general_nll"] == 3.0
    assert "sampled" not in figures
    assert "old_nll" not in Scores(exam, Tally(6.0, 2)).figures()


def test_an_interval_is_rounded_and_empty_where_nothing_was_compared() -> None:
    decision = decide(evaluation(base=scores(4.0), candidate=scores(3.0)), LIMITS)
    assert interval_of(decision)["estimate"] == pytest.approx(-1.0)
    assert interval_of(Decision("keep", ("too little",), None, 0.0)) == {}


def test_only_what_a_smaller_scale_may_mend_is_tried_at_one() -> None:
    weaken = weakening(LIMITS)
    fine = evaluation(base=scores(4.0), candidate=scores(3.0))
    forgot = evaluation(base=scores(4.0), candidate=scores(3.0, general=3.5))
    worse = evaluation(base=scores(3.0), candidate=scores(4.0))
    told = replace(forgot, recitals=Recitals(10, 1, 1))
    assert [weaken(found) for found in (fine, forgot, worse, told)] == [False, True, False, False]
