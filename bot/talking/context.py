"""The conversation around a Discord message, as the ledger's records.

Messages of people who did not opt in are read for the answer, but only in memory; nothing here writes.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import discord

from bot.failures import DISCORD_AWAY, reason
from bot.talking.asides import without_asides
from ledger.clock import to_ms
from ledger.records import Message
from ledger.talk.conversations import around
from ledger.talk.prompts import Turn, called, shortened, to_prompt

log = logging.getLogger(__name__)

HISTORY = 60
"""How many of the channel's messages to search for the conversation."""
REPLY_CHAIN = 6
"""How many reply references to follow beyond that history."""
HISTORY_SECONDS = 5.0
"""How long the channel's history may take: somebody is waiting, and an answer can do without it."""
PICTURE = "(shows a picture)"
ATTACHMENT = "(sends a file)"
STICKER = "(sends a sticker)"
CALL = "{name}?"
"""What a bare mention says."""
CHARACTERS_A_TOKEN = 2.5
"""Cautious: English chat has 3 to 4. A prompt that is too long all the same is halved when refused."""


def record(message: discord.Message, *, bot_id: int) -> Message:
    """Return the Discord message as a record, without mentions of the bot itself.

    Everybody mentions the bot, so a mention of it does not tie two messages into one conversation.
    """
    # Discord spells mentions <@id>; old clients write <@!id>.
    content = re.sub(rf"<@!?{bot_id}>[ ,:]*", "", message.content)
    if message.author.id == bot_id:
        content = without_asides(_without_question(message, content))
    return Message(
        id=message.id,
        guild_id=message.guild.id if message.guild else 0,
        channel_id=message.channel.id,
        author_id=message.author.id,
        author_name=message.author.display_name,
        content=content.strip(),
        created_at=to_ms(message.created_at),
        reply_to=replied_to(message),
        mentions=tuple(person.id for person in message.mentions if person.id != bot_id),
        is_bot=message.author.bot,
    )


def replied_to(message: discord.Message) -> int | None:
    """Return the message that this one replies to; a forwarded one was said to somebody else."""
    reference = message.reference
    if reference is None or reference.type is discord.MessageReferenceType.forward:
        return None
    return reference.message_id


def _without_question(message: discord.Message, content: str) -> str:
    """Return an answer to ``/ask`` without the question that it quotes, which is not in the bot's words."""
    if message.interaction_metadata is None:
        return content
    return re.sub(r"\A(?:> .*(?:\n|\Z))+", "", content)


async def recent_messages(message: discord.Message) -> list[discord.Message]:
    """Return the channel's messages up to ``message``, oldest first, and those that it replies to.

    Leaves out what Discord does not deliver in time: answering the message alone beats not answering.
    """
    found = {message.id: message}
    # Discord delivers the message that is replied to along with the reply: one request less.
    resolved = message.reference.resolved if message.reference is not None else None
    if isinstance(resolved, discord.Message) and replied_to(message) == resolved.id:
        found[resolved.id] = resolved
    try:
        async with asyncio.timeout(HISTORY_SECONDS):
            async for earlier in message.channel.history(limit=HISTORY, before=message):
                found[earlier.id] = earlier
            await _follow_references(message, found)
    except DISCORD_AWAY as error:
        log.warning("a question is answered without all of its context: %s", reason(error))
    # Discord's ids grow with time.
    return [found[key] for key in sorted(found)]


async def _follow_references(message: discord.Message, found: dict[int, discord.Message]) -> None:
    for _ in range(REPLY_CHAIN):
        earlier = replied_to(message)
        if earlier is None or message.reference is None or message.reference.channel_id != message.channel.id:
            return
        if earlier not in found:
            try:
                found[earlier] = await message.channel.fetch_message(earlier)
            except (discord.NotFound, discord.Forbidden):
                return
        message = found[earlier]


def said_by_people(message: discord.Message, bot_id: int) -> bool:
    """Tell whether a person, or the bot itself, said this in the channel."""
    if message.author.id == bot_id:
        # Its reports and notices are embeds, and asides are not conversation.
        return bool(without_asides(message.content)) and not message.embeds
    return (
        not message.author.bot
        and message.webhook_id is None
        and message.type in (discord.MessageType.default, discord.MessageType.reply)
    )


@dataclass(frozen=True, slots=True)
class ChatContext:
    """What was said before a message, and who took part."""

    messages: list[Message]
    names: Mapping[int, str]
    read: frozenset[int]
    """Ids of the messages whose words the model reads."""


async def conversation_before(
    message: discord.Message, *, bot_id: int, bot_name: str, gap_ms: int, limit: int
) -> ChatContext:
    """Return the conversation that ends in ``message``; its last line is never empty."""
    messages = await recent_messages(message)
    records = [record(each, bot_id=bot_id) for each in messages if said_by_people(each, bot_id)]
    conversation = around(records, message.id, gap_ms=gap_ms, limit=limit)
    read = frozenset(each.id for each in conversation if each.content)
    brought = {each.id: _what_it_brings(each) for each in messages}
    spoken = [replace(each, content=each.content or brought[each.id]) for each in conversation]
    if not _asks(spoken, bot_id):
        spoken = [*spoken[:-1], replace(spoken[-1], content=CALL.format(name=bot_name))]
    return ChatContext(spoken, _names(messages), read)


def _asks(conversation: Sequence[Message], bot_id: int) -> bool:
    """Tell whether there is anything to answer: words that are not the bot's own."""
    last = next((each for each in reversed(conversation) if each.content), None)
    return not conversation or (last is not None and last.author_id != bot_id)


def _what_it_brings(message: discord.Message) -> str:
    """Describe what a message without words brings; not even a file's name is read."""
    if message.stickers:
        return STICKER
    kinds = {(each.content_type or each.filename).lower() for each in message.attachments}
    if any(kind.startswith("image/") or kind.endswith(_PICTURES) for kind in kinds):
        return PICTURE
    return ATTACHMENT if kinds else ""


_PICTURES = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".avif")


def prompt_turns(
    conversation: Sequence[Message],
    *,
    bot_id: int,
    bot_name: str,
    guild_name: str,
    names: Mapping[int, str],
    context_tokens: int,
) -> list[Turn]:
    """Return a conversation as turns and the begun answer to it, cut to fit into ``context_tokens``."""
    turns = to_prompt(
        [replace(message, author_name=_called(message, bot_id, bot_name)) for message in conversation],
        bot_name=bot_name,
        guild_name=guild_name,
        names=names,
    )
    return shortened(turns, max_characters=int(context_tokens * CHARACTERS_A_TOKEN))


def _called(message: Message, bot_id: int, bot_name: str) -> str:
    """Return the name in which a message is read."""
    if message.author_id == bot_id:
        # The bot's nickname in a server is not the name by which it answers.
        return bot_name
    return called(message.author_name, bot_name)


def _names(messages: Sequence[discord.Message]) -> dict[int, str]:
    people = [person for message in messages for person in (message.author, *message.mentions)]
    return {person.id: person.display_name for person in people}
