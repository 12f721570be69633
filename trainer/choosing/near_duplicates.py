"""Whether a text says nearly the same as an earlier one: word triples, and how many two texts share.

The one home of that rule: for what repeats within a night, what repeats across the parts of a dataset, and
slogans over several accounts. Pure; compares texts within one process alone.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from ledger.shingles import runs

MIN_WORDS = 6
"""Shorter texts ("yes, thanks") recur among people who never read each other."""
SHINGLE_WORDS = 3
SIMILAR = 0.7
"""Jaccard similarity of word triples from which two texts count as the same; a forwarded text with a few
words changed stays above it."""
HOLDERS = 32
"""Texts that are listed for one triple. What more texts than that begin with tells none of them apart, and
comparing with all would take quadratic time; a copy still shares its other triples."""

_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
"""Thai, Lao, Burmese, Khmer, Japanese and Chinese write no spaces: a character counts as half a word."""
_WORDS = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+")
_HALF = re.compile(rf"[{_UNSPACED}]")


def words_of(text: str) -> list[str]:
    """Return the text's words without case; in scripts that write no spaces, its characters."""
    return _WORDS.findall(text.casefold())


def weight(words: Sequence[str]) -> float:
    """Return how many words these are; a character of an unspaced script is half of one."""
    return len(words) - sum(map(bool, map(_HALF.match, words))) / 2


def shingles(text: str) -> frozenset[int]:
    """Return the hashes of the text's word triples; none for a short text, which recurs by chance."""
    words = words_of(text)
    if weight(words) < MIN_WORDS:
        return frozenset()
    # Python salts hashes of strings anew in each process; these are compared within one alone.
    return frozenset(map(hash, runs(words, SHINGLE_WORDS)))


class NearDuplicates:
    """Texts that were added, by which a later text that repeats one is found."""

    def __init__(self) -> None:
        # By triple: a text is compared only with those that share one, not with all.
        self._holders: dict[int, list[int]] = {}
        self._sizes: list[int] = []
        self._whole: dict[frozenset[int], int] = {}

    def add(self, text: str) -> int:
        """Remember the text; return its number, in the order of adding."""
        return self._add(shingles(text))

    def find(self, text: str) -> int | None:
        """Return the number of a text that this one repeats, or None."""
        return self._find(shingles(text))

    def find_or_add(self, text: str) -> int | None:
        """Return the number of a text that this one repeats; add the text if there is none."""
        triples = shingles(text)
        found = self._find(triples)
        if found is None:
            self._add(triples)
        return found

    def knows(self, text: str) -> bool:
        """Tell whether some text that was added shares enough of its word triples with this one."""
        return self.find(text) is not None

    def _add(self, triples: frozenset[int]) -> int:
        number = len(self._sizes)
        for triple in triples:
            holders = self._holders.setdefault(triple, [])
            if len(holders) < HOLDERS:
                holders.append(number)
        self._sizes.append(len(triples))
        self._whole.setdefault(triples, number)
        return number

    def _find(self, triples: frozenset[int]) -> int | None:
        if not triples:
            return None
        if triples in self._whole:
            return self._whole[triples]
        shared: Counter[int] = Counter()
        for triple in triples:
            if holders := self._holders.get(triple):
                shared.update(holders)
        for holder, common in shared.items():
            # What both have, against what either has: Jaccard without building a union.
            if common >= SIMILAR * (len(triples) + self._sizes[holder] - common):
                return holder
        return None


__all__ = ["MIN_WORDS", "SIMILAR", "NearDuplicates", "shingles", "weight", "words_of"]
