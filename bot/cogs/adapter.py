"""/adapter: what was learned, what serves, and who decides otherwise."""

from __future__ import annotations

import discord
from discord import app_commands
from discord.ext import commands

from bot.interactions import admin_check, guild_of, may_manage
from bot.nights.night_embeds import clipped
from bot.serving.served_versions import Serving
from ledger.clock import from_ms
from ledger.errors import AdapterError
from ledger.learned.adapter_versions import short_name
from ledger.learned.outcome import candidate_score
from ledger.records import Adapter
from ledger.store import Ledger

MARKS = {"champion": "🟢", "previous": "⚪", "candidate": "🟡", "retired": "▫️", "deleted": "✖️"}


async def promote(ledger: Ledger, serving: Serving, guild_id: int, version: str, *, by: int) -> str:
    """Let a version serve; return what the admin should read.

    Raises:
        AdapterError: the guild has no such version, or the engine does not take it; what served
            before serves again.
    """
    before = await ledger.adapters.champion(guild_id)
    adapter = await ledger.adapters.require(guild_id, version)
    version, name = adapter.version, named(adapter)
    serving.retry(version)
    await ledger.adapters.promote(guild_id, version, by=str(by))
    await serving.sync()
    refusal = serving.refusal(version)
    if refusal is None and serving.version(guild_id) == version:
        return f"{name} serves now."
    if refusal is None:
        return f"{name} is promoted; it serves as soon as the engine is up (see `/bot status`)."
    if before is None or before.version != version:
        await ledger.adapters.rollback(guild_id, by="engine refused")
        await serving.sync()
    raise AdapterError(refusal)


async def rollback(ledger: Ledger, serving: Serving, guild_id: int, *, by: int) -> str:
    """Go back to what served before; return what the admin should read.

    Raises:
        AdapterError: nothing is promoted.
    """
    adapter = await ledger.adapters.rollback(guild_id, by=str(by))
    await serving.sync()
    return f"Rolled back: {named(adapter) if adapter else 'the bare base model'} serves now."


@app_commands.guild_only()
@app_commands.default_permissions(manage_guild=True)
class AdapterCog(commands.GroupCog, group_name="adapter", group_description="What the bot has learned."):
    """The record of adapter versions."""

    def __init__(self, *, ledger: Ledger, serving: Serving) -> None:
        self.ledger = ledger
        self.serving = serving

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
        text = await promote(
            self.ledger, self.serving, guild_of(interaction).id, version, by=interaction.user.id
        )
        await interaction.edit_original_response(content=text)

    @app_commands.command(description="Go back to the version that served before.")
    async def rollback(self, interaction: discord.Interaction) -> None:
        await interaction.response.defer(ephemeral=True, thinking=True)
        text = await rollback(self.ledger, self.serving, guild_of(interaction).id, by=interaction.user.id)
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


def named(adapter: Adapter) -> str:
    """Return the version as people read it."""
    return short_name(adapter.version, adapter.created_at)


def _perplexity(adapter: Adapter) -> str:
    score = candidate_score(adapter.metrics)
    return f" · perplexity {score['perplexity']:.1f}" if score else ""


def _when(adapter: Adapter) -> str:
    return discord.utils.format_dt(from_ms(adapter.created_at), "R")
