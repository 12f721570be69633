"""A night in words: the same figures wherever they are read."""

from __future__ import annotations

import typing

from ledger.learned.outcome import Ending, Score
from ledger.learned.wording import HEADLINES, SCORE_COLUMNS, counted, is_any_locked, left_out, score_rows
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
