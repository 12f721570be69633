"""What happened in Discord while the bot was away. Discord does not tell of it later, so it is looked for.

Runs behind each new session: guilds that removed the bot, channels that are gone, messages and answers
that were deleted or edited. Asks for stored messages alone, up to a hundred at a time, and keeps
nothing else of what it reads.
"""

from __future__ import annotations

import asyncio
import logging
from bisect import bisect_right
from collections.abc import Sequence

import aiohttp
import discord

from bot.cogs.recorder import RecorderCog
from ledger.clock import to_ms
from ledger.errors import NightschoolError
from ledger.store import Ledger

log = logging.getLogger(__name__)

PAGE = 100
"""Messages that Discord gives at once."""
RETRY_SECONDS = 600.0
"""How soon what could not be looked at is looked at again."""
Readable = discord.TextChannel | discord.VoiceChannel | discord.StageChannel | discord.Thread
"""What holds messages in a guild."""


class CatchingUp:
    """Compares what is stored with what Discord still has."""

    def __init__(self, client: discord.Client, *, ledger: Ledger, recorder: RecorderCog) -> None:
        self._client = client
        self._ledger = ledger
        self._recorder = recorder
        self._one_at_a_time = asyncio.Lock()

    async def look(self) -> bool:
        """Forget what is gone, and follow what was edited; tell whether everything could be looked at."""
        async with self._one_at_a_time:
            await self._guilds()
            seen = True
            for guild in list(self._client.guilds):
                if not guild.unavailable:
                    for channel_id, ids in (await self._ledger.messages.heard(guild.id)).items():
                        seen &= await self._channel(guild, channel_id, ids)
            return seen

    async def until_seen(self) -> None:
        """Look again and again until everything could be looked at."""
        seen = await self.look()
        while not seen:
            await asyncio.sleep(RETRY_SECONDS)
            seen = await self.look()

    async def _guilds(self) -> None:
        """Forget guilds that this very account was a member of; another account was never asked to leave."""
        assert self._client.user is not None  # noqa: S101 - a session has an account
        here = {guild.id for guild in self._client.guilds}
        for guild_id in await self._ledger.guilds.joined_by(self._client.user.id) - here:
            log.info("guild %d removed the bot while it was away", guild_id)
            await self._recorder.guild_removed(guild_id)

    async def _channel(self, guild: discord.Guild, channel_id: int, ids: Sequence[int]) -> bool:
        """Compare one channel; tell whether that need not be tried again."""
        try:
            channel = guild.get_channel_or_thread(channel_id) or await self._client.fetch_channel(channel_id)
            # Without the right to read it Discord shows an empty history, and nothing is gone for that.
            if isinstance(channel, Readable) and channel.permissions_for(guild.me).read_message_history:
                await self._messages(guild.id, channel, ids)
        except discord.NotFound:
            await self._recorder.channel_deleted(guild.id, channel_id)
        except discord.Forbidden:
            log.warning("channel %d may not be read, and so not be compared with Discord", channel_id)
        except (discord.DiscordException, aiohttp.ClientError, TimeoutError, NightschoolError) as error:
            reason = error if isinstance(error, NightschoolError) else type(error).__name__
            log.warning("channel %d cannot be compared with Discord yet: %s", channel_id, reason)
            return False
        return True

    async def _messages(self, guild_id: int, channel: Readable, ids: Sequence[int]) -> None:
        """Compare stored messages, ``ids`` in order, with the channel's history."""
        place = 0
        while place < len(ids):
            before = discord.Object(ids[place] - 1)
            page = [each async for each in channel.history(limit=PAGE, after=before, oldest_first=True)]
            # A page that is not full reaches to the channel's end.
            end = bisect_right(ids, page[-1].id) if len(page) == PAGE else len(ids)
            found = {message.id: message for message in page}
            gone = {number for number in ids[place:end] if number not in found}
            if gone:
                await self._recorder.deleted(guild_id, gone)
            for number in ids[place:end]:
                if number in found:
                    await self._edited(found[number])
            place = end

    async def _edited(self, message: discord.Message) -> None:
        stored = await self._ledger.messages.get(message.id)
        if stored is None or message.edited_at is None or stored.edited_at == to_ms(message.edited_at):
            return
        await self._recorder.edited(message)


__all__ = ["CatchingUp"]
