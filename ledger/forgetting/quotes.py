"""Whether a text repeats what somebody wrote: 8 words in a row, or a whole message of at least 3.

Pure functions over texts; keeps nothing. Shorter messages ("yes, thanks") are everybody's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

WINDOW = 8
SHORTEST = 3
_WORD = re.compile(r"\w+(?:['’]\w+)*")


class Quotes:
    """The wordings of some messages; ``in quotes`` for another text."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._wordings: set[tuple[str, ...]] = set()
        for text in texts:
            found = _words(text)
            if len(found) >= SHORTEST:
                self._wordings.update(_runs(found, min(len(found), WINDOW)))
        self._lengths = sorted({len(wording) for wording in self._wordings})

    def __contains__(self, text: str) -> bool:
        """Tell whether ``text`` repeats any of the messages."""
        found = _words(text)
        return any(run in self._wordings for length in self._lengths for run in _runs(found, length))


def _words(text: str) -> list[str]:
    return [word.casefold() for word in _WORD.findall(text)]


def _runs(words: Sequence[str], length: int) -> Iterable[tuple[str, ...]]:
    return (tuple(words[start : start + length]) for start in range(len(words) - length + 1))


__all__ = ["Quotes"]
