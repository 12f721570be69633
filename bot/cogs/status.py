"""/bot status: whether everything is well, in one look."""

from __future__ import annotations

import discord
from discord import app_commands
from discord.ext import commands

from bot.cogs.errors import admin_check
from bot.services import Services
from ledger.errors import EngineError


@app_commands.guild_only()
@app_commands.default_permissions(manage_guild=True)
class StatusCog(commands.GroupCog, group_name="bot", group_description="How the bot is doing."):
    """Health."""

    def __init__(self, *, services: Services) -> None:
        self.services = services

    async def interaction_check(self, interaction: discord.Interaction) -> bool:
        return await admin_check(interaction)

    @app_commands.command(description="Engine, version, queue, schedule, and what is kept.")
    async def status(self, interaction: discord.Interaction) -> None:
        s = self.services
        guild_id = interaction.guild_id
        if guild_id is None:
            raise app_commands.NoPrivateMessage
        embed = discord.Embed(title="Status")
        embed.add_field(name="Engine", value=await self._engine(), inline=False)
        embed.add_field(name="Serving", value=s.serving.version(guild_id) or "the bare base model")
        embed.add_field(name="Base model", value=s.settings.model.base)
        embed.add_field(name="Answers waiting", value=str(s.answering.waiting))
        embed.add_field(name="Messages kept", value=f"{await s.ledger.messages.count(guild_id):,}")
        embed.add_field(
            name="Members who agreed", value=str(len(await s.ledger.consent.consenting(guild_id)))
        )
        due = s.schedule.next_night()
        embed.add_field(name="Next night", value=discord.utils.format_dt(due, "F") if due else "switched off")
        if not s.settings.policy.discord_permission:
            embed.add_field(
                name="Policy lock",
                value="Discord's permission is not recorded, so nights leave out what came through Discord. "
                "The README says how to change that.",
                inline=False,
            )
        champion = await s.ledger.adapters.champion(guild_id)
        refusal = s.serving.refusal(champion.version) if champion else None
        if refusal:
            embed.add_field(name="Refused by the engine", value=refusal[:1024], inline=False)
        await interaction.response.send_message(embed=embed, ephemeral=True)

    async def _engine(self) -> str:
        process = self.services.engine_process
        try:
            if process is not None:
                process.address()
            healthy = await self.services.engine.healthy()
        except EngineError as error:
            return f"🔴 {error}"
        restarts = f", restarted {process.restarts} time(s)" if process and process.restarts else ""
        return ("🟢 answering" if healthy else "🔴 not answering") + restarts
