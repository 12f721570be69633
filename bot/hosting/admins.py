"""The admins of a server, and the one channel in which the bot talks to them."""

from __future__ import annotations

import logging

import discord

from bot.background import Background
from bot.failures import DISCORD_AWAY, reason

log = logging.getLogger(__name__)


def admin_channel(guild: discord.Guild | None, name: str) -> discord.TextChannel | None:
    """Return the channel in which admins read the bot's reports, if the server has one of that name."""
    return discord.utils.get(guild.text_channels, name=name) if guild is not None else None


class Admins:
    """Tells a server's admins what they should know."""

    def __init__(self, client: discord.Client, *, background: Background, channel: str) -> None:
        """``channel`` is the name of the admins' channel in every server."""
        self._client = client
        self._background = background
        self._channel = channel

    def tell_soon(self, guild_id: int, text: str) -> None:
        """Post a text for the guild's admins; return at once, since nothing else may wait for Discord."""
        self._background.run(self.tell(guild_id, text), name="telling")

    async def tell(self, guild_id: int, text: str) -> None:
        """Post a text for the guild's admins; do nothing if there is no channel for them."""
        await self._client.wait_until_ready()
        channel = admin_channel(self._client.get_guild(guild_id), self._channel)
        if channel is None:
            return
        try:
            await channel.send(text)
        except DISCORD_AWAY as error:
            log.error("a message to the admins of guild %d could not be posted: %s", guild_id, reason(error))
