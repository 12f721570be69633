"""The replies that a night scores: to validate, as an exam, of older days, and those that are fresh.

Pure. Each stands where the bot's answers will: in the assistant's turn, with its author in the chair.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from ledger.records import Conversation
from trainer.preparing.conversation_parts import Parts, newest, unseen
from trainer.preparing.dataset_split import Talk
from trainer.preparing.material import DAY_MS, DatasetLimits, Material, Start
from trainer.preparing.windows import Frame, windows_of

OLD_DAYS = (7, 30, 90)
"""Ages, in days, at which an adapter has to know still what it knew."""


class HeldOut:
    """The replies to score: validation, the exam, older days, and what is fresh."""

    def __init__(
        self, parts: Parts, material: Material, limits: DatasetLimits, frame: Frame, start: Start
    ) -> None:
        """``start`` says what versions in use have seen."""
        self._frame, self._limits = frame, limits
        # Checked, and not assumed: what any version in use has seen tests nothing.
        clean = unseen(parts.test, start.seen)
        most = limits.max_heldout_replies
        exam = newest(clean, most_messages=most)
        taken = {conversation.messages[0].id for conversation in exam}
        older: dict[int, Conversation] = {}
        for days in OLD_DAYS:
            before = material.now - days * DAY_MS
            for conversation in newest(clean, most_messages=most // 4, before=before):
                if conversation.messages[0].id not in taken:
                    older[conversation.messages[0].id] = conversation
        self.test = self._talks(exam)
        self.old = self._talks(older[first] for first in sorted(older))
        self.val = self._talks(newest(parts.val, most_messages=max(most // 2, 20)))
        self.fresh = self._fresh(parts, material, start) if material.last_night else ()

    def _talks(self, conversations: Iterable[Conversation]) -> tuple[Talk, ...]:
        talks = (
            Talk(
                tuple(
                    windows_of(
                        conversation,
                        self._frame,
                        max_messages=self._limits.max_messages,
                        overlap_messages=self._limits.overlap_messages,
                    )
                ),
                conversation.started_at,
                conversation.ended_at,
            )
            for conversation in conversations
        )
        return tuple(talk for talk in talks if talk.replies)

    def _fresh(self, parts: Parts, material: Material, start: Start) -> tuple[Talk, ...]:
        """Return replies since the last night that no version has learned, drawn evenly."""
        new = [
            each
            for each in (*parts.train, *parts.val, *parts.test)
            if each.messages[-1].created_at > material.last_night and each.messages[0].source != "example"
        ]
        times = {message.id: message.created_at for each in new for message in each.messages}

        def is_fresh(message: int) -> bool:
            return times[message] > material.last_night and message not in start.seen

        talks = [
            replace(
                talk,
                windows=tuple(
                    window.without(
                        frozenset(
                            target
                            for target in window.targets
                            if not all(is_fresh(piece.message) for piece in window.parts[target])
                        )
                    )
                    for window in talk.windows
                ),
            )
            for talk in self._talks(new)
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
