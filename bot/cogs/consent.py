"""/consent: what admins do about consent: ask everybody, and erase somebody who left.

A group of its own, because Discord can only hide whole groups: so members are not offered what they may
not do. Nobody can say yes for somebody else.
"""

from __future__ import annotations

import discord
from discord import app_commands
from discord.ext import commands

from bot.interactions import admin_check
from bot.members.forget_buttons import asks_to_forget
from bot.members.notice import ConsentNotice, notice_embed
from ledger.store import Ledger


@app_commands.guild_only()
@app_commands.default_permissions(manage_guild=True)
class ConsentCog(
    commands.GroupCog, group_name="consent", group_description="Ask members for consent; forget who left."
):
    """Consent as admins see it."""

    def __init__(self, *, ledger: Ledger, bot_name: str) -> None:
        self.ledger = ledger
        self.bot_name = bot_name

    async def interaction_check(self, interaction: discord.Interaction) -> bool:
        return await admin_check(interaction)

    @app_commands.command(description="Post the notice that asks members for their consent.")
    @app_commands.describe(channel="Where to; this channel if left out")
    async def notice(
        self, interaction: discord.Interaction, channel: discord.TextChannel | None = None
    ) -> None:
        chosen = channel or interaction.channel
        if not isinstance(chosen, discord.TextChannel):
            raise app_commands.CheckFailure("I can post the notice in text channels only.")
        await chosen.send(embed=notice_embed(self.bot_name), view=ConsentNotice(self.ledger))
        await interaction.response.send_message(f"Posted in {chosen.mention}.", ephemeral=True)

    @app_commands.command(description="Erase what is kept of somebody, e.g. who left.")
    @app_commands.describe(user="Whom to forget; the number of an account works, too")
    async def forget(self, interaction: discord.Interaction, user: discord.User) -> None:
        await interaction.response.send_message(
            f"Erase every message of {user.mention} that I keep from this server? This cannot be undone.",
            view=asks_to_forget(user.id, asked_by=interaction.user.id),
            ephemeral=True,
            allowed_mentions=discord.AllowedMentions.none(),
        )
