"""What the bot lacks in a server: its admin channel, and permissions, by the names that Discord shows.

Reads what Discord sent at the start; makes no request.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

import discord

from bot.plain_text import plain

NEEDED = {
    "view_channel": "View Channels",
    "send_messages": "Send Messages",
    "send_messages_in_threads": "Send Messages in Threads",
    "read_message_history": "Read Message History",
    "embed_links": "Embed Links",
    "attach_files": "Attach Files",
}
"""The permissions that the bot is invited with; the README lists the same."""
CHANNELS = 5
"""How many channels to name; a server may have 500."""


def lacking(
    guild: discord.Guild, viewer: discord.Member, *, admin_channel: str, ignored: Collection[int] = ()
) -> list[str]:
    """Return a line for each thing that the bot lacks in ``guild``, as far as ``viewer`` may know.

    A channel that the bot cannot see at all is none of its business, except for the admins' own. Channels
    that ``viewer`` cannot see are not named to them.
    """
    everywhere = _missing(guild.me.guild_permissions)
    lines = [f"In the whole server: {', '.join(everywhere)}."] if everywhere else []
    office = discord.utils.get(guild.text_channels, name=admin_channel)
    if office is None:
        lines.append(
            f"A channel #{plain(admin_channel)} for reports: make one that only your admins and I can see."
        )
    elif here := _missing(office.permissions_for(guild.me)):
        lines.append(f"In {office.mention}, where reports go: {', '.join(here)}.")
    elsewhere = [
        f"In {channel.mention}: {', '.join(here)}."
        for channel in guild.text_channels
        if channel != office and channel.id not in ignored and channel.permissions_for(viewer).view_channel
        if (here := list(_beyond(channel, everywhere)))
    ]
    more = len(elsewhere) - CHANNELS
    return [*lines, *elsewhere[:CHANNELS], *([f"The same in {more} more channels."] if more > 0 else [])]


def _beyond(channel: discord.TextChannel, everywhere: Collection[str]) -> Iterator[str]:
    """Yield what is missing in a channel that the bot sees, and is not missing everywhere."""
    permissions = channel.permissions_for(channel.guild.me)
    if permissions.view_channel:
        yield from (name for name in _missing(permissions) if name not in everywhere)


def _missing(permissions: discord.Permissions) -> list[str]:
    """Return what is missing, without what depends on it: Discord counts that as missing as well."""
    if permissions.administrator:  # Discord then ignores all other permissions
        return []
    if not permissions.view_channel:
        return [NEEDED["view_channel"]]
    names = [flag for flag in NEEDED if not getattr(permissions, flag)]
    if "send_messages" in names:
        names = [flag for flag in names if flag not in ("embed_links", "attach_files")]
    return [NEEDED[flag] for flag in names]
