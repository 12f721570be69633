"""The conversation around a Discord message, as the ledger's records.

Live messages of people who did not opt in are read for the answer, in memory alone; nothing here
writes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import discord

from ledger.clock import to_ms
from ledger.conversations import around
from ledger.prompts import Turn, shortened, to_chat
from ledger.records import Message

HISTORY = 60
"""Messages of the channel that are looked at to find the conversation."""
REPLY_CHAIN = 6
"""References that are followed beyond that history."""
CHARACTERS_A_TOKEN = 2.5
"""Cautious: chat in English has 3 to 4; a prompt that is still too long is halved once refused."""


def record(message: discord.Message, *, bot_id: int) -> Message:
    """Return the Discord message as a record without mentions of the bot itself.

    Everybody mentions the bot: who does so now does not go on with what it told somebody else before.
    """
    content = re.sub(rf"<@!?{bot_id}>[ ,:]*", "", message.content)
    reference = message.reference
    return Message(
        id=message.id,
        guild_id=message.guild.id if message.guild else 0,
        channel_id=message.channel.id,
        author_id=message.author.id,
        author_name=message.author.display_name,
        content=content.strip(),
        created_at=to_ms(message.created_at),
        reply_to=reference.message_id if reference is not None else None,
        mentions=tuple(person.id for person in message.mentions if person.id != bot_id),
        is_bot=message.author.bot,
    )


async def recent_messages(message: discord.Message) -> list[discord.Message]:
    """Return the channel's messages up to ``message``, oldest first, with the replied-to chain."""
    found = {message.id: message}
    async for earlier in message.channel.history(limit=HISTORY, before=message):
        found[earlier.id] = earlier
    await _follow_references(message, found)
    return [found[key] for key in sorted(found)]


async def _follow_references(message: discord.Message, found: dict[int, discord.Message]) -> None:
    for _ in range(REPLY_CHAIN):
        reference = message.reference
        if reference is None or reference.message_id is None or reference.channel_id != message.channel.id:
            return
        if reference.message_id not in found:
            try:
                found[reference.message_id] = await message.channel.fetch_message(reference.message_id)
            except (discord.NotFound, discord.Forbidden):
                return
        message = found[reference.message_id]


def said_by_people(message: discord.Message, bot_id: int) -> bool:
    """Tell whether this is something that a person, or the bot itself, said in the channel."""
    if message.author.id == bot_id:
        # Its reports and notices are embeds; what it says in plain words is conversation.
        return bool(message.content) and not message.embeds
    return (
        not message.author.bot
        and message.webhook_id is None
        and message.type in (discord.MessageType.default, discord.MessageType.reply)
    )


async def conversation_before(
    message: discord.Message, *, bot_id: int, gap_ms: int, limit: int
) -> tuple[list[Message], dict[int, str]]:
    """Return the conversation that ends in ``message``, and the names of everybody in sight."""
    messages = await recent_messages(message)
    records = [record(each, bot_id=bot_id) for each in messages if said_by_people(each, bot_id)]
    return around(records, message.id, gap_ms=gap_ms, limit=limit), _names(messages)


def prompt_turns(
    conversation: Sequence[Message],
    *,
    bot_id: int,
    bot_name: str,
    guild_name: str,
    names: Mapping[int, str],
    context_tokens: int,
) -> list[Turn]:
    """Return the turns of a conversation, cut to what fits into ``context_tokens``."""
    turns, _ = to_chat(conversation, chair=bot_id, bot_name=bot_name, guild_name=guild_name, names=names)
    return shortened(turns, max_characters=int(context_tokens * CHARACTERS_A_TOKEN))


def _names(messages: Sequence[discord.Message]) -> dict[int, str]:
    people = [person for message in messages for person in (message.author, *message.mentions)]
    return {person.id: person.display_name for person in people}
