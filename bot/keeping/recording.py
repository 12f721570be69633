"""What members say, kept for those who agreed.

Never writes text of anybody without consent, of bots, webhooks, or direct messages.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import discord

from bot.background import Background
from bot.keeping.backlog import Backlog, Heard, Tell
from bot.keeping.channel_modes import GuildChannel, channel_mode, stored_name, stored_parent
from bot.talking.context import record
from ledger.clock import to_ms
from ledger.records import Message, Source
from ledger.store import Ledger

SPOKEN = (discord.MessageType.default, discord.MessageType.reply)
"""Types of what people say; all others are Discord's own lines about pins, boosts or new members."""


class Recording:
    """Hears messages, in the order in which Discord sends them."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        background: Background,
        bot_id: Callable[[], int],
        source: Source,
        tell: Tell = lambda guild_id, text: None,
    ) -> None:
        """``source`` is stored with each message; ``tell`` reaches a guild's admins."""
        self._ledger = ledger
        self._bot_id = bot_id
        self._source = source
        self.backlog = Backlog(partial(_store, ledger), background=background, tell=tell)

    async def hear(self, message: discord.Message) -> None:
        """Keep a message, if its author agreed and the bot listens in its channel."""
        if message.guild is None or message.author.bot or message.webhook_id is not None:
            return
        if message.type not in SPOKEN:
            return
        async with self.backlog.in_order:
            await self._keep(message, message.guild)

    async def hear_late(self, message: discord.Message) -> None:
        """Keep what was said while the bot was away, if its author had agreed by then."""
        if message.guild is None:
            return
        at = to_ms(message.created_at)
        if await _had_agreed(self._ledger, message.guild.id, message.author.id, at):
            await self.hear(message)

    async def caught_up(self) -> None:
        """Return once everything that was heard so far is written."""
        async with self.backlog.in_order:
            return

    async def channel_renamed(self, channel: discord.abc.GuildChannel) -> None:
        """Note the new name of a channel that is known here."""
        if await self._ledger.channels.get(channel.id) is not None:
            await self._ledger.channels.ensure(channel.id, channel.guild.id, channel.name)

    def record_of(self, message: discord.Message) -> Message:
        """Return the message as it would be kept."""
        return replace(record(message, bot_id=self._bot_id()), source=self._source)

    async def _keep(self, message: discord.Message, guild: discord.Guild) -> None:
        channel = message.channel
        if not isinstance(channel, GuildChannel):
            return
        mode = await channel_mode(self._ledger, channel)
        # Asked for every message, and never cached: an opt-out counts from the next word on.
        if mode == "ignore" or not await self._ledger.consent.allows(guild.id, message.author.id, channel.id):
            return
        said = self.record_of(message)
        if said.content:
            await self.backlog.take(
                Heard(said, guild.name, stored_name(channel), mode, stored_parent(channel))
            )


async def _store(ledger: Ledger, heard: Heard, waited: bool) -> None:
    said = heard.message
    if waited and not await _had_agreed(ledger, said.guild_id, said.author_id, said.created_at):
        return  # forgotten while it waited; a new yes does not bring old words back
    # The rows of guild and channel come first: a message refers to both.
    await ledger.guilds.ensure(said.guild_id, heard.guild_name)
    await ledger.channels.ensure(
        said.channel_id, said.guild_id, heard.channel_name, mode=heard.mode, parent_id=heard.parent_id
    )
    await ledger.messages.hear(said)


async def _had_agreed(ledger: Ledger, guild_id: int, user_id: int, at: int) -> bool:
    """Tell whether a person agrees now, and did so at a time in milliseconds."""
    consent = await ledger.consent.current(guild_id, user_id)
    return consent is not None and consent.granted and consent.at <= at
