"""The parts of a dataset, and the rule that nothing held out repeats what may be learned.

Pure functions over windows. Which conversation belongs to which part,
:mod:`trainer.preparing.conversation_parts` decides; replies that say nearly the same as one to learn are
context only, since recognising them proves nothing.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from ledger.records import ROLES, Role
from ledger.shingles import runs
from trainer.preparing.windows import Window

DUPLICATE = "nearly the same as a reply to learn from"

MIN_WORDS = 6
"""Shorter replies ("yes, thanks") recur among people who never read each other; they stay."""
SHINGLE_WORDS = 3
SIMILAR = 0.7
"""Jaccard similarity of word triples from which two replies count as the same; a forwarded text with a few
words changed stays above it."""

_WORDS = re.compile(r"\w+")
"""Splits at apostrophes, unlike :mod:`ledger.shingles`: another pattern would draw another split."""


@dataclass(frozen=True, slots=True)
class Talk:
    """One conversation's examples with its time, in milliseconds."""

    windows: tuple[Window, ...]
    started_at: int
    ended_at: int

    @property
    def replies(self) -> int:
        return sum(window.replies for window in self.windows)

    @property
    def conversation(self) -> int:
        """The id of the conversation's first message; 0 without a window."""
        return self.windows[0].conversation if self.windows else 0


@dataclass(frozen=True, slots=True)
class Split:
    """The parts of a night's dataset, each oldest first."""

    train: tuple[Talk, ...]
    val: tuple[Talk, ...]
    test: tuple[Talk, ...]
    """The exam: the newest held-out conversations."""
    old: tuple[Talk, ...] = ()
    """Held-out conversations of older days."""
    fresh: tuple[Talk, ...] = ()
    """Replies since the last night, which nobody has learned yet."""

    def all_talks(self) -> Iterator[Talk]:
        for part in (self.train, self.val, self.test, self.old, self.fresh):
            yield from part

    def roles(self) -> dict[int, Role]:
        """Return how each message is used; in several ways: the one that learns most."""
        found: dict[int, Role] = {}
        uses: tuple[tuple[Iterable[Talk], Role, Role], ...] = (
            (self.train, "target", "context"),
            (self.val, "validation", "validation"),
            ((*self.test, *self.old), "exam", "exam"),
            (self.fresh, "fresh", "fresh"),
        )
        for talks, target, other in uses:
            for window in (window for talk in talks for window in talk.windows):
                learned = window.target_messages
                for number in window.authors:
                    role = target if number in learned else other
                    found[number] = min(role, found.get(number, role), key=ROLES.index)
        return found


def without_repeats(split: Split, *, learnable: Iterable[str]) -> tuple[Split, int]:
    """Return the split without held-out replies that repeat a text of ``learnable``, and how many those were.

    What validation holds counts as seen for the exam, too: it chooses the epoch that is tested.
    """
    left_out: Counter[str] = Counter()
    seen = _Seen(learnable)
    # In the order of the parts: what validates is seen by what tests.
    val = [seen.unseen(talk, left_out) for talk in split.val]
    seen.add(text for talk in val for text in _texts(talk))
    test = [seen.unseen(talk, left_out) for talk in split.test]
    old = [seen.unseen(talk, left_out) for talk in split.old]
    found = Split(split.train, _usable(val), _usable(test), _usable(old), split.fresh)
    return found, left_out[DUPLICATE]


def _usable(talks: Iterable[Talk]) -> tuple[Talk, ...]:
    return tuple(talk for talk in talks if talk.replies)


class _Seen:
    """The word triples of replies to learn from, by which a held-out reply that repeats one is found."""

    def __init__(self, texts: Iterable[str]) -> None:
        # By triple: a reply is compared only with those that share one, not with all.
        self._holders: dict[int, list[int]] = {}
        self._sizes: list[int] = []
        self.add(texts)

    def add(self, texts: Iterable[str]) -> None:
        for text in texts:
            triples = shingles(text)
            for triple in triples:
                self._holders.setdefault(triple, []).append(len(self._sizes))
            self._sizes.append(len(triples))

    def unseen(self, talk: Talk, left_out: Counter[str]) -> Talk:
        """Return the conversation with replies that were seen before as context only."""
        windows = []
        for window in talk.windows:
            known = frozenset(
                target for target in window.targets if self.knows(window.turns[target]["content"])
            )
            left_out[DUPLICATE] += len(known)
            windows.append(window.without(known))
        return replace(talk, windows=tuple(window for window in windows if window.targets))

    def knows(self, text: str) -> bool:
        """Tell whether some text that was added shares enough of its word triples with this one."""
        triples = shingles(text)
        shared: Counter[int] = Counter()
        for triple in triples:
            shared.update(self._holders.get(triple, ()))
        return any(
            # What both have, against what either has: Jaccard without building a union.
            common >= SIMILAR * (len(triples) + self._sizes[holder] - common)
            for holder, common in shared.items()
        )


def _texts(talk: Talk) -> Iterator[str]:
    """Yield each reply of the conversation once, as the learner writes it."""
    for window in talk.windows:
        for target in window.targets:
            yield window.turns[target]["content"]


def shingles(text: str) -> set[int]:
    """Return the hashes of the text's word triples; none for a short text, which recurs by chance."""
    words = _WORDS.findall(text.casefold())
    if len(words) < MIN_WORDS:
        return set()
    # Python salts hashes of strings anew in each process; these are compared within one alone.
    return set(map(hash, runs(words, SHINGLE_WORDS)))


__all__ = ["Split", "Talk", "shingles", "without_repeats"]
