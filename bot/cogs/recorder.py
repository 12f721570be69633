"""What is said, kept for those who agreed: new messages, edits, deletions, reactions.

Never writes text of anybody without consent, of bots, webhooks, or direct messages. What is deleted or
edited in Discord is followed until it is done: Discord does not tell of it twice.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import replace

import discord
from discord.ext import commands

from bot.background import Background
from bot.keeping.backlog import Backlog, Heard, Tell
from bot.talking.context import record
from ledger.clock import to_ms
from ledger.errors import NightschoolError
from ledger.forgetting.deletion_path import Forgetting
from ledger.records import ChannelMode, Source
from ledger.store import Ledger

log = logging.getLogger(__name__)

RETRY_SECONDS = 60.0
"""How soon a deletion is tried again that the disk or another process had kept from being done."""

GuildChannel = discord.abc.GuildChannel | discord.Thread


def default_mode(channel: GuildChannel) -> ChannelMode:
    """Return what the bot does in a channel that no admin has set: private ones are left alone."""
    if isinstance(channel, discord.Thread):
        return "ignore" if channel.is_private() or channel.parent is None else default_mode(channel.parent)
    everyone = channel.permissions_for(channel.guild.default_role)
    return "listen" if everyone.view_channel and everyone.read_message_history else "ignore"


async def channel_mode(ledger: Ledger, channel: GuildChannel) -> ChannelMode:
    """Return what an admin chose for the channel; where nobody did, who may read it decides.

    A public thread follows its channel.
    """
    chosen = await _chosen_mode(ledger, channel.id)
    if chosen is None and isinstance(channel, discord.Thread) and not channel.is_private():
        chosen = await _chosen_mode(ledger, channel.parent_id)
    return chosen or default_mode(channel)


async def _chosen_mode(ledger: Ledger, channel_id: int) -> ChannelMode | None:
    known = await ledger.channels.get(channel_id)
    return known.mode if known is not None and known.chosen else None


def place_name(channel: GuildChannel) -> str:
    """Return the name that is stored: a thread has its channel's, since its title is anybody's free text."""
    if not isinstance(channel, discord.Thread):
        return channel.name
    return channel.parent.name if channel.parent is not None else "thread"


class RecorderCog(commands.Cog):
    """Listens."""

    def __init__(
        self,
        bot: commands.Bot,
        *,
        ledger: Ledger,
        forgetting: Forgetting,
        background: Background,
        source: Source,
        tell: Tell = lambda guild_id, text: None,
    ) -> None:
        """``tell`` has a text posted where a guild's admins read it, and returns at once."""
        self.bot = bot
        self._background = background
        self.ledger = ledger
        self.forgetting = forgetting
        self.source = source
        # Discord's events run side by side; a deletion must not overtake the message that it deletes.
        self._in_order = asyncio.Lock()
        self._backlog = Backlog(self._write, background=background, tell=tell, in_order=self._in_order)

    @commands.Cog.listener()
    async def on_message(self, message: discord.Message) -> None:
        if message.guild is None or message.author.bot or message.webhook_id is not None:
            return
        if message.type not in (discord.MessageType.default, discord.MessageType.reply):
            return
        async with self._in_order:
            await self._keep(message, message.guild)

    async def _keep(self, message: discord.Message, guild: discord.Guild) -> None:
        channel = message.channel
        if not isinstance(channel, GuildChannel):
            return
        mode = await channel_mode(self.ledger, channel)
        if mode == "ignore" or not await self.ledger.consent.allows(guild.id, message.author.id, channel.id):
            return
        kept = record(message, bot_id=self.bot.user.id if self.bot.user else 0)
        if not kept.content:
            return
        parent_id = channel.parent_id if isinstance(channel, discord.Thread) else None
        said = replace(kept, source=self.source)
        await self._backlog.take(Heard(said, guild.name, place_name(channel), mode, parent_id))

    async def _write(self, heard: Heard, waited: bool) -> None:
        said = heard.message
        if waited and not await self._had_agreed(said.guild_id, said.author_id, said.created_at):
            return  # forgotten while it waited; a new yes does not bring old words back
        await self.ledger.guilds.ensure(said.guild_id, heard.guild_name)
        await self.ledger.channels.ensure(
            said.channel_id, said.guild_id, heard.channel_name, mode=heard.mode, parent_id=heard.parent_id
        )
        await self.ledger.messages.hear(said)

    async def _had_agreed(self, guild_id: int, user_id: int, at: int) -> bool:
        """Tell whether a person agrees, and did so at a time in milliseconds."""
        answer = await self.ledger.consent.current(guild_id, user_id)
        return answer is not None and answer.granted and answer.at <= at

    async def missed(self, message: discord.Message) -> None:
        """Keep what was said while the bot was away, if its author had agreed by then."""
        if message.guild is None:
            return
        at = to_ms(message.created_at)
        if await self._had_agreed(message.guild.id, message.author.id, at):
            await self.on_message(message)

    async def caught_up(self) -> None:
        """Return once everything that was heard so far is written."""
        async with self._in_order:
            return

    @commands.Cog.listener()
    async def on_raw_message_edit(self, payload: discord.RawMessageUpdateEvent) -> None:
        """Forget the old words like those of a deleted message, and keep the new ones in their place."""
        await self.edited(payload.message)

    async def edited(self, message: discord.Message) -> None:
        """Follow an edit, if it is one."""
        if message.guild is None or message.edited_at is None or message.author.bot:
            return
        guild, edited_at = message.guild, to_ms(message.edited_at)
        await self._follow(lambda: self._replace(message, guild, edited_at))

    async def _replace(self, message: discord.Message, guild: discord.Guild, edited_at: int) -> None:
        kept = record(message, bot_id=self.bot.user.id if self.bot.user else 0)
        if self._backlog.replace(replace(kept, source=self.source, edited_at=edited_at)):
            return
        stored = await self.ledger.messages.get(message.id)
        if stored is not None and (stored.edited_at or 0) > edited_at:
            return  # a later edit came first, while this one could not be followed
        channel = message.channel
        listened = isinstance(channel, GuildChannel) and await channel_mode(self.ledger, channel) != "ignore"
        allowed = listened and await self.ledger.consent.allows(guild.id, message.author.id, channel.id)
        if stored is not None and allowed and stored.content == self.ledger.messages.as_stored(kept.content):
            # A pin or a link's preview: no word has changed. Or it has changed back, which an earlier
            # edit that could not be followed yet must not undo.
            await self.ledger.messages.note_edit(message.id, edited_at)
            return
        await self.forgetting.messages(guild.id, [message.id], asked_by="edit in Discord")
        if stored is not None and allowed and kept.content:
            await self.ledger.messages.hear(replace(kept, source=self.source, edited_at=edited_at))

    @commands.Cog.listener()
    async def on_raw_message_delete(self, payload: discord.RawMessageDeleteEvent) -> None:
        await self.deleted(payload.guild_id, {payload.message_id})

    @commands.Cog.listener()
    async def on_raw_bulk_message_delete(self, payload: discord.RawBulkMessageDeleteEvent) -> None:
        await self.deleted(payload.guild_id, payload.message_ids)

    async def deleted(self, guild_id: int | None, message_ids: set[int]) -> None:
        """Forget messages that are gone in Discord."""
        if guild_id is not None:
            await self._follow(lambda: self._forget_messages(guild_id, message_ids))

    @commands.Cog.listener()
    async def on_guild_channel_delete(self, channel: discord.abc.GuildChannel) -> None:
        await self.channel_deleted(channel.guild.id, channel.id)

    @commands.Cog.listener()
    async def on_raw_thread_delete(self, payload: discord.RawThreadDeleteEvent) -> None:
        await self.channel_deleted(payload.guild_id, payload.thread_id)

    async def channel_deleted(self, guild_id: int, channel_id: int) -> None:
        """Forget what was said in a channel or thread that is gone in Discord."""
        await self._follow(lambda: self._forget_channel(guild_id, channel_id))

    @commands.Cog.listener()
    async def on_guild_remove(self, guild: discord.Guild) -> None:
        await self.guild_removed(guild.id)

    async def guild_removed(self, guild_id: int) -> None:
        """Forget a guild that the bot is no member of any more."""
        await self._follow(lambda: self._forget_guild(guild_id))

    async def _forget_messages(self, guild_id: int, message_ids: set[int]) -> None:
        self._backlog.drop(lambda message: message.id in message_ids)
        await self.forgetting.messages(guild_id, message_ids, asked_by="Discord")

    async def _forget_channel(self, guild_id: int, channel_id: int) -> None:
        self._backlog.drop(lambda message: message.channel_id == channel_id)
        await self.forgetting.channel(guild_id, channel_id, asked_by="Discord")

    async def _forget_guild(self, guild_id: int) -> None:
        self._backlog.drop(lambda message: message.guild_id == guild_id)
        await self.forgetting.guild(guild_id, asked_by="Discord")
        again = self.bot.get_guild(guild_id)
        if again is not None and self.bot.user is not None:
            # Invited again before its removal could be followed.
            await self.ledger.guilds.joined(guild_id, again.name, self.bot.user.id)

    async def _follow(self, work: Callable[[], Awaitable[object]]) -> None:
        """Do ``work`` in its turn; where that fails, again and again until it is done."""
        if not await self._done(work):
            self._background.run(self._until_done(work), name="following Discord")

    async def _until_done(self, work: Callable[[], Awaitable[object]]) -> None:
        done = False
        while not done:
            await asyncio.sleep(RETRY_SECONDS)
            done = await self._done(work)

    async def _done(self, work: Callable[[], Awaitable[object]]) -> bool:
        try:
            async with self._in_order:
                await work()
        except (NightschoolError, OSError, sqlite3.Error) as error:
            # The text of a stranger's exception may quote what it failed on.
            reason = error if isinstance(error, NightschoolError) else type(error).__name__
            log.error("what was deleted in Discord cannot be forgotten yet, and is tried again: %s", reason)
            return False
        return True

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
        await self.ledger.replies.react(payload.message_id, payload.user_id, str(payload.emoji))

    @commands.Cog.listener()
    async def on_raw_reaction_remove(self, payload: discord.RawReactionActionEvent) -> None:
        await self.ledger.replies.unreact(payload.message_id, payload.user_id, str(payload.emoji))

    @commands.Cog.listener()
    async def on_raw_reaction_clear(self, payload: discord.RawReactionClearEvent) -> None:
        await self.ledger.replies.clear_reactions(payload.message_id)

    @commands.Cog.listener()
    async def on_raw_reaction_clear_emoji(self, payload: discord.RawReactionClearEmojiEvent) -> None:
        await self.ledger.replies.clear_reactions(payload.message_id, str(payload.emoji))
