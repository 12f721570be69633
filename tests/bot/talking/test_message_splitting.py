"""Long answers in several messages."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bot.talking.message_splitting import LIMIT, split_message

FENCES = st.sampled_from(
    ["```", "```py\n", "```c++\n", "\n```\n", "see ```js\n", "``", "`", "```" + "x" * 90 + "\n"]
)
WORDS = st.sampled_from(["word", " ", "\n", "\n\n", "    indented", "a" * 150, "é🎓", "\t", " " * 120])
TEXTS = st.lists(st.one_of(WORDS, WORDS, FENCES), max_size=60).map("".join)
LIMITS = st.integers(min_value=60, max_value=240)


def letters(text: str) -> str:
    """Return the text without white space and backticks: what splitting must neither drop nor add to."""
    return re.sub(r"[\s`]", "", text)


@given(TEXTS, LIMITS)
@example("```" + "x" * 500, 100)
@example("a" + " " * 500 + "b", 60)
@example("word " * 30 + "```py\ncode", 60)
def test_no_piece_is_longer_than_the_limit_or_blank(text: str, limit: int) -> None:
    for piece in split_message(text, limit=limit):
        assert len(piece) <= limit + len("\n```")
        assert piece.strip()


@given(TEXTS, LIMITS)
def test_every_piece_closes_the_code_blocks_that_it_opens(text: str, limit: int) -> None:
    for piece in split_message(text, limit=limit):
        assert piece.count("```") % 2 == 0


@given(st.lists(WORDS, max_size=60).map("".join), LIMITS)
def test_the_pieces_of_a_text_without_code_join_to_the_text_again(text: str, limit: int) -> None:
    assert letters("".join(split_message(text, limit=limit))) == letters(text)


@given(st.lists(st.integers(0, 9999), min_size=1, max_size=60), LIMITS)
def test_every_line_of_a_code_block_stays_once_and_in_order(numbers: list[int], limit: int) -> None:
    lines = [f"    line({number})" for number in numbers]
    text = "Look:\n```py\n" + "\n".join(lines) + "\n```\nDone."
    pieces = split_message(text, limit=limit)
    shown = [line for piece in pieces for line in piece.splitlines() if "line(" in line]
    assert shown == lines
    assert all("```py\n" in piece for piece in pieces if "line(" in piece)


@given(TEXTS, TEXTS, LIMITS)
def test_the_first_pieces_stay_as_they_are_while_the_text_grows(text: str, more: str, limit: int) -> None:
    before, after = split_message(text, limit=limit), split_message(text + more, limit=limit)
    assert after[: max(0, len(before) - 1)] == before[:-1]


def test_a_text_is_cut_between_paragraphs_where_it_can() -> None:
    text = "one " * 200 + "\n\n" + "two " * 200 + "\n\n" + "three " * 150
    assert [piece.split()[0] for piece in split_message(text, limit=1000)] == ["one", "two", "three"]


@pytest.mark.parametrize("text", ["", "\n\n", "   "])
def test_nothing_gives_no_piece(text: str) -> None:
    assert split_message(text) == []


def test_a_block_that_is_cut_right_after_its_first_line_keeps_its_language() -> None:
    pieces = split_message("word " * 15 + "\n```py\n" + "code()" * 20 + "\n```", limit=90)
    assert pieces[1].startswith("```py\ncode()")


def test_a_block_that_begins_within_a_line_is_closed_as_well() -> None:
    text = "Try ```py\n" + "x = 1\n" * 500 + "``` or not"
    for piece in split_message(text):
        assert piece.count("```") == 2
        assert len(piece) <= LIMIT + 4
