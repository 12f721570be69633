"""Words of a text and the runs of them that stand next to each other, by which wordings are compared.

Pure functions over texts. How many words in a row count as repeating somebody is decided here,
for the quotes that a deletion takes along and for what a version must not recite.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

WINDOW = 8
"""Consecutive words that are somebody's wording; shorter runs are everybody's language."""
WORD = re.compile(r"\w+(?:['’]\w+)*")
"""A word with its apostrophes: "don't" is one word, so that 8 words are as many as a reader counts."""


def words(text: str) -> list[str]:
    """Return a text's words in lower case, without punctuation."""
    return [word.casefold() for word in WORD.findall(text)]


def runs(found: Sequence[str], length: int) -> Iterator[tuple[str, ...]]:
    """Yield every run of ``length`` consecutive words; none where there are fewer."""
    return (tuple(found[start : start + length]) for start in range(len(found) - length + 1))


__all__ = ["WINDOW", "WORD", "runs", "words"]
