"""Listens: passes what Discord reports of messages, channels and reactions to the services that keep it."""

from __future__ import annotations

import discord
from discord.ext import commands

from bot.keeping.following import Following
from bot.keeping.recording import Recording
from ledger.store import Ledger


class RecorderCog(commands.Cog):
    """One listener for each event; decides nothing."""

    def __init__(
        self, bot: commands.Bot, *, ledger: Ledger, recording: Recording, following: Following
    ) -> None:
        self.bot = bot
        self.ledger = ledger
        self.recording = recording
        self.following = following

    @commands.Cog.listener()
    async def on_message(self, message: discord.Message) -> None:
        await self.recording.hear(message)

    @commands.Cog.listener()
    async def on_raw_message_edit(self, payload: discord.RawMessageUpdateEvent) -> None:
        await self.following.edited(payload.message)

    @commands.Cog.listener()
    async def on_raw_message_delete(self, payload: discord.RawMessageDeleteEvent) -> None:
        await self.following.deleted(payload.guild_id, {payload.message_id})

    @commands.Cog.listener()
    async def on_raw_bulk_message_delete(self, payload: discord.RawBulkMessageDeleteEvent) -> None:
        await self.following.deleted(payload.guild_id, payload.message_ids)

    @commands.Cog.listener()
    async def on_guild_channel_delete(self, channel: discord.abc.GuildChannel) -> None:
        await self.following.channel_deleted(channel.guild.id, channel.id)

    @commands.Cog.listener()
    async def on_raw_thread_delete(self, payload: discord.RawThreadDeleteEvent) -> None:
        await self.following.channel_deleted(payload.guild_id, payload.thread_id)

    @commands.Cog.listener()
    async def on_guild_remove(self, guild: discord.Guild) -> None:
        await self.following.guild_removed(guild.id)

    @commands.Cog.listener()
    async def on_guild_channel_update(
        self, before: discord.abc.GuildChannel, after: discord.abc.GuildChannel
    ) -> None:
        if before.name != after.name:
            await self.recording.channel_renamed(after)

    @commands.Cog.listener()
    async def on_raw_reaction_add(self, payload: discord.RawReactionActionEvent) -> None:
        if payload.guild_id is None or (self.bot.user and payload.user_id == self.bot.user.id):
            return
        # Only reactions to the bot's own answers are kept, and of people who agreed: the ledger sees to it.
        await self.ledger.answers.react(payload.message_id, payload.user_id, str(payload.emoji))

    @commands.Cog.listener()
    async def on_raw_reaction_remove(self, payload: discord.RawReactionActionEvent) -> None:
        await self.ledger.answers.unreact(payload.message_id, payload.user_id, str(payload.emoji))

    @commands.Cog.listener()
    async def on_raw_reaction_clear(self, payload: discord.RawReactionClearEvent) -> None:
        await self.ledger.answers.clear_reactions(payload.message_id)

    @commands.Cog.listener()
    async def on_raw_reaction_clear_emoji(self, payload: discord.RawReactionClearEmojiEvent) -> None:
        await self.ledger.answers.clear_reactions(payload.message_id, str(payload.emoji))
