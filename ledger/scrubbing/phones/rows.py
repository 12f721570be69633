"""Phone numbers that stand in a row: together they are too long for one, and no gap shows where each ends."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

from ledger.scrubbing.masking import without_urls
from ledger.scrubbing.phones import numbers as phones

MAX_ASKED = 12
"""So many questions are put to the library about a text's rows; what follows has to have the shape alone."""
_ROW = re.compile(r"(?<![\w@#$%=<+*^~.,:/-])[(\d](?:[ \-./()]{0,3}\d){14,}(?![\w%]|[.,:/-]\d)", re.ASCII)
# How a number begins that may stand in a row of them; each of its groups, and how many it has at most.
_ROW_HEAD = re.compile(r"\(0?\d{2,4}\)|00[1-9]\d{0,2}(?!\d)|0[1-9]|[2-9]\d\d[.-]")
_ROW_GROUP = re.compile(r"\(?\d+\)?")
_MOST_GROUPS = 6
_FORMS = (phones.NORTH_AMERICAN, phones.FRENCH_PAIRS, phones.TRUNK_ZERO, phones.JAPANESE)
_ROW_SHAPE = re.compile(
    "|".join(form.pattern for form in (*_FORMS, phones.BARE, phones.BRAZILIAN))
    + r"|00[1-9]\d{0,2}(?:[ ./-]\d{1,8}){1,5}"
)


def in_rows(view: str) -> Iterator[tuple[int, int]]:
    """Yield the numbers that stand one after the other with nothing but a blank or a slash between them.

    Together they are too long for a number. Only what has its country's grouping is one here, two at
    least, with hardly a digit left over: a row of numbers is mostly a table.
    """
    view = without_urls(view)
    asked = itertools.count()
    for row in _ROW.finditer(view):
        places = list(_cut(view, *row.span(), asked))
        covered = sum(_digits(view[start:end]) for start, end in places)
        if len(places) > 1 and covered >= 0.8 * _digits(row[0]):
            yield from places


def _cut(view: str, start: int, end: int, asked: Iterator[int]) -> Iterator[tuple[int, int]]:
    """Yield the numbers of a row, each as long as it can be; after ``MAX_ASKED`` the shape alone tells."""
    groups = [match.span() for match in _ROW_GROUP.finditer(view, start, end)]
    at = 0
    while at < len(groups):
        step = 1
        if _ROW_HEAD.match(view, groups[at][0]):
            for length, text in _heads(view, groups[at : at + _MOST_GROUPS]):
                if next(asked) >= MAX_ASKED or phones.is_number(text, explained=_unexplained):
                    yield groups[at][0], groups[at + length - 1][1]
                    step = length
                    break
        at += step


def _heads(view: str, groups: list[tuple[int, int]]) -> list[tuple[int, str]]:
    """Return how many of the groups look like a number, and that number; the longest comes first."""
    heads: list[tuple[int, str]] = []
    digits = 0
    for length, (start, end) in enumerate(groups, 1):
        digits += end - start - (view[start] == "(") - (view[end - 1] == ")")
        text = view[groups[0][0] : end]
        if 9 <= digits <= 15 and _ROW_SHAPE.fullmatch(text):
            heads.insert(0, (length, text))
    return heads


def _unexplained() -> bool:
    return False


def _digits(text: str) -> int:
    return sum(map(str.isdigit, text))
