"""The replies that a night scores: to validate, as an exam, of older days, and those that are fresh.

Pure. A held-out conversation is read as a learned one is: once, each reply in its writer's name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ledger.records import Conversation
from trainer.preparing.conversation_parts import Parts, is_taught, unseen
from trainer.preparing.dataset_split import Talk
from trainer.preparing.material import DAY_MS, DatasetLimits, Material, Start
from trainer.preparing.tonight import estimated
from trainer.preparing.windows import SYSTEM_TOKENS, Frame, Measure, replies_of, sizes_of

OLD_DAYS = (7, 30, 90)
"""Ages, in days, at which an adapter has to know still what it knew."""

MOST_VALIDATING = 200
"""Replies that choose the epoch; 500 took a third of a fit of 24,000 tokens, since all are scored twice."""
LEAST_TALKS = 8
"""No conversation is more than this part of an exam; the rest of a longer one is scored evenly."""


def most_validating(limits: DatasetLimits) -> int:
    """Return how many replies validate at most."""
    return min(max(limits.max_heldout_replies // 2, 20), MOST_VALIDATING)


def most_old(limits: DatasetLimits) -> int:
    """Return how many replies of each of the older days are scored at most."""
    return limits.max_heldout_replies // 4


def most_of_one(most: int) -> int:
    """Return how many of ``most`` replies one conversation may give: a verdict asks for several."""
    return max(most // LEAST_TALKS, 1)


class HeldOut:
    """The replies to score: validation, the exam, older days, and what is fresh."""

    def __init__(
        self,
        parts: Parts,
        material: Material,
        limits: DatasetLimits,
        frame: Frame,
        start: Start,
        *,
        measure: Measure = estimated,
    ) -> None:
        """``start`` says what versions in use have seen."""
        self._frame, self._limits, self._measure = frame, limits, measure
        # Checked, and not assumed: what any version in use has seen tests nothing.
        clean = unseen(parts.test, start.seen)
        most = limits.max_heldout_replies
        self.test = self._newest(clean, most)
        taken = {talk.conversation: talk for talk in self.test}
        older: dict[int, Talk] = {}
        for days in OLD_DAYS:
            for talk in self._newest(clean, most_old(limits), before=material.now - days * DAY_MS):
                # A large exam reaches back that far itself: the same replies are scored once.
                older[talk.conversation] = taken.get(talk.conversation, talk)
        self.old = tuple(sorted(older.values(), key=lambda talk: talk.started_at))
        self.val = self._newest(parts.val, most_validating(limits))
        self.fresh = self._fresh(parts, material, start) if material.last_night else ()

    def _newest(
        self, conversations: Sequence[Conversation], most: int, *, before: int | None = None
    ) -> tuple[Talk, ...]:
        """Return the newest conversations that ended before a time, with at most so many replies in all."""
        kept: list[Talk] = []
        replies = 0
        for conversation in reversed(conversations):
            if before is not None and conversation.ended_at >= before:
                continue
            if replies >= most or len(kept) >= most:
                break
            for talk in evenly([self._talk(conversation)], min(most_of_one(most), most - replies)):
                replies += talk.replies
                kept.append(talk)
        return tuple(reversed(kept))

    def _talk(self, conversation: Conversation) -> Talk:
        windows = replies_of(
            conversation,
            self._frame,
            sizes_of(conversation.messages, self._measure),
            max_messages=self._limits.max_messages,
            overlap_messages=self._limits.overlap_messages,
            max_tokens=self._limits.max_tokens - SYSTEM_TOKENS,
        )
        return Talk(tuple(windows), conversation.started_at, conversation.ended_at)

    def _fresh(self, parts: Parts, material: Material, start: Start) -> tuple[Talk, ...]:
        """Return replies since the last night that no version has learned, drawn evenly."""
        new = [
            each
            for each in (*parts.train, *parts.val, *parts.test)
            if each.messages[-1].created_at > material.last_night - DAY_MS and not is_taught(each)
        ]
        fresh = {
            message.id for each in new for message in each.messages if material.is_new(message, start.seen)
        }

        talks = [
            replace(
                talk,
                windows=tuple(
                    window.without(
                        frozenset(
                            target for target in window.targets if window.message_of(target) not in fresh
                        )
                    )
                    for window in talk.windows
                ),
            )
            for talk in map(self._talk, new)
        ]
        return evenly(talks, self._limits.max_fresh_replies)


def evenly(talks: Sequence[Talk], most: int) -> tuple[Talk, ...]:
    """Return the talks with at most ``most`` of their replies, spread evenly over all of them."""
    total = sum(talk.replies for talk in talks)
    kept: list[Talk] = []
    at = 0
    for talk in sorted(talks, key=lambda each: each.started_at):
        windows = []
        for window in talk.windows:
            dropped = set()
            for target in window.targets:
                # The k-th reply stays where a step of total / most falls on it.
                if total > most and (at * most) // total == ((at + 1) * most) // total:
                    dropped.add(target)
                at += 1
            windows.append(window.without(frozenset(dropped)))
        kept.append(replace(talk, windows=tuple(window for window in windows if window.targets)))
    return tuple(talk for talk in kept if talk.windows)


__all__ = ["OLD_DAYS", "HeldOut", "evenly"]
