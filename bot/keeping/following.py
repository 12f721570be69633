"""Follows edits and deletions in Discord until they are done here: Discord reports them only once."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection
from dataclasses import replace

import discord

from bot.failures import attempt
from bot.keeping.channel_modes import GuildChannel, channel_mode
from bot.keeping.recording import Recording
from bot.rounds import Rounds
from ledger.clock import to_ms
from ledger.forgetting.deletion_path import Forgetting
from ledger.store import Ledger

log = logging.getLogger(__name__)

RETRY_SECONDS = 60.0
"""How soon to retry a deletion that the disk or another process prevented."""
DISCORD = "Discord"
EDIT = "edit in Discord"
"""Who asked for a deletion, as the record of deletions names it."""

Work = Callable[[], Awaitable[object]]


class Following:
    """Forgets here what is gone there; each call returns once that is done, or planned for later."""

    def __init__(
        self,
        client: discord.Client,
        *,
        ledger: Ledger,
        forgetting: Forgetting,
        recording: Recording,
        rounds: Rounds,
    ) -> None:
        self._client = client
        self._ledger = ledger
        self._forgetting = forgetting
        self._recording = recording
        self._backlog = recording.backlog
        self._rounds = rounds

    async def edited(self, message: discord.Message) -> None:
        """Forget the old words like those of a deleted message, and keep the new ones instead."""
        if message.guild is None or message.edited_at is None or message.author.bot:
            return
        guild, edited_at = message.guild, to_ms(message.edited_at)
        await self._follow(lambda: self._replace(message, guild, edited_at))

    async def deleted(self, guild_id: int | None, message_ids: Collection[int]) -> None:
        """Forget messages that are gone in Discord."""
        if guild_id is not None:
            await self._follow(lambda: self._forget_messages(guild_id, message_ids))

    async def channel_deleted(self, guild_id: int, channel_id: int) -> None:
        """Forget what was said in a channel or thread that is gone in Discord."""
        await self._follow(lambda: self._forget_channel(guild_id, channel_id))

    async def guild_removed(self, guild_id: int) -> None:
        """Forget a guild that the bot is no longer a member of."""
        await self._follow(lambda: self._forget_guild(guild_id))

    async def _replace(self, message: discord.Message, guild: discord.Guild, edited_at: int) -> None:
        edited = replace(self._recording.record_of(message), edited_at=edited_at)
        # It still waits for the database: nothing of it is stored that would have to be forgotten.
        if self._backlog.replace(edited):
            return
        stored = await self._ledger.messages.get(message.id)
        if stored is not None and (stored.edited_at or 0) > edited_at:
            return  # a later edit has overtaken this one, which could not be followed at first
        channel = message.channel
        listened = isinstance(channel, GuildChannel) and await channel_mode(self._ledger, channel) != "ignore"
        allowed = listened and await self._ledger.consent.allows(guild.id, message.author.id, channel.id)
        if (
            stored is not None
            and allowed
            and stored.content == self._ledger.messages.as_stored(edited.content)
        ):
            # No word has changed: Discord reports pins and link previews as edits, too. Or the words have
            # changed back, which an earlier edit that is still waiting to be followed must not undo.
            await self._ledger.messages.note_edit(message.id, edited_at)
            return
        # Even where nothing is stored any more: versions may have learned the old words.
        await self._forgetting.messages(guild.id, [message.id], asked_by=EDIT)
        # Only what was stored before: an edit must not bring in words from before their author agreed.
        if stored is not None and allowed and edited.content:
            await self._ledger.messages.hear(edited)

    async def _forget_messages(self, guild_id: int, message_ids: Collection[int]) -> None:
        # What waits in memory is not in the database yet, where the deletion would look for it.
        self._backlog.drop(lambda message: message.id in message_ids)
        await self._forgetting.messages(guild_id, message_ids, asked_by=DISCORD)

    async def _forget_channel(self, guild_id: int, channel_id: int) -> None:
        self._backlog.drop(lambda message: message.channel_id == channel_id)
        await self._forgetting.channel(guild_id, channel_id, asked_by=DISCORD)

    async def _forget_guild(self, guild_id: int) -> None:
        self._backlog.drop(lambda message: message.guild_id == guild_id)
        await self._forgetting.guild(guild_id, asked_by=DISCORD)
        again = self._client.get_guild(guild_id)
        if again is not None and self._client.user is not None:
            # It was invited again before its removal could be followed.
            await self._ledger.guilds.joined(guild_id, again.name, self._client.user.id)

    async def _follow(self, work: Work) -> None:
        """Do ``work`` in its turn; if that fails, again every minute until it is done."""
        if not await self._done(work):
            self._rounds.until(lambda: self._done(work), seconds=RETRY_SECONDS, name="following Discord")

    async def _done(self, work: Work) -> bool:
        complaint = "what was deleted in Discord cannot be forgotten yet, and is tried again"
        return await attempt(self._in_turn(work), complaint, log)

    async def _in_turn(self, work: Work) -> None:
        # Discord's events run side by side; a deletion must not overtake the message that it deletes.
        async with self._recording.turn():
            await work()
