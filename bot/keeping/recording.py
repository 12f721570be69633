"""What members say, kept for those who agreed.

Never writes text of anybody without consent, of bots, webhooks, or direct messages.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from functools import partial

import discord

from bot.background import Background
from bot.keeping.backlog import Backlog, Tell
from bot.keeping.channel_modes import GuildChannel, mode_of, stored_name, stored_parent
from bot.keeping.recording_queue import RecordingQueue
from bot.talking.context import record
from ledger.clock import to_ms
from ledger.people.policy import agrees
from ledger.records import Agreement, ChannelMode, Heard, Message, Source
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
        self.backlog = Backlog(self._store, background=background, tell=tell)
        self._queue = RecordingQueue(self.backlog, background=background)

    async def hear(self, message: discord.Message) -> None:
        """Keep a message, if its author agreed and the bot listens in its channel.

        Returns once it is written, or waits in the backlog.
        """
        guild, channel = message.guild, message.channel
        if guild is None or not isinstance(channel, GuildChannel):
            return
        if message.author.bot or message.webhook_id is not None or message.type not in SPOKEN:
            return
        agreements = self._ledger.consent.agreements_in_memory(guild.id)
        chosen = self._ledger.channels.chosen_in_memory(guild.id)
        if agreements is None or chosen is None:
            await self._queue.keep(partial(self._looked_up, message, guild, channel))
        # Decided now, by what is committed now: an answer counts from the next word on, and not back.
        elif (heard := self._heard(message, guild, channel, agreements, chosen)) is not None:
            await self._queue.keep(heard)

    async def hear_late(self, message: discord.Message) -> None:
        """Keep what was said while the bot was away, if its author had agreed by then."""
        if message.guild is None:
            return
        agreements = await self._ledger.consent.agreements(message.guild.id)
        agreement = agreements.get(message.author.id)
        if agreement is not None and agreement.word.at <= to_ms(message.created_at):
            await self.hear(message)

    def turn(self) -> AbstractAsyncContextManager[None]:
        """Return a block that begins once everything heard so far is kept, and before anything later is."""
        return self._queue.turn()

    async def caught_up(self) -> bool:
        """Return once everything that was heard so far is written; False if some of it has to wait longer."""
        async with self.turn():
            return not len(self.backlog)

    async def channel_renamed(self, channel: discord.abc.GuildChannel) -> None:
        """Note the new name of a channel that is known here."""
        if await self._ledger.channels.get(channel.id) is not None:
            await self._ledger.channels.ensure(channel.id, channel.guild.id, channel.name)

    def record_of(self, message: discord.Message) -> Message:
        """Return the message as it would be kept."""
        return replace(record(message, bot_id=self._bot_id()), source=self._source)

    async def _looked_up(
        self, message: discord.Message, guild: discord.Guild, channel: GuildChannel
    ) -> Heard | None:
        agreements = await self._ledger.consent.agreements(guild.id)
        chosen = await self._ledger.channels.chosen(guild.id)
        return self._heard(message, guild, channel, agreements, chosen)

    def _heard(
        self,
        message: discord.Message,
        guild: discord.Guild,
        channel: GuildChannel,
        agreements: Mapping[int, Agreement],
        chosen: Mapping[int, ChannelMode],
    ) -> Heard | None:
        """Return what to keep of a message; None if nothing may be kept, or it has no words."""
        agreement = agreements.get(message.author.id)
        if agreement is None or not agrees(agreement.word, channel.id):
            return None
        mode = mode_of(channel, chosen)
        if mode == "ignore":
            return None
        said = self.record_of(message)
        if not said.content:
            return None
        name, parent = stored_name(channel), stored_parent(channel)
        return Heard(said, guild.name, name, mode, parent, agreement.number)

    async def _store(self, batch: Sequence[Heard]) -> None:
        await self._ledger.live_messages.store(batch)
