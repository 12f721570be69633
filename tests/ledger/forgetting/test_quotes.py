"""What counts as repeating somebody: the wording itself, however it is written, and nothing shorter.

``tests/forgetting/test_quotes.py`` holds the lengths, and what becomes of answers that quote.
"""

from __future__ import annotations

import pytest

from ledger.forgetting.quotes import SHORTEST, Quotes
from ledger.shingles import WINDOW

LONG = "the old ladder leans on the shed beside the green gate"


def test_a_wording_is_found_whatever_its_case_and_marks() -> None:
    assert "«THE old, ladder… leans: on the shed; beside?»" in Quotes([LONG])


def test_the_end_of_a_long_message_is_a_quotation_as_its_beginning_is() -> None:
    assert f"I heard that {' '.join(LONG.split()[-WINDOW:])}!" in Quotes([LONG])
    assert f"I heard that {' '.join(LONG.split()[1 - WINDOW :])}!" not in Quotes([LONG])


@pytest.mark.parametrize(("count", "quoted"), [(SHORTEST, True), (SHORTEST - 1, False)])
def test_a_whole_message_is_somebodys_from_the_shortest_length_on(count: int, quoted: bool) -> None:
    said = " ".join(LONG.split()[:count])
    assert (f"Well, {said} again" in Quotes([said])) == quoted


def test_words_of_two_messages_in_a_row_are_nobodys() -> None:
    assert "feed the cat at the lake" in Quotes(["feed the cat"])
    assert "feed the lake cat" not in Quotes(["feed the cat", "at the lake"])


def test_no_message_is_quoted_by_anything() -> None:
    assert LONG not in Quotes([])
    assert "" not in Quotes(["", "yes", LONG])
