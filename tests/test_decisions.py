"""docs/decisions.md: dated paragraphs, the newest last."""

from __future__ import annotations

import re

from tests.test_house import ROOT


def test_decisions_are_dated_and_in_the_order_of_their_dates() -> None:
    page = (ROOT / "docs" / "decisions.md").read_text(encoding="utf-8")
    paragraphs = page.split("\n\n")[2:]
    dates = [re.match(r"\*\*(\d{4}-\d\d-\d\d)\. ", paragraph) for paragraph in paragraphs]
    undated = [text[:60] for text, date in zip(paragraphs, dates, strict=True) if date is None]
    assert not undated
    assert (found := [date[1] for date in dates if date]) == sorted(found)
