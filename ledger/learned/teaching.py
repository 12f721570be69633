"""Taught pairs: a question, and the answer that an admin wants the bot to learn.

Pairs come from the admin and not from Discord's channels, so the policy lock does not concern them. They
live in a channel of their own, with a number that no Discord channel has, and belong to their author:
forgetting the admin deletes question and answer.
"""

from __future__ import annotations

from dataclasses import replace

from ledger.clock import to_ms
from ledger.people.policy import taught_by
from ledger.records import Message
from ledger.store import Ledger

ASKER = 0
"""Author id of the questions: nobody in Discord has it."""
ASKER_NAME = "someone"


async def teach_pair(
    ledger: Ledger, guild_id: int, author_id: int, author_name: str, *, number: int, texts: tuple[str, str]
) -> None:
    """Store question and answer, ``texts``, under ``number`` and the number after it.

    ``number`` is the snowflake of the interaction that brought them.
    """
    channel_id = -guild_id
    await ledger.channels.ensure(channel_id, guild_id, "examples")
    await ledger.people.ensure_many(guild_id, [(ASKER, ASKER_NAME, False), (author_id, author_name, False)])
    now = to_ms(ledger.clock.now())
    question, answer = texts
    asked = Message(
        number, guild_id, channel_id, ASKER, "", question, now, source="example", basis=taught_by(author_id)
    )
    answered = replace(asked, id=number + 1, author_id=author_id, content=answer, reply_to=number)
    await ledger.messages.add_many([asked, answered])
