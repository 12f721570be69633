"""The bot's own answers that people marked 👍, each with the conversation that it answered.

They are the only words of its own that it learns from: as question and answer, like a taught pair. Who
may be learned from, and what of a conversation, is decided by the night's rules of selection.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ledger.people.quarantine import Detained
from ledger.records import BotAnswer, Message
from ledger.store import Ledger
from ledger.talk.conversations import around
from trainer.choosing.choice import QUARANTINED
from trainer.preparing.selection import COMMAND, Rules

REACH = 200
"""Messages of the channel before the question among which its conversation is looked for."""


@dataclass(frozen=True, slots=True)
class LikedAnswer:
    """An answer worth learning; the context ends with the question."""

    context: tuple[Message, ...]
    answer: BotAnswer
    parts: tuple[int, ...] = ()
    """Numbers of the messages that a long answer went on in."""

    @property
    def question(self) -> Message:
        return self.context[-1]

    @property
    def learned_from(self) -> tuple[tuple[int, int], ...]:
        """(message id, author id) of all that a run which learns it has to list, so that deletions find it.

        The answer counts as its asker's: whoever is forgotten takes the bot's answers to them along.
        """
        own = ((number, self.answer.asked_by) for number in (self.answer.message_id, *self.parts))
        return (*((message.id, message.author_id) for message in self.context), *own)


async def liked_answers(
    ledger: Ledger,
    guild_id: int,
    messages: Sequence[Message],
    rules: Rules,
    *,
    gap_ms: int,
    limit: int,
    held: Mapping[int, Detained] | None = None,
) -> list[LikedAnswer]:
    """Return the liked answers to permitted questions, oldest first.

    ``messages`` are the guild's stored ones, by channel, oldest first; at most ``limit`` of a conversation
    are context, without those that ``rules`` or a quarantine (``held``) refuse. Answers to /ask are not
    among them, since what was asked is not stored.
    """
    channels: defaultdict[int, list[Message]] = defaultdict(list)
    places: dict[int, tuple[int, int]] = {}
    for message in messages:
        places[message.id] = (message.channel_id, len(channels[message.channel_id]))
        channels[message.channel_id].append(message)

    def refused(message: Message) -> str:
        waits = (held or {}).get(message.author_id)
        return QUARANTINED if waits and waits.covers(message.created_at) else rules.reason_against(message)

    found = []
    for answer, parts in await ledger.answers.liked(guild_id):
        place = places.get(answer.in_reply_to or 0)
        if place is None:
            continue
        channel, index = place
        near = channels[channel][max(0, index + 1 - REACH) : index + 1]
        context = around(near, near[-1].id, gap_ms=gap_ms, limit=limit)
        *before, question = context
        # What is said to this bot begins with its name, and is a command only in general.
        if refused(question) in ("", COMMAND):
            kept = (*(message for message in before if not refused(message)), question)
            found.append(LikedAnswer(kept, answer, parts))
    return found


__all__ = ["LikedAnswer", "liked_answers"]
