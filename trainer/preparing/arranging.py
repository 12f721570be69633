"""A night's dataset, from what the ledger holds: who may be learned from, what is held out, what is read.

Pure functions over :class:`trainer.preparing.material.Material`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ledger.records import Conversation, Message
from ledger.talk.prompts import called
from trainer.choosing.suspicion import Toxicity
from trainer.preparing.conversation_parts import Parts, assign, conversations_of, is_taught
from trainer.preparing.dataset_split import DUPLICATE, Split, Talk, without_repeats
from trainer.preparing.held_out import HeldOut
from trainer.preparing.material import DatasetLimits, Material, Start
from trainer.preparing.selection import select
from trainer.preparing.tonight import (
    OVER_SHARE,
    Measure,
    Tonight,
    Worth,
    counted,
    estimated,
    tonight,
    worth_of,
)
from trainer.preparing.windows import Frame, Passage, sequence

MINUTE_MS = 60_000
GOING_ON = "in conversations that are still going on"
HELD_OUT = "held out: no version ever learns them"
NO_ROOM = "beyond the night's budget"


@dataclass(frozen=True, slots=True)
class Arranged:
    """The parts of a night's dataset, counts of what is in them, and who is to be quarantined."""

    split: Split
    counts: dict[str, Any]
    suspects: Mapping[int, tuple[str, ...]]


def unjudged(texts: Sequence[str]) -> list[float]:
    """Score every text as harmless, where nobody asks for more."""
    return [0.0] * len(texts)


def arrange(
    material: Material,
    limits: DatasetLimits,
    *,
    bot_name: str,
    start: Start,
    measure: Measure = estimated,
    toxicity: Toxicity = unjudged,
) -> Arranged:
    """Return tonight's dataset."""
    allowed, left_out = select(material.messages, material.rules)
    worth = worth_of(allowed, material, start, toxicity=toxicity)
    kept = [
        replace(message, author_name=called(message.author_name, bot_name))
        for message in allowed
        if message.id not in worth.without
    ]
    left_out += counted(worth, allowed)
    frame = Frame(bot_name, material.guild_name, material.names)
    gap_ms = round(limits.gap_minutes * MINUTE_MS)
    conversations = conversations_of(kept, material.channels, gap_ms=gap_ms)
    parts = assign(
        conversations,
        guild_id=material.guild_id,
        key=material.split_key,
        roles=material.roles,
        validation_share=limits.validation_share,
        test_share=limits.test_share,
        now=material.now,
        gap_ms=gap_ms,
        last_night=material.last_night,
        places=material.places,
    )
    parts = with_liked(parts, material, bot_name)
    held_out = HeldOut(parts, material, limits, frame, start, measure=measure)
    chosen = tonight(parts, worth, material, limits, start, measure=measure)
    split, repeated = without_repeats(
        Split(_train(chosen, material, frame), held_out.val, held_out.test, held_out.old, held_out.fresh),
        learnable=(message.content for message in parts.train_messages()),
    )
    left_out[DUPLICATE] += repeated
    left_out[GOING_ON] += _messages(parts.going_on)
    left_out[HELD_OUT] += _messages(parts.val) + _messages(parts.test)
    left_out[NO_ROOM] += len(chosen.waiting)
    left_out[OVER_SHARE] += chosen.over_share
    counts = {
        "messages": material.stored or len(material.messages),
        "messages_read": len(material.messages),
        "people": len({message.author_id for message in kept}),
        "conversations": len(conversations),
        **_learned(chosen, worth, parts, material, start),
        "validation_replies": sum(talk.replies for talk in split.val),
        "test_replies": sum(talk.replies for talk in split.test),
        "old_replies": sum(talk.replies for talk in split.old),
        "fresh_replies": sum(talk.replies for talk in split.fresh),
        "quarantined_people": len(worth.suspects),
        "left_out": dict((+left_out).most_common()),
    }
    return Arranged(split, counts, worth.suspects)


BOT_AUTHOR = -2
"""Author of a liked answer while its sequence is made: nobody's id."""


def with_liked(parts: Parts, material: Material, bot_name: str) -> Parts:
    """Return the parts with liked answers among what is learned, each as a conversation of its own.

    Not where its context is held out: no version ever learns that.
    """
    held = {m.id for each in (*parts.val, *parts.test, *parts.going_on) for m in each.messages}
    found = []
    for liked in material.liked:
        if any(message.id in held for message in liked.context):
            continue
        said = Message(
            id=liked.answer.message_id,
            guild_id=material.guild_id,
            channel_id=liked.answer.channel_id,
            author_id=BOT_AUTHOR,
            author_name=bot_name,
            content=liked.answer.content,
            created_at=liked.answer.created_at,
            source="example",
        )
        name = material.channels.get(said.channel_id, "channel")
        context = (
            replace(message, author_name=called(message.author_name, bot_name)) for message in liked.context
        )
        found.append(Conversation(said.channel_id, name, (*context, said)))
    return replace(parts, train=(*parts.train, *found))


def _train(chosen: Tonight, material: Material, frame: Frame) -> tuple[Talk, ...]:
    found: list[Talk] = []
    liked = {each.answer.message_id: dict(each.learned_from) for each in material.liked}
    for offer in chosen.taken:
        taught = offer.kind == "taught"
        # Its answers stay the bot's when they are replayed like anything else.
        as_bot = is_taught(offer.passage.conversation)
        passage = _as_bot(offer.passage, offer.wanted, frame) if as_bot else offer.passage
        window = sequence(passage, offer.wanted, frame)
        conversation = offer.passage.conversation
        if window is not None:
            # Whoever asked owns the answer: a deletion has to find it.
            owners = liked.get(conversation.messages[-1].id, {})
            window = replace(window, authors=window.authors | owners, taught=taught)
            found += [Talk((window,), conversation.started_at, conversation.ended_at)] * offer.repeats
    return tuple(found)


def _as_bot(passage: Passage, answers: Collection[int], frame: Frame) -> Passage:
    """Return the passage with what is taught in the bot's name: it is the bot that shall say it."""
    new = (
        replace(message, author_name=frame.bot_name) if message.id in answers else message
        for message in passage.new
    )
    return replace(passage, new=tuple(new))


def _messages(conversations: Iterable[Conversation]) -> int:
    return sum(len(conversation.messages) for conversation in conversations)


def _learned(chosen: Tonight, worth: Worth, parts: Parts, material: Material, start: Start) -> dict[str, int]:
    """Count what is learned, and what of it is new."""
    by_id: dict[int, Message] = {message.id: message for message in parts.train_messages()}
    learned = chosen.learned
    since = material.since(start)
    new = {
        number
        for number in learned - start.known
        if by_id[number].created_at > since or material.is_new(by_id[number], start.known)
    }
    # What an import brought since the last night is new as well, however old it is.
    arrived = sum(
        message.id not in worth.left_out
        and message.id not in material.roles
        and (
            material.is_new(message, ())
            or max(message.created_at, message.imported_at or 0) >= material.last_night
        )
        for message in by_id.values()
    )
    counts = {
        "new_replies": arrived,
        "new_replies_learned": len(new),
        "replayed_replies": len(learned & start.known),
        "taught": sum(offer.kind == "taught" for offer in chosen.taken),
        "train_replies": len(learned),
        "train_tokens_planned": sum(offer.cost for offer in chosen.taken),
    }
    if learned:
        counts["newest_learned_at"] = max(by_id[number].created_at for number in learned)
    return counts


__all__ = ["GOING_ON", "HELD_OUT", "NO_ROOM", "Arranged", "arrange", "unjudged"]
