"""Which part a conversation belongs to: learned, validation or test; decided once, for all nights.

Pure functions over records. A keyed hash of the guild and the conversation's first message decides
(:mod:`ledger.talk.sorting` keeps it), so that every age is held out alike and nobody can choose a part by
posting. What a night has used before keeps its part. A test conversation is never
learned by any version; so the newest day is learned on the next night but for its held-out share.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from ledger.records import Conversation, Message, Role
from ledger.talk.conversations import disentangle
from ledger.talk.sorting import position

LearnedPart = Literal["train", "val", "test"]

PARTS_BY_HASH: tuple[LearnedPart, ...] = ("train", "val", "test")
LEAST_HELD_OUT: Mapping[LearnedPart, int] = {"test": 8, "val": 4}
"""Conversations that are held out of a small server, whatever the share: a verdict needs five."""
MOST_SHARE = 1 / 3
"""Even a server of few conversations learns from two thirds of them."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Conversations by part, each oldest first."""

    train: tuple[Conversation, ...]
    val: tuple[Conversation, ...]
    test: tuple[Conversation, ...]
    going_on: tuple[Conversation, ...]
    """Not over yet: they wait for the next night, since a part of one would be split off."""

    def train_messages(self) -> list[Message]:
        """Return every message that may be learned."""
        return [message for conversation in self.train for message in conversation.messages]


def conversations_of(
    messages: Iterable[Message], channels: Mapping[int, str], *, gap_ms: int
) -> list[Conversation]:
    """Return the conversations of messages that are sorted by channel and time.

    A taught pair is a conversation of its own, however soon after another it was taught.
    """
    found: list[Conversation] = []
    # groupby joins neighbours alone; the ledger returns messages by channel.
    for channel_id, group in groupby(messages, key=lambda message: message.channel_id):
        listed = list(group)
        talk = [message for message in listed if message.source != "example"]
        taught = {message.id: message for message in listed if message.source == "example"}
        stretches = [
            *disentangle(talk, gap_ms=gap_ms),
            *([taught[answer.reply_to], answer] for answer in taught.values() if answer.reply_to in taught),
        ]
        name = channels.get(channel_id, "channel")
        found += [Conversation(channel_id, name, tuple(stretch)) for stretch in stretches]
    return found


def is_taught(conversation: Conversation) -> bool:
    """Tell whether this ends with an answer that somebody taught, or liked of the bot's own."""
    return conversation.messages[-1].source == "example"


def assign(
    conversations: Sequence[Conversation],
    *,
    guild_id: int,
    key: bytes,
    roles: Mapping[int, Role],
    validation_share: float,
    test_share: float,
    now: int,
    gap_ms: int,
    last_night: int = 0,
    places: Mapping[int, float] | None = None,
) -> Parts:
    """Give each conversation its part; ``roles`` says how earlier nights used messages.

    ``places`` says where stored conversations stand by their number; others stand where ``key`` puts them.

    ``now`` and ``gap_ms`` are milliseconds: what was said within a gap before now is still going on, unless
    it has been since before ``last_night``: talk that never pauses would never be learned. A new server holds
    out a few conversations more than its share, those with the lowest hashes.
    """
    found: dict[LearnedPart, list[Conversation]] = {"train": [], "val": [], "test": []}
    undecided: list[tuple[float, Conversation]] = []
    going_on: list[Conversation] = []
    for conversation in sorted(conversations, key=lambda each: (each.started_at, each.messages[0].id)):
        if is_taught(conversation):
            found["train"].append(conversation)
        elif now - gap_ms < conversation.ended_at <= now and conversation.started_at > last_night:
            going_on.append(conversation)
        elif (known := _known(conversation, roles)) is not None:
            found[known].append(conversation)
        else:
            first = conversation.messages[0]
            place = (places or {}).get(first.conversation or 0)
            found_at = position(key, guild_id, first.id) if place is None else place
            undecided.append((found_at, conversation))
    # The lowest hashes test, those above them validate; with a server's growth the bounds reach the shares.
    undecided.sort(key=lambda pair: pair[0])
    low = 0.0
    shares: tuple[tuple[LearnedPart, float], ...] = (("test", test_share), ("val", validation_share))
    for part, share in shares:
        missing = _missing(part, len(found[part]), len(conversations))
        lowest = [conversation for _, conversation in undecided if _has_reply(conversation)][:missing]
        ids = {conversation.messages[0].id for conversation in lowest}
        ids |= {conversation.messages[0].id for at, conversation in undecided if at < low + share}
        found[part] += [pair[1] for pair in undecided if pair[1].messages[0].id in ids]
        undecided = [pair for pair in undecided if pair[1].messages[0].id not in ids]
        low += share
    found["train"] += [conversation for _, conversation in undecided]
    train, val, test = (tuple(sorted(found[part], key=_started)) for part in PARTS_BY_HASH)
    return Parts(train, val, test, tuple(going_on))


def _has_reply(conversation: Conversation) -> bool:
    """Tell whether somebody answers somebody: else there is nothing to score."""
    return len({message.author_id for message in conversation.messages}) > 1


def _missing(part: LearnedPart, have: int, conversations: int) -> int:
    return max(min(LEAST_HELD_OUT[part], int(conversations * MOST_SHARE / 2)) - have, 0)


def _known(conversation: Conversation, roles: Mapping[int, Role]) -> LearnedPart | None:
    used = Counter(roles.get(message.id) for message in conversation.messages)
    if used["target"] or used["context"]:
        return "train"  # learned is learned: it can never test any more
    if used["validation"]:
        return "val"
    return "test" if used["exam"] else None


def _started(conversation: Conversation) -> tuple[int, int]:
    return conversation.started_at, conversation.messages[0].id


def unseen(conversations: Iterable[Conversation], seen: Collection[int]) -> list[Conversation]:
    """Return the conversations of which no message is among ``seen``."""
    return [each for each in conversations if not any(message.id in seen for message in each.messages)]


__all__ = [
    "LEAST_HELD_OUT",
    "Parts",
    "assign",
    "conversations_of",
    "is_taught",
    "unseen",
]
