"""Training, validation and test: split by time and by conversation, with an embargo in between.

Pure functions over windows. The newest conversations test, those before them validate, the rest
trains: the figure that decides is about days that the adapter has not seen. Replies of one
conversation never end up in two parts, nor do replies that say nearly the same.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from ledger.shingles import runs
from trainer.preparing.windows import Window

EMBARGO = "too close to the next part (embargo)"
DUPLICATE = "nearly the same as a reply to learn from"
TOO_OLD = "older than the newest that fit into a night"

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


@dataclass(frozen=True, slots=True)
class Split:
    """The three parts, oldest first, and what was left out, in replies, by reason."""

    train: tuple[Talk, ...]
    val: tuple[Talk, ...]
    test: tuple[Talk, ...]
    left_out: Counter[str] = field(default_factory=Counter)


def split(
    talks: Iterable[Talk],
    *,
    validation_share: float,
    test_share: float,
    embargo_ms: int,
    max_heldout_replies: int,
    max_train_replies: int,
) -> Split:
    """Split conversations by time; shares are of conversations, limits of replies a part."""
    ordered = sorted(talks, key=lambda talk: (talk.started_at, talk.ended_at))
    left_out: Counter[str] = Counter()
    rest, test = _newest(ordered, round(len(ordered) * test_share), max_heldout_replies)
    rest = _ended_before(rest, test, embargo_ms, left_out)
    rest, val = _newest(rest, round(len(ordered) * validation_share), max_heldout_replies)
    rest = _ended_before(rest, val, embargo_ms, left_out)
    train = _capped(rest, max_train_replies, left_out)
    seen = _Seen(train)
    # What validation holds counts as seen, too: it chooses the epoch that is tested.
    val = [seen.unseen(talk, left_out) for talk in val]
    seen.add(val)
    test = [seen.unseen(talk, left_out) for talk in test]
    return Split(
        tuple(train),
        tuple(talk for talk in val if talk.replies),
        tuple(talk for talk in test if talk.replies),
        left_out,
    )


def _newest(talks: Sequence[Talk], count: int, max_replies: int) -> tuple[list[Talk], list[Talk]]:
    """Split off the newest ``count`` conversations (at least one), fewer when they hold too many replies."""
    cut, replies = len(talks), 0
    for index in range(len(talks) - 1, max(len(talks) - max(count, 1), 0) - 1, -1):
        replies += talks[index].replies
        if replies > max_replies and cut < len(talks):  # one conversation is taken, however long
            break
        cut = index
    return list(talks[:cut]), list(talks[cut:])


def _ended_before(
    talks: Sequence[Talk], later: Sequence[Talk], embargo_ms: int, left_out: Counter[str]
) -> list[Talk]:
    """Leave out what had not ended ``embargo_ms`` before the first of ``later`` began.

    Otherwise one part could continue what the other holds: people return to a topic within the hour.
    """
    if not later:
        return list(talks)
    limit = later[0].started_at - embargo_ms
    left_out[EMBARGO] += sum(talk.replies for talk in talks if talk.ended_at > limit)
    return [talk for talk in talks if talk.ended_at <= limit]


def _capped(talks: Sequence[Talk], max_replies: int, left_out: Counter[str]) -> list[Talk]:
    kept: list[Talk] = []
    replies = 0
    for talk in reversed(talks):
        replies += talk.replies
        if replies > max_replies and kept:
            left_out[TOO_OLD] += talk.replies
            replies = max_replies  # a shorter, older conversation must not fill the gap
        else:
            kept.append(talk)
    return kept[::-1]


class _Seen:
    """The word triples of replies to learn from, by which a held-out reply that repeats one is found."""

    def __init__(self, talks: Iterable[Talk]) -> None:
        # By triple: a reply is compared only with those that share one, not with all.
        self._holders: dict[int, list[int]] = {}
        self._sizes: list[int] = []
        self.add(talks)

    def add(self, talks: Iterable[Talk]) -> None:
        for text in (text for talk in talks for text in _texts(talk)):
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


__all__ = ["Split", "Talk", "shingles", "split"]
