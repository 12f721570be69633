"""Sampled replies: what is counted in them."""

from __future__ import annotations

from trainer.evaluating.reply_sampling import counted


def test_repetition_and_distinct_n_are_what_a_hand_count_gives() -> None:
    found = counted(["a b c a b c", "d e"])
    assert found["replies"] == 2
    assert found["words"] == 4
    assert found["distinct_1"] == round(5 / 8, 4)
    assert found["distinct_2"] == round(4 / 6, 4)  # ab bc ca (ab bc) de
    assert found["repetition"] == round((1 / 4) / 2, 4)  # abc bca cab (abc), and none in the second
    assert counted([])["words"] == 0
