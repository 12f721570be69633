"""Words and runs of words, by which wordings are compared."""

from __future__ import annotations

import pytest

from ledger.shingles import runs, words


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Don't WAIT for me!", ["don't", "wait", "for", "me"]),
        ("l’école, d'abord", ["l’école", "d'abord"]),
        ("Straße 7b", ["strasse", "7b"]),
        ("'quoted' -- ...", ["quoted"]),
        ("", []),
    ],
)
def test_words_are_folded_and_keep_their_apostrophes(text: str, found: list[str]) -> None:
    assert words(text) == found


def test_runs_overlap_and_a_text_that_is_too_short_has_none() -> None:
    assert list(runs(["a", "b", "c"], 2)) == [("a", "b"), ("b", "c")]
    assert list(runs(["a", "b"], 2)) == [("a", "b")]
    assert list(runs(["a"], 2)) == []
