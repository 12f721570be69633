"""Finds out what happened in Discord while the bot was away, since Discord does not report it later.

Runs after each new session and looks for guilds that removed the bot, channels that are gone, messages and
answers that were deleted or edited, and what was said since the bot last listened. It reads stored messages
and what followed them, a hundred at a time. Of all that it keeps only new words of members who had agreed
before they said them.
"""

from __future__ import annotations

import asyncio
import logging
from bisect import bisect_left
from collections.abc import AsyncIterator, Sequence
from datetime import datetime

import discord

from bot.failures import DISCORD_AWAY, LEDGER_AWAY, reason
from bot.keeping.channel_modes import Readable, channel_mode, note_open_channels, readable_channels
from bot.keeping.following import Following
from bot.keeping.recording import Recording
from bot.rounds import Rounds
from bot.talking.asking import Asking
from bot.talking.context import replied_to
from ledger.clock import from_ms, to_ms
from ledger.errors import NightschoolError
from ledger.store import Ledger
from ledger.talk.comparisons import still_to_compare

log = logging.getLogger(__name__)

PAGE = 100
"""How many messages Discord returns at once."""
RETRY_SECONDS = 600.0
"""How soon to look again at what could not be read."""
MISSED = 1000
"""How many of a channel's missed messages are heard late: the newest ones."""
LONGEST_MS = 7 * 86_400_000
"""How far back the bot listens: a week."""
MARGIN_MS = 10_000
"""How far this machine's clock may run ahead of Discord's."""
FRESH_MS = 10 * 60_000
"""How old a question may be to be answered late: ten minutes."""


