"""Who is in a server. Asks about one person at a time: the list of members needs a privileged intent."""

from __future__ import annotations

import asyncio

import discord

from bot.failures import DISCORD_AWAY

READY_SECONDS = 60.0
"""How long the daily round waits for Discord before it carries on without."""


async def is_member(guild: discord.Guild, user_id: int) -> bool | None:
    """Tell whether the person is in the guild; None when Discord cannot say so now."""
    try:
        await guild.fetch_member(user_id)
    except discord.NotFound:
        return False
    except DISCORD_AWAY:
        return None
    return True


class Membership:
    """Asks the same by guild id, and waits for a bot that is still connecting: it knows no guild yet."""

    def __init__(self, client: discord.Client) -> None:
        self._client = client

    async def __call__(self, guild_id: int, user_id: int) -> bool | None:
        """Tell whether the person is in the guild; None when Discord cannot say so now."""
        try:
            async with asyncio.timeout(READY_SECONDS):
                await self._client.wait_until_ready()
        except TimeoutError:
            return None
        guild = self._client.get_guild(guild_id)
        return None if guild is None else await is_member(guild, user_id)
