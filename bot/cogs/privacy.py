"""/privacy: what the bot keeps about a member, and the member's say in it.

Every command is about the person who runs it: nobody can say yes for somebody else. The commands also work
in direct messages to the bot, even for servers that the person has left.
"""

from __future__ import annotations

import asyncio
import gzip
import io
import json

import discord
from discord import app_commands
from discord.ext import commands

from bot.members.forget_buttons import ForgetButton, asks_to_forget
from bot.members.holdings import (
    FIELD,
    consent_text,
    everything_about,
    kept_text,
    quarantine_text,
    versions_with,
)
from bot.members.homes import home_of, offered_homes
from bot.members.notice import NO, WORDS, YES, ConsentNotice, opt_in, opt_out
from bot.members.receipts import day, receipt_text
from bot.plain_text import clipped, plain
from ledger.store import Ledger

PLAIN_BYTES = 8 * 1024 * 1024
"""A larger export is compressed: Discord takes 10 MiB."""


SERVER = "Which server; needed only in direct messages, where I know you from several"


@app_commands.allowed_contexts(guilds=True, dms=True, private_channels=False)
class PrivacyCog(
    commands.GroupCog, group_name="privacy", group_description="What the bot keeps about you, and your say."
):
    """Consent and its consequences."""

    def __init__(
        self,
        bot: commands.Bot,
        *,
        ledger: Ledger,
        retention_days: int,
        adapter_days: int,
    ) -> None:
        self.bot = bot
        self.ledger = ledger
        self.retention_days = retention_days
        self.adapter_days = adapter_days

    async def cog_load(self) -> None:
        self.bot.add_view(ConsentNotice(self.ledger))
        self.bot.add_dynamic_items(ForgetButton)

    async def cog_unload(self) -> None:
        self.bot.remove_dynamic_items(ForgetButton)

    @app_commands.command(description="What is kept about you, and which versions learned from it.")
    @app_commands.describe(server=SERVER)
    async def status(self, interaction: discord.Interaction, server: str | None = None) -> None:
        guild = await home_of(interaction, self.ledger, server)
        user_id = interaction.user.id
        event = await self.ledger.consent.current(guild.id, user_id)
        messages = await self.ledger.messages.of_author(guild.id, user_id)
        versions = await versions_with(self.ledger, guild.id, user_id, adapter_days=self.adapter_days)
        embed = discord.Embed(
            title=clipped(f"What I keep about you in {plain(guild.name)}", 256), description=WORDS
        )
        embed.add_field(name="Learning from you", value=consent_text(event), inline=False)
        embed.add_field(name="Messages kept", value=kept_text(messages, self.retention_days), inline=False)
        answers = await self.ledger.answers.asked_by(guild.id, user_id)
        reactions = await self.ledger.answers.reactions_of(guild.id, user_id)
        told = f"{len(answers):,}, {len(reactions):,}"
        embed.add_field(name="Answers to you, reactions", value=told, inline=False)
        embed.add_field(
            name="Versions that learned from you",
            value=clipped("\n".join(versions) or "none", FIELD),
            inline=False,
        )
        if held := await self.ledger.quarantine.of_person(guild.id, user_id):
            embed.add_field(name="Quarantine", value=quarantine_text(held), inline=False)
        await interaction.response.send_message(embed=embed, ephemeral=True)

    @app_commands.command(name="opt-in", description="Let the bot learn from what you write here.")
    @app_commands.describe(
        channel="Only this channel (repeat for more); all of them if left out", server=SERVER
    )
    async def opt_in(
        self,
        interaction: discord.Interaction,
        channel: discord.TextChannel | None = None,
        server: str | None = None,
    ) -> None:
        # A channel can only be one of the server that the command is typed in.
        home = await home_of(interaction, self.ledger, None if channel else server)
        chosen = channel.id if channel else None
        await opt_in(self.ledger, home, interaction.user.id, chosen)
        where = f" This applies to {channel.mention} and others that you name this way." if channel else ""
        await interaction.response.send_message(YES + where, ephemeral=True)

    @app_commands.command(name="opt-out", description="Stop the bot from learning from you.")
    @app_commands.describe(server=SERVER)
    async def opt_out(self, interaction: discord.Interaction, server: str | None = None) -> None:
        await opt_out(self.ledger, await home_of(interaction, self.ledger, server), interaction.user.id)
        await interaction.response.send_message(NO, ephemeral=True)

    @app_commands.command(description="What was deleted when you were forgotten, and what is still due.")
    @app_commands.describe(server=SERVER)
    async def receipt(self, interaction: discord.Interaction, server: str | None = None) -> None:
        home = await home_of(interaction, self.ledger, server)
        receipts = await self.ledger.deletions.of_person(home.id, interaction.user.id)
        text = "\n\n".join(f"**{day(each.asked_at)}** {receipt_text(each)}" for each in receipts)
        await interaction.response.send_message(
            clipped(text or "You have not asked to be forgotten here.", 2000), ephemeral=True
        )

    @app_commands.command(name="forget-me", description="Erase everything that is kept about you here.")
    @app_commands.describe(server=SERVER)
    async def forget_me(self, interaction: discord.Interaction, server: str | None = None) -> None:
        home = await home_of(interaction, self.ledger, server)
        view = asks_to_forget(interaction.user.id, asked_by=interaction.user.id, guild_id=home.id)
        await interaction.response.send_message(
            f"Erase every message of yours that I keep from {plain(home.name)}? This cannot be undone.",
            view=view,
            ephemeral=True,
        )

    @app_commands.command(description="Get a file with everything that is kept about you here.")
    @app_commands.describe(server=SERVER)
    async def export(self, interaction: discord.Interaction, server: str | None = None) -> None:
        guild = await home_of(interaction, self.ledger, server)
        user_id = interaction.user.id
        await interaction.response.defer(ephemeral=True, thinking=True)
        content = await everything_about(self.ledger, guild.id, user_id)
        raw, name = json.dumps(content, ensure_ascii=False, indent=1).encode(), "my-nightschool-data.json"
        if len(raw) > PLAIN_BYTES:
            raw, name = await asyncio.to_thread(gzip.compress, raw), f"{name}.gz"
        await interaction.edit_original_response(
            content="Everything I keep about you:", attachments=[discord.File(io.BytesIO(raw), name)]
        )

    @status.autocomplete("server")
    @opt_in.autocomplete("server")
    @opt_out.autocomplete("server")
    @receipt.autocomplete("server")
    @forget_me.autocomplete("server")
    @export.autocomplete("server")
    async def servers(self, interaction: discord.Interaction, typed: str) -> list[app_commands.Choice[str]]:
        """Suggest the servers that hold something of the person who is typing."""
        return await offered_homes(self.ledger, interaction.user.id, typed)
