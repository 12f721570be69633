"""What is said, kept for those who agreed: new messages, edits, deletions, reactions.

Never writes text of anybody without consent, of bots, webhooks, or direct messages.
"""

from __future__ import annotations

from dataclasses import replace

import discord
from discord.ext import commands

from bot.context import record
from ledger.clock import to_ms
from ledger.forgetting import Forgetting
from ledger.records import ChannelMode
from ledger.store import Ledger

GuildChannel = discord.abc.GuildChannel | discord.Thread


def default_mode(channel: GuildChannel) -> ChannelMode:
    """Return what the bot does in a channel that no admin has set: private ones are left alone."""
    if isinstance(channel, discord.Thread):
        return "ignore" if channel.is_private() or channel.parent is None else default_mode(channel.parent)
    everyone = channel.permissions_for(channel.guild.default_role)
    return "listen" if everyone.view_channel and everyone.read_message_history else "ignore"


async def channel_mode(ledger: Ledger, channel: GuildChannel) -> ChannelMode:
    """Return what the bot does in the channel; a thread without a setting follows its parent."""
    known = await ledger.channels.get(channel.id)
    if known is None and isinstance(channel, discord.Thread):
        known = await ledger.channels.get(channel.parent_id)
        if channel.is_private():
            return "ignore"
    return known.mode if known is not None else default_mode(channel)


class RecorderCog(commands.Cog):
    """Listens."""

    def __init__(self, bot: commands.Bot, *, ledger: Ledger, forgetting: Forgetting, source: str) -> None:
        self.bot = bot
        self.ledger = ledger
        self.forgetting = forgetting
        self.source = source

    @commands.Cog.listener()
    async def on_message(self, message: discord.Message) -> None:
        if message.guild is None or message.author.bot or message.webhook_id is not None:
            return
        if message.type not in (discord.MessageType.default, discord.MessageType.reply):
            return
        channel = message.channel
        if not isinstance(channel, GuildChannel) or await channel_mode(self.ledger, channel) == "ignore":
            return
        if not await self.ledger.consent.allows(message.guild.id, message.author.id, channel.id):
            return
        kept = record(message, bot_id=self.bot.user.id if self.bot.user else 0)
        if not kept.content:
            return
        await self.ledger.guilds.ensure(message.guild.id, message.guild.name)
        await self.ledger.channels.ensure(
            channel.id, message.guild.id, channel.name, mode=await channel_mode(self.ledger, channel)
        )
        await self.ledger.people.ensure(message.guild.id, message.author.id, message.author.display_name)
        await self.ledger.messages.add(replace(kept, source=self.source))

    @commands.Cog.listener()
    async def on_raw_message_edit(self, payload: discord.RawMessageUpdateEvent) -> None:
        """Forget the old words like those of a deleted message, and keep the new ones in their place."""
        message = payload.message
        if message.guild is None or message.edited_at is None or message.author.bot:
            return
        stored = await self.ledger.messages.known([message.id])
        await self.forgetting.messages(message.guild.id, [message.id], asked_by="edit in Discord")
        allowed = await self.ledger.consent.allows(message.guild.id, message.author.id, message.channel.id)
        if stored and allowed and message.content.strip():
            kept = record(message, bot_id=self.bot.user.id if self.bot.user else 0)
            edited_at = to_ms(message.edited_at)
            await self.ledger.messages.add(replace(kept, source=self.source, edited_at=edited_at))

    @commands.Cog.listener()
    async def on_raw_message_delete(self, payload: discord.RawMessageDeleteEvent) -> None:
        if payload.guild_id is not None:
            await self.forgetting.messages(payload.guild_id, [payload.message_id], asked_by="Discord")

    @commands.Cog.listener()
    async def on_raw_bulk_message_delete(self, payload: discord.RawBulkMessageDeleteEvent) -> None:
        if payload.guild_id is not None:
            await self.forgetting.messages(payload.guild_id, payload.message_ids, asked_by="Discord")

    @commands.Cog.listener()
    async def on_guild_channel_delete(self, channel: discord.abc.GuildChannel) -> None:
        await self.forgetting.channel(channel.guild.id, channel.id, asked_by="Discord")

    @commands.Cog.listener()
    async def on_raw_thread_delete(self, payload: discord.RawThreadDeleteEvent) -> None:
        await self.forgetting.channel(payload.guild_id, payload.thread_id, asked_by="Discord")

    @commands.Cog.listener()
    async def on_guild_remove(self, guild: discord.Guild) -> None:
        await self.forgetting.guild(guild.id, asked_by="Discord")

    @commands.Cog.listener()
    async def on_guild_channel_update(
        self, before: discord.abc.GuildChannel, after: discord.abc.GuildChannel
    ) -> None:
        if before.name != after.name and await self.ledger.channels.get(after.id) is not None:
            await self.ledger.channels.ensure(after.id, after.guild.id, after.name)

    @commands.Cog.listener()
    async def on_raw_reaction_add(self, payload: discord.RawReactionActionEvent) -> None:
        if payload.guild_id is None or (self.bot.user and payload.user_id == self.bot.user.id):
            return
        if await self.ledger.consent.allows(payload.guild_id, payload.user_id, payload.channel_id):
            await self.ledger.replies.react(payload.message_id, payload.user_id, str(payload.emoji))

    @commands.Cog.listener()
    async def on_raw_reaction_remove(self, payload: discord.RawReactionActionEvent) -> None:
        await self.ledger.replies.unreact(payload.message_id, payload.user_id, str(payload.emoji))
