"""Whether a text repeats what somebody wrote: 8 words in a row, or a whole message of at least 3.

Pure functions over texts; keeps nothing. Shorter messages ("yes, thanks") are everybody's.
"""

from __future__ import annotations

from collections.abc import Iterable

from ledger.shingles import WINDOW, runs, words

SHORTEST = 3
"""Words of a message that is somebody's as a whole; "yes, thanks" is everybody's."""


class Quotes:
    """The wordings of some messages; ``in quotes`` for another text."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._wordings: set[tuple[str, ...]] = set()
        for text in texts:
            found = words(text)
            if len(found) >= SHORTEST:
                self._wordings.update(runs(found, min(len(found), WINDOW)))
        self._lengths = sorted({len(wording) for wording in self._wordings})

    def __contains__(self, text: str) -> bool:
        """Tell whether ``text`` repeats any of the messages."""
        found = words(text)
        return any(run in self._wordings for length in self._lengths for run in runs(found, length))


__all__ = ["Quotes"]
