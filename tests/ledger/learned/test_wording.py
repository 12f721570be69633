"""A night in words: the same figures wherever they are read."""

from __future__ import annotations

import typing
from typing import Any

import pytest

from ledger.learned.outcome import Ending, Outcome, Score
from ledger.learned.wording import (
    GUARDS,
    HEADLINES,
    SCORE_COLUMNS,
    counted,
    is_any_locked,
    left_out,
    remarks,
    score_rows,
    three_sentences,
)
from ledger.records import LOCKED

SCORE: Score = {"nll": 4.3401, "perplexity": 76.714, "token_accuracy": 0.305, "general_nll": 3.9}


def test_every_ending_has_a_headline() -> None:
    assert set(HEADLINES) == set(typing.get_args(Ending))


def test_counts_are_told_by_label_and_what_was_left_out_by_reason() -> None:
    counts = {"train_replies": 1200, "left_out": {"no consent in force": 31, "too long": 0}}
    assert counted(counts) == [("train replies", "1,200")]
    assert left_out(counts) == [("no consent in force", "31")]
    assert left_out({}) == []


def test_the_policy_lock_is_seen_where_it_left_something_out() -> None:
    assert is_any_locked({"left_out": {LOCKED: 4}})
    assert not is_any_locked({"left_out": {LOCKED: 0}})
    assert not is_any_locked({})


def test_scores_are_rows_in_one_order_with_a_cell_a_column() -> None:
    rows = score_rows({"candidate": SCORE, "base": SCORE})
    assert [row[0] for row in rows] == ["base", "candidate"]
    assert rows[0] == ("base", "4.3401", "76.71", "30.5%", "3.9000")
    assert len(rows[0]) == 1 + len(SCORE_COLUMNS)


def night(stage: Ending = "promoted", **fields: Any) -> Outcome:
    """Return a night that compared a candidate with a champion on 210 replies."""
    facts: dict[str, Any] = {
        "scores": {"base": SCORE, "champion": SCORE, "candidate": {**SCORE, "replies": 210}},
        "interval": {"estimate": -0.05},
        "counts": {
            "new_replies_learned": 312,
            "replayed_replies": 80,
            "people": 14,
            "conversations": 61,
            "left_out": {"no consent in force": 31, "too long": 2},
        },
    }
    return Outcome(stage=stage, **{**facts, **fields})


def test_three_sentences_say_what_was_learned_from_how_much_and_why_it_serves() -> None:
    assert three_sentences(night()) == (
        "Tonight it learned 312 new replies and went over 80 older ones again.",
        "There were 61 conversations by 14 people to learn from; 33 messages stayed out, most of them as: no "
        "consent in force.",
        "It serves now, since it foresees 210 replies that it never saw 4.9% better than the version before "
        "it.",
    )


def test_what_was_taught_is_told_and_what_is_not_counted_is_not_invented() -> None:
    counts = {"new_replies_learned": 1, "taught": 20, "taught_known": 17}
    what, how_much, _ = three_sentences(night(counts=counts))
    assert what == "Tonight it learned 1 new reply, and of 20 taught answers it knows 17."
    assert how_much == "How much there was to learn from was not counted."
    assert (
        three_sentences(night(counts={"train_replies": 1200}))[0] == "Tonight it learned from 1,200 replies."
    )
    assert "it knows ?" in three_sentences(night(counts={"taught": 3}))[0]
    nothing_out = {"people": 1, "conversations": 1, "left_out": {}}
    assert three_sentences(night(counts=nothing_out))[1] == (
        "There were 1 conversation by 1 person to learn from, and nothing was left out."
    )


def test_the_first_version_is_compared_with_the_untaught_model_and_a_weaker_one_says_so() -> None:
    scores = {"base": SCORE, "candidate": SCORE}
    why = three_sentences(night(scores=scores, scale=0.75))[2]
    assert why == (
        "It serves now, at 75% of its strength, since it foresees replies that it never saw 4.9% better than "
        "the untaught model."
    )


@pytest.mark.parametrize("guard", GUARDS)
def test_a_version_that_failed_a_guard_says_which(guard: str) -> None:
    why = three_sentences(night("kept", failed_guards=(guard,)))[2]
    assert why == f"It does not serve, since {GUARDS[guard]}."


def test_a_version_that_is_not_better_says_so() -> None:
    why = three_sentences(night("kept", interval={"estimate": 0.02}))[2]
    assert "2.0% worse than the version before it, which is no proof that it is better." in why
    assert "too few held-out replies" in three_sentences(night("kept", interval={}))[2]


def test_what_went_on_from_the_champion_is_told_by_what_it_knows_now_and_never_saw() -> None:
    scores: dict[str, Score] = {
        "candidate": {**SCORE, "replies": 210, "fresh_nll": 3.2},
        "champion": {**SCORE, "fresh_nll": 3.5},
    }
    why = three_sentences(night(scores=scores))[2]
    assert why == (
        "It serves now, since it foresees what was said since the last night 25.9% better than the version "
        "before it, and 210 replies that it never saw 4.9% better."
    )
    kept = three_sentences(night("kept", scores=scores, interval={"estimate": 0.02, "margin": 0.01}))[2]
    assert kept.endswith(
        "and 210 replies that it never saw 2.0% worse, which is no proof that nothing was lost."
    )


@pytest.mark.parametrize("stage", ["skipped", "failed", "cancelled", "paused"])
def test_a_night_that_came_to_nothing_says_why(stage: Ending) -> None:
    what, _, why = three_sentences(night(stage, error="There is no GPU."))
    assert what == "Nothing was learned tonight."
    assert why == f"{HEADLINES[stage]}: There is no GPU."
    assert three_sentences(night(stage))[2] == "So the version of before keeps serving."


def test_an_admin_reads_what_yesterday_said_what_waits_and_who_is_kept_out() -> None:
    outcome = Outcome(
        stage="kept",
        next_day={"base_nll": 4.0, "served_nll": 3.5, "tokens": 900, "replies": 41, "conversations": 12},
        counts={"quarantined_people": 2, "left_out": {"beyond the night's budget": 7}},
    )
    yesterday, waiting, held = remarks(outcome)
    assert "foresaw the 41 newest replies 39.3% better than the untaught model" in yesterday
    assert "did not hold 7 new messages" in waiting
    assert "2 people went into quarantine" in held
    assert remarks(Outcome()) == []


def test_figures_for_programs_are_not_shown_to_people() -> None:
    assert counted({"messages": 3, "newest_learned_at": 1_700_000_000_000}) == [("messages", "3")]