class CatchingUp:
    """Compares what is stored with what Discord still has."""

    def __init__(
        self,
        client: discord.Client,
        *,
        ledger: Ledger,
        recording: Recording,
        following: Following,
        asking: Asking,
        rounds: Rounds,
    ) -> None:
        self._client = client
        self._ledger = ledger
        self._recording = recording
        self._following = following
        self._asking = asking
        self._rounds = rounds
        self._one_at_a_time = asyncio.Lock()
        self._listening: set[int] = set()
        """Guilds of which nothing has been missed up to now."""
        self._interrupted: set[int] = set()
        """Such guilds, while the connection is broken."""
        self._connected = True
        self._begun: set[int] = set()
        """Guilds of which this session has noted that all has to be compared."""
        self._breaks = 0
        """Counts interruptions: what was read before one says nothing about what was said after it."""

    def lost(self) -> None:
        """Note that the connection broke: what is said from now on is heard later, or never."""
        # discord.py may call this several times for one break; what was complete before the first counts.
        self._interrupted, self._listening = self._listening | self._interrupted, set()
        self._connected = False
        self._breaks += 1

    def connected(self) -> None:
        """Note that a new session has begun, which knows nothing of what was said before it."""
        self._interrupted.clear()
        self._begun.clear()
        self._connected = True

    def joined(self, guild_id: int) -> None:
        """Note that the bot has just been invited: it has nothing to catch up on."""
        if self._connected:
            self._listening.add(guild_id)

    def resumed(self) -> None:
        """Note that the session continues: Discord now delivers everything that was said meanwhile."""
        self._listening, self._interrupted = self._listening | self._interrupted, set()
        self._connected = True

    async def note_heard(self) -> None:
        """Write down that everything has been heard up to now, if all of that is stored by then."""
        now = to_ms(self._ledger.clock.now())
        # What waits in memory is gone after a crash, and is then read again, unless this says it was heard.
        if self._listening and await self._recording.caught_up() and self._listening:
            await self._ledger.guilds.heard(self._listening, now)

    async def look(self) -> bool:
        """Forget what is gone, and follow what was edited; return whether everything could be read."""
        async with self._one_at_a_time:
            if not self._connected:
                return False
            await self._guilds()
            seen = True
            for guild in list(self._client.guilds):
                # An outage of Discord's, which is no removal: the guild is looked at again in ten minutes.
                if guild.unavailable:
                    seen = False
                else:
                    # New words first: somebody may be waiting for an answer.
                    seen &= await self._new_words(guild)
                    seen &= await self._compare(guild)
            return seen

    async def _new_words(self, guild: discord.Guild) -> bool:
        """Keep what members said meanwhile, each message once; return whether all of it could be read."""
        if guild.id in self._listening:
            return True
        # The time before reading: what is said meanwhile is heard live, and kept once if it is read as well.
        breaks, now = self._breaks, to_ms(self._ledger.clock.now())
        heard_at = await self._ledger.guilds.heard_until(guild.id)
        complete = True
        if heard_at is not None and await self._ledger.consent.consenting(guild.id):
            since = from_ms(max(heard_at - MARGIN_MS, now - LONGEST_MS))
            questions: list[discord.Message] = []
            for channel in readable_channels(guild):
                missed = await self._missed(channel, since)
                # Not `and`: a channel that cannot be read must not keep the others from being heard.
                complete &= missed is not None
                questions += await self._heard_late(missed or [])
            await self._answer_newest(questions, now)
        # Words said after the break are missing from what was read before it.
        if breaks != self._breaks:
            return False
        if complete:
            # Also channels in which nobody has said anything yet.
            await note_open_channels(self._ledger, readable_channels(guild))
            self._listening.add(guild.id)
            if await self._recording.caught_up():
                await self._ledger.guilds.heard([guild.id], now)
        return complete

    async def _missed(self, channel: Readable, since: datetime) -> list[discord.Message] | None:
        """Return the channel's newest messages since then, oldest first; None if they cannot be read now."""
        newest = channel.last_message_id
        # Spares a request for each channel in which nobody spoke.
        if newest is None or newest < discord.utils.time_snowflake(since):
            return []
        if not await self._was_listened_to(channel):
            return []
        try:
            # Given `after` alone, discord.py begins with the oldest and would leave out the newest.
            history = channel.history(limit=MISSED, after=since, oldest_first=False)
            return [message async for message in history][::-1]
        except (discord.Forbidden, discord.NotFound):
            return []
        except DISCORD_AWAY as error:
            log.warning("what was said in channel %d cannot be read yet: %s", channel.id, reason(error))
            return None

    async def _was_listened_to(self, channel: Readable) -> bool:
        """Tell whether the bot listens here now, and did so before it was away.

        What was said while a channel was private or ignored stays there, even if the channel is open now.
        """
        if await channel_mode(self._ledger, channel) == "ignore":
            return False
        known = await self._ledger.channels.get(channel.id)
        return known is not None and known.mode != "ignore"

    async def _heard_late(self, missed: Sequence[discord.Message]) -> list[discord.Message]:
        """Keep the messages; return those that ask the bot and have no answer yet."""
        assert self._client.user is not None  # noqa: S101 - a session has an account
        me = self._client.user.id
        # What the bot answered before it lost the connection stands in the same history.
        answered = {replied_to(message) for message in missed if message.author.id == me}
        questions = []
        for message in missed:
            if message.author.bot or message.webhook_id is not None:
                continue
            await self._recording.hear_late(message)
            if message.id not in answered and await self._asking.is_asked(message):
                questions.append(message)
        return questions

    async def _answer_newest(self, questions: Sequence[discord.Message], now: int) -> None:
        """Answer the newest question if it is minutes old; the talk has moved on from older ones."""
        newest = max(questions, key=lambda message: message.id, default=None)
        if newest is not None and now - to_ms(newest.created_at) <= FRESH_MS:
            await self._asking.answer(newest)

    async def catch_up(self) -> None:
        """Look now, and then every ten minutes until everything could be read."""
        if not await self._looked():
            self._rounds.until(self._looked, seconds=RETRY_SECONDS, name="catching up")

    async def _looked(self) -> bool:
        try:
            return await self.look()
        except LEDGER_AWAY as error:
            log.error("what happened while the bot was away cannot be followed yet: %s", reason(error))
            return False

    async def _guilds(self) -> None:
        """Forget guilds that removed this very account; another account's guilds did not remove it."""
        assert self._client.user is not None  # noqa: S101 - a session has an account
        here = {guild.id for guild in self._client.guilds}
        for guild_id in await self._ledger.guilds.joined_by(self._client.user.id) - here:
            log.info("guild %d removed the bot while it was away", guild_id)
            await self._following.guild_removed(guild_id)

    async def _compare(self, guild: discord.Guild) -> bool:
        """Compare what is still to be compared; return whether all of it could be."""
        if guild.id not in self._begun:
            await self._ledger.comparisons.begin(guild.id)
            self._begun.add(guild.id)
        complete = True
        for channel_id, mark in (await self._ledger.comparisons.due(guild.id)).items():
            complete &= await self._channel(guild, channel_id, mark)
        return complete

    async def _channel(self, guild: discord.Guild, channel_id: int, mark: tuple[int, int]) -> bool:
        """Compare one channel; return False if that has to be tried again."""
        ids = await self._ledger.messages.heard(guild.id, channel_id)
        if not ids:  # What was only imported is not looked for.
            await self._ledger.comparisons.done(channel_id)
            return True
        try:
            # Fetched where it is not at hand: archived threads are in no cache.
            channel = guild.get_channel_or_thread(channel_id) or await self._client.fetch_channel(channel_id)
            # Without the permission Discord returns an empty history, which would look like deletions.
            if isinstance(channel, Readable) and channel.permissions_for(guild.me).read_message_history:
                await self._messages(guild.id, channel, ids, mark)
                await self._ledger.comparisons.done(channel_id)
        except discord.NotFound:
            await self._following.channel_deleted(guild.id, channel_id)
        except discord.Forbidden:
            log.warning("channel %d may not be read, and so not be compared with Discord", channel_id)
        except (*DISCORD_AWAY, NightschoolError) as error:
            log.warning("channel %d cannot be compared with Discord yet: %s", channel_id, reason(error))
            return False
        return True

    async def _messages(
        self, guild_id: int, channel: Readable, ids: Sequence[int], mark: tuple[int, int]
    ) -> None:
        """Compare stored messages, by their sorted ``ids``, with the channel's history, newest first.

        Those of the last week come first in every session, since people change what they just said.
        """
        week = discord.utils.time_snowflake(from_ms(to_ms(self._ledger.clock.now()) - LONGEST_MS))
        recent = bisect_left(ids, week)
        async for _ in self._pages(guild_id, channel, ids[recent:]):
            pass
        before, after = still_to_compare(ids[:recent], mark)
        async for reached in self._pages(guild_id, channel, before):
            await self._ledger.comparisons.reached(channel.id, reached)
        if before:  # else what is marked already lies behind the turn
            await self._ledger.comparisons.turned(channel.id)
        async for reached in self._pages(guild_id, channel, after):
            await self._ledger.comparisons.reached(channel.id, reached)

    async def _pages(self, guild_id: int, channel: Readable, ids: Sequence[int]) -> AsyncIterator[int]:
        """Compare ``ids`` with the channel's history; yield after each page how far down that is done."""
        end = len(ids)
        while end:
            top = discord.Object(ids[end - 1] + 1)
            page = [message async for message in channel.history(limit=PAGE, before=top)]
            # A page that is not full reaches the beginning of the channel.
            start = bisect_left(ids, page[-1].id, hi=end) if len(page) == PAGE else 0
            found = {message.id: message for message in page}
            gone = {number for number in ids[start:end] if number not in found}
            if gone:
                await self._following.deleted(guild_id, gone)
            for number in ids[start:end]:
                if number in found:
                    await self._edited(found[number])
            yield ids[start]
            end = start

    async def _edited(self, message: discord.Message) -> None:
        stored = await self._ledger.messages.get(message.id)
        if stored is None or message.edited_at is None or stored.edited_at == to_ms(message.edited_at):
            return
        await self._following.edited(message)
