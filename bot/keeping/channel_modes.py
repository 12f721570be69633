"""What the bot does in a channel: as the admins say or, if they do not, as its permissions suggest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import discord

from ledger.records import ChannelMode
from ledger.store import Ledger

GuildChannel = discord.abc.GuildChannel | discord.Thread
Readable = discord.TextChannel | discord.VoiceChannel | discord.StageChannel | discord.Thread
"""The kinds of channel that hold messages."""


def default_mode(channel: GuildChannel) -> ChannelMode:
    """Return what the bot does in a channel that no admin has set: it leaves private ones alone."""
    if isinstance(channel, discord.Thread):
        return "ignore" if channel.is_private() or channel.parent is None else default_mode(channel.parent)
    # Public is what a newcomer can read back, not only what they would see from now on.
    everyone = channel.permissions_for(channel.guild.default_role)
    return "listen" if everyone.view_channel and everyone.read_message_history else "ignore"


async def channel_mode(ledger: Ledger, channel: GuildChannel) -> ChannelMode:
    """Return what an admin chose for the channel; if nobody did, what fits those who may read it.

    A public thread follows its channel.
    """
    return mode_of(channel, await ledger.channels.chosen(channel.guild.id))


def mode_of(channel: GuildChannel, chosen: Mapping[int, ChannelMode]) -> ChannelMode:
    """Return :func:`channel_mode`, where ``chosen`` is what admins chose for the guild's channels."""
    mode = chosen.get(channel.id)
    if mode is None and isinstance(channel, discord.Thread) and not channel.is_private():
        mode = chosen.get(channel.parent_id)
    return mode or default_mode(channel)


def stored_name(channel: GuildChannel) -> str:
    """Return the name to store: a thread has its channel's, since its title is anybody's free text."""
    if not isinstance(channel, discord.Thread):
        return channel.name
    return channel.parent.name if channel.parent is not None else "thread"


def stored_parent(channel: GuildChannel) -> int | None:
    """Return the channel that a thread belongs to; None for a channel."""
    return channel.parent_id if isinstance(channel, discord.Thread) else None


async def note_open_channels(ledger: Ledger, channels: Iterable[GuildChannel]) -> list[int]:
    """Store every channel that may be learned from now, if it is new; return the ids of all."""
    found = []
    for channel in channels:
        mode = await channel_mode(ledger, channel)
        if mode == "ignore":
            continue
        found.append(channel.id)
        # What is said while the bot is away is heard late only in channels that were noted as open before.
        if await ledger.channels.get(channel.id) is None:
            await ledger.channels.ensure(
                channel.id,
                channel.guild.id,
                stored_name(channel),
                mode=mode,
                parent_id=stored_parent(channel),
            )
    return found


def readable_channels(guild: discord.Guild) -> list[Readable]:
    """Return the channels and threads of a guild that the bot may read."""
    channels: list[Readable] = [
        *guild.text_channels,
        *guild.voice_channels,
        *guild.stage_channels,
        *guild.threads,
    ]
    return [channel for channel in channels if _may_read(channel.permissions_for(guild.me))]


def _may_read(rights: discord.Permissions) -> bool:
    # Both are needed: without the history Discord returns an empty one instead of an error.
    return rights.view_channel and rights.read_message_history
