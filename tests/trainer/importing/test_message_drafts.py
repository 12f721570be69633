"""Ids, times and texts as exports write them, and as the database takes them."""

from __future__ import annotations

import sqlite3
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.importing.message_drafts import (
    DELETED_USER_ID,
    is_deleted,
    moment,
    snowflake,
    stable_id,
    storable,
    word,
)


@pytest.mark.parametrize("given_id", [1, "1", " 7 ", 2**63 - 1, str(2**63 - 1)])
def test_an_id_may_be_a_number_or_a_text(given_id: Any) -> None:
    assert snowflake(given_id) == int(given_id)


@pytest.mark.parametrize("given_id", [0, -1, 2**63, "", "m17", None, True, 1.0, [1]])
def test_what_is_no_id_is_refused(given_id: Any) -> None:
    with pytest.raises(ValueError, match=r"id|int"):
        snowflake(given_id)


@pytest.mark.parametrize(
    "written",
    [
        "2024-05-01T10:00:00+00:00",
        "2024-05-01T12:00:00+02:00",
        "2024-05-01 10:00:00",
        " 2024-05-01T10:00:00.000000Z ",
        1714557600,
        1714557600.0,
        1714557600000,
    ],
)
def test_a_time_is_read_in_every_form_as_milliseconds(written: Any) -> None:
    assert moment(written) == 1714557600000


@pytest.mark.parametrize("written", ["yesterday", None, True, {}, float("nan")])
def test_what_is_no_time_is_refused(written: Any) -> None:
    with pytest.raises(ValueError, match=r"time|isoformat|NaN"):
        moment(written)


@given(st.text(st.characters(), max_size=30))
def test_every_text_becomes_one_that_the_database_takes(text: str) -> None:
    clean = storable(text)
    assert sqlite3.connect(":memory:").execute("SELECT ?", (clean,)).fetchone() == (clean,)
    assert "\x00" not in clean


def test_halves_of_a_character_become_whole_or_a_mark() -> None:
    assert storable("\ud83e\udd89 and \ud83e") == "🦉 and \ufffd"


@pytest.mark.parametrize(("value", "text"), [(None, ""), (5, "5"), (1.5, "1.5"), ("a\r\nb", "a\nb")])
def test_numbers_and_nothing_are_texts_too(value: Any, text: str) -> None:
    assert storable(value) == text


@pytest.mark.parametrize("value", [[], {}, b"bytes"])
def test_other_values_are_no_texts(value: Any) -> None:
    with pytest.raises(ValueError, match="no text"):
        storable(value)


def test_an_id_that_is_made_up_depends_on_its_parts_alone_and_fits() -> None:
    made = stable_id("message", 41, "m17")
    assert made == stable_id("message", 41, "m17")
    assert 0 < made < 2**63
    assert len({stable_id(*parts) for parts in (("a", "b"), ("ab",), ("b", "a"), ("a", "b", ""))}) == 4


@pytest.mark.parametrize(("value", "text"), [("Reply", "reply"), (19, "19"), (None, ""), ([], "")])
def test_a_word_is_a_number_or_a_text_in_lower_case(value: Any, text: str) -> None:
    assert word(value) == text


@pytest.mark.parametrize(
    ("author", "name", "deleted"),
    [
        (DELETED_USER_ID, "Ada", True),
        (1, "Deleted User", True),
        (1, "Deleted User 0a1b2c3d", True),
        (1, "deleted_user_0a1b2c", True),
        (1, "Deleted Users Club", False),
    ],
)
def test_a_deleted_account_is_known_by_its_number_or_name(author: int, name: str, deleted: bool) -> None:
    assert is_deleted(author, name) is deleted
