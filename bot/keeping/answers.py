"""Keeps what the bot answered, with the version that wrote it."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import discord

from ledger.clock import to_ms
from ledger.records import BotAnswer
from ledger.store import Ledger


async def keep_answer(
    ledger: Ledger,
    messages: Sequence[discord.Message],
    guild: discord.Guild,
    *,
    text: str,
    version: str | None,
    asked_by: int,
    in_reply_to: int | None = None,
    read: Collection[int] = (),
) -> None:
    """Record an answer that takes up one or more messages; its text is stored with the first.

    ``read`` are the messages that the model was given. The ledger keeps the text only if it keeps all of
    them, too: a small model repeats what it reads.
    """
    await ledger.guilds.ensure(guild.id, guild.name)
    for position, message in enumerate(messages):
        reply = BotAnswer(
            message_id=message.id,
            guild_id=guild.id,
            channel_id=message.channel.id,
            asked_by=asked_by,
            in_reply_to=in_reply_to,
            content="" if position else text,
            adapter_version=version,
            created_at=to_ms(message.created_at),
            part_of=messages[0].id if position else None,
        )
        await ledger.answers.add(reply, read=read)
