"""Channels that the bot may not write in: noticed before a question is taken, or when Discord refuses.

Admins are told once about each such channel. Members who ask there get neither an answer nor a reason,
since the bot has no way to write one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import discord

from bot.keeping.channel_modes import GuildChannel
from bot.talking.destinations import Destination, UnderMessage

log = logging.getLogger(__name__)


class WriteRights:
    """Checks permissions, and remembers which channels the admins have been told about."""

    def __init__(self, tell: Callable[[int, str], None]) -> None:
        """``tell`` has a guild's admins read a text, and returns at once."""
        self._tell = tell
        self._told_about: set[int] = set()

    def allow_answer(self, message: discord.Message) -> bool:
        """Tell whether the bot could write an answer to the message at all."""
        channel = message.channel
        if message.guild is None or not isinstance(channel, GuildChannel):
            return True
        rights = channel.permissions_for(message.guild.me)
        thread = isinstance(channel, discord.Thread)
        # Discord has a right of its own for threads.
        if rights.send_messages_in_threads if thread else rights.send_messages:
            return True
        self._cannot_write(message.guild.id, channel.id, in_thread=thread)
        return False

    def refused(self, destination: Destination, error: Exception) -> None:
        """Note that Discord refused a finished answer: permissions may have changed meanwhile."""
        if not isinstance(destination, UnderMessage) or not isinstance(error, discord.Forbidden):
            return
        channel, guild = destination.message.channel, destination.message.guild
        if guild is not None:
            self._cannot_write(guild.id, channel.id, in_thread=isinstance(channel, discord.Thread))

    def _cannot_write(self, guild_id: int, channel_id: int, *, in_thread: bool) -> None:
        log.warning("channel %d does not let the bot answer", channel_id)
        if channel_id not in self._told_about:
            self._told_about.add(channel_id)
            right = "Send Messages in Threads" if in_thread else "Send Messages"
            self._tell(
                guild_id,
                f"Somebody asked me something in <#{channel_id}>, where I may not answer: I lack *{right}*.",
            )
