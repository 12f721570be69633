"""/channel: where the bot listens, where it answers everything, and what it leaves alone."""

from __future__ import annotations

import discord
from discord import app_commands
from discord.ext import commands

from bot.interactions import admin_check
from bot.keeping.channel_modes import stored_name, stored_parent
from ledger.records import ChannelMode
from ledger.store import Ledger

Talk = discord.TextChannel | discord.VoiceChannel | discord.StageChannel
Writable = Talk | discord.ForumChannel | discord.Thread
"""Wherever members can write: text and voice chats, whole forums, single threads."""

SAID = {
    "listen": "{channel}: I learn from members who agreed, and answer when I'm spoken to.",
    "answer": "{channel}: I answer every message, and learn from members who agreed.",
    "ignore": "{channel}: I neither learn nor answer here. What I kept from it earlier stays until its "
    "authors are forgotten.",
}


@app_commands.guild_only()
@app_commands.default_permissions(manage_guild=True)
class ChannelCog(commands.GroupCog, group_name="channel", group_description="Where the bot takes part."):
    """Sets a channel's mode."""

    def __init__(self, *, ledger: Ledger) -> None:
        self.ledger = ledger

    async def interaction_check(self, interaction: discord.Interaction) -> bool:
        return await admin_check(interaction)

    @app_commands.command(description="Learn here from members who agreed; answer when spoken to.")
    @app_commands.describe(channel="Which channel; this one if left out")
    async def listen(self, interaction: discord.Interaction, channel: Writable | None = None) -> None:
        await self._set(interaction, channel, "listen")

    @app_commands.command(description="Answer every message here.")
    @app_commands.describe(channel="Which channel; this one if left out")
    async def answer(self, interaction: discord.Interaction, channel: Writable | None = None) -> None:
        await self._set(interaction, channel, "answer")

    @app_commands.command(description="Neither learn nor answer here.")
    @app_commands.describe(channel="Which channel; this one if left out")
    async def ignore(self, interaction: discord.Interaction, channel: Writable | None = None) -> None:
        await self._set(interaction, channel, "ignore")

    async def _set(
        self, interaction: discord.Interaction, channel: Writable | None, mode: ChannelMode
    ) -> None:
        chosen = channel or interaction.channel
        if interaction.guild is None or not isinstance(chosen, Writable):
            raise app_commands.CheckFailure(
                "That works only where members can write: in channels, threads and forums."
            )
        await self.ledger.guilds.ensure(interaction.guild.id, interaction.guild.name)
        await self.ledger.channels.set_mode(
            chosen.id, interaction.guild.id, stored_name(chosen), mode, parent_id=stored_parent(chosen)
        )
        await interaction.response.send_message(SAID[mode].format(channel=chosen.mention), ephemeral=True)
