"""The parts of a dataset, and the rule that nothing held out repeats what may be learned.

Pure functions over windows. Which conversation belongs to which part,
:mod:`trainer.preparing.conversation_parts` decides; replies that say nearly the same as one to learn are
context only, since recognising them proves nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from ledger.records import ROLES, Role
from trainer.choosing.near_duplicates import NearDuplicates
from trainer.preparing.windows import Window

DUPLICATE = "nearly the same as a reply to learn from"


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
    seen = NearDuplicates()
    for text in learnable:
        seen.add(text)
    # In the order of the parts: what validates is seen by what tests.
    val = [_unseen(talk, seen, left_out) for talk in split.val]
    for text in (text for talk in val for text in _texts(talk)):
        seen.add(text)
    test = [_unseen(talk, seen, left_out) for talk in split.test]
    tested = {before.conversation: after for before, after in zip(split.test, test, strict=True)}
    old = [tested.get(talk.conversation) or _unseen(talk, seen, left_out) for talk in split.old]
    found = Split(split.train, _usable(val), _usable(test), _usable(old), split.fresh)
    return found, left_out[DUPLICATE]


def _usable(talks: Iterable[Talk]) -> tuple[Talk, ...]:
    return tuple(talk for talk in talks if talk.replies)


def _unseen(talk: Talk, seen: NearDuplicates, left_out: Counter[str]) -> Talk:
    """Return the conversation with replies that were seen before as context only."""
    windows = []
    for window in talk.windows:
        known = frozenset(target for target in window.targets if seen.knows(window.words(target)))
        left_out[DUPLICATE] += len(known)
        windows.append(window.without(known))
    return replace(talk, windows=tuple(window for window in windows if window.targets))


def _texts(talk: Talk) -> Iterator[str]:
    """Yield each reply of the conversation once, as it is scored."""
    for window in talk.windows:
        for target in window.targets:
            yield window.words(target)


__all__ = ["Split", "Talk", "without_repeats"]
