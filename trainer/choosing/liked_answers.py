"""The bot's own answers that people marked 👍, each with the conversation that it answered.

They are the only words of its own that it learns from: as question and answer, like a taught pair. Who
may be learned from, and what of a conversation, is decided by the night's rules of selection.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from ledger.people.quarantine import Detained
from ledger.records import BotAnswer, Message
from ledger.store import Ledger
from trainer.choosing.choice import QUARANTINED
from trainer.preparing.selection import COMMAND, Rules


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
    rules: Rules,
    *,
    limit: int,
    held: Mapping[int, Detained] | None = None,
) -> list[LikedAnswer]:
    """Return the liked answers to permitted questions, oldest first.

    Their context is the stored conversation of the question up to it: at most ``limit`` messages, without
    those that ``rules`` or a quarantine (``held``) refuse. Answers to /ask are not among them, since what was
    asked is not stored.
    """

    def refused(message: Message) -> str:
        waits = (held or {}).get(message.author_id)
        return QUARANTINED if waits and waits.covers(message.created_at) else rules.reason_against(message)

    liked = await ledger.answers.liked(guild_id)
    asked = await ledger.messages.among(guild_id, [answer.in_reply_to or 0 for answer, _ in liked])
    questions = {message.id: ledger.messages.as_stored_today(message) for message in asked}
    talks: defaultdict[int | None, list[Message]] = defaultdict(list)
    for message in await ledger.messages.of_conversations(
        guild_id, {message.conversation for message in asked if message.conversation is not None}
    ):
        talks[message.conversation].append(message)
    found = []
    for answer, parts in liked:
        question = questions.get(answer.in_reply_to or 0)
        # What is said to this bot begins with its name, and is a command only in general.
        if question is None or refused(question) not in ("", COMMAND):
            continue
        place = question.created_at, question.id
        before = [m for m in talks[question.conversation] if (m.created_at, m.id) < place]
        near = before[max(len(before) + 1 - limit, 0) :]
        kept = [ledger.messages.as_stored_today(message) for message in near if not refused(message)]
        found.append(LikedAnswer((*kept, question), answer, parts))
    return found


__all__ = ["LikedAnswer", "liked_answers"]
