"""/adapter: what was learned, what serves, and who decides otherwise."""

from __future__ import annotations

import discord
from discord import app_commands
from discord.ext import commands

from bot.interactions import admin_check, guild_of, may_manage
from bot.plain_text import clipped
from bot.serving.promoting import Promoting, named
from ledger.clock import from_ms
from ledger.learned.outcome import candidate_score
from ledger.records import Adapter
from ledger.store import Ledger

MARKS = {"champion": "🟢", "previous": "⚪", "candidate": "🟡", "retired": "▫️", "deleted": "✖️"}


@app_commands.guild_only()
@app_commands.default_permissions(manage_guild=True)
class AdapterCog(commands.GroupCog, group_name="adapter", group_description="What the bot has learned."):
    """The record of adapter versions."""

    def __init__(self, *, ledger: Ledger, promoting: Promoting) -> None:
        self.ledger = ledger
        self.promoting = promoting

    async def interaction_check(self, interaction: discord.Interaction) -> bool:
        return await admin_check(interaction)

    @app_commands.command(name="list", description="All versions, newest first.")
    async def list_(self, interaction: discord.Interaction) -> None:
        adapters = await self.ledger.adapters.of_guild(guild_of(interaction).id)
        lines = [
            f"{MARKS[adapter.state]} **{named(adapter)}** {adapter.state} · {_when(adapter)}"
            f"{_perplexity(adapter)}"
            for adapter in adapters[:25]
        ]
        text = "\n".join(lines) or "Nothing has been learned yet; the bare base model serves."
        embed = discord.Embed(title="Adapter versions", description=clipped(text, 4096))
        await interaction.response.send_message(embed=embed, ephemeral=True)

    @app_commands.command(description="One version: where it comes from and what was measured on it.")
    @app_commands.describe(version="Which version")
    async def show(self, interaction: discord.Interaction, version: str) -> None:
        adapter = await self.ledger.adapters.require(guild_of(interaction).id, version)
        run = await self.ledger.runs.require(adapter.run_id)
        embed = discord.Embed(title=f"{MARKS[adapter.state]} {named(adapter)}", description=adapter.state)
        embed.add_field(name="Learned", value=_when(adapter))
        embed.add_field(name="Full name", value=f"`{adapter.version}`")
        embed.add_field(name="Base model", value=clipped(adapter.base_model, 200))
        embed.add_field(name="Run", value=f"`{run.id}` ({run.stage})")
        for name, score in (adapter.metrics.get("scores") or {}).items():
            embed.add_field(name=f"Perplexity, {name}", value=f"{score['perplexity']:.2f}")
        if run.reasons:
            embed.add_field(name="Why", value=clipped("\n".join(run.reasons), 1024), inline=False)
        await interaction.response.send_message(embed=embed, ephemeral=True)

    @app_commands.command(description="Let a version serve from now on.")
    @app_commands.describe(version="Which version")
    async def promote(self, interaction: discord.Interaction, version: str) -> None:
        await interaction.response.defer(ephemeral=True, thinking=True)
        text = await self.promoting.let_serve(guild_of(interaction).id, version, by=interaction.user.id)
        await interaction.edit_original_response(content=text)

    @app_commands.command(description="Go back to the version that served before.")
    async def rollback(self, interaction: discord.Interaction) -> None:
        await interaction.response.defer(ephemeral=True, thinking=True)
        text = await self.promoting.roll_back(guild_of(interaction).id, by=interaction.user.id)
        await interaction.edit_original_response(content=text)

    @show.autocomplete("version")
    @promote.autocomplete("version")
    async def _versions(
        self, interaction: discord.Interaction, current: str
    ) -> list[app_commands.Choice[str]]:
        if not may_manage(interaction):
            return []  # checks of commands do not reach what is offered while somebody types
        adapters = await self.ledger.adapters.of_guild(guild_of(interaction).id)
        return [
            app_commands.Choice(name=f"{named(adapter)} ({adapter.state})", value=adapter.version)
            for adapter in adapters
            if current in f"{adapter.version} {named(adapter)}" and adapter.state != "deleted"
        ][:25]


def _perplexity(adapter: Adapter) -> str:
    score = candidate_score(adapter.metrics)
    return f" · perplexity {score['perplexity']:.1f}" if score else ""


def _when(adapter: Adapter) -> str:
    return discord.utils.format_dt(from_ms(adapter.created_at), "R")
