"""/bot status, in one look: what runs, how the last night ended, what is kept, what is missing."""

from __future__ import annotations

import discord
from discord import app_commands
from discord.ext import commands

from bot.hosting.rights import lacking
from bot.interactions import admin_check, guild_of
from bot.nights.night_embeds import title_of
from bot.nights.schedule import NightSchedule
from bot.nights.trainer_process import Nights, WatchedNight
from bot.plain_text import clipped, plain
from bot.serving.engine_client import EngineClient
from bot.serving.engine_process import EngineProcess
from bot.serving.served_versions import ServedVersions
from bot.talking.answering import Answering
from ledger.clock import from_ms
from ledger.errors import EngineError, EngineLoading
from ledger.records import Run
from ledger.store import Ledger

FIELD = 1024
"""Discord's limit for one field of an embed, in characters."""
REASON = 300


@app_commands.guild_only()
@app_commands.default_permissions(manage_guild=True)
class StatusCog(commands.GroupCog, group_name="bot", group_description="How the bot is doing."):
    """Health."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        serving: ServedVersions,
        answering: Answering,
        nights: Nights,
        schedule: NightSchedule,
        engine: EngineClient,
        engine_process: EngineProcess | None,
        base_model: str,
        admin_channel: str,
        locked: bool,
    ) -> None:
        """``engine_process`` is None where the engine runs elsewhere.

        ``locked``: Discord's permission is not recorded, so that nights leave out what came from it.
        """
        self.ledger = ledger
        self.serving = serving
        self.answering = answering
        self.nights = nights
        self.schedule = schedule
        self.engine = engine
        self.engine_process = engine_process
        self.base_model = base_model
        self.admin_channel = admin_channel
        self.locked = locked

    async def interaction_check(self, interaction: discord.Interaction) -> bool:
        return await admin_check(interaction)

    @app_commands.command(
        description="Engine, version, last and next night, what is kept and what is missing."
    )
    async def status(self, interaction: discord.Interaction) -> None:
        guild_id = guild_of(interaction).id
        embed = discord.Embed(title="Status")
        if missing := await self._missing(interaction):
            embed.add_field(name="⚠️ Missing", value=clipped("\n".join(missing), FIELD), inline=False)
        embed.add_field(name="Engine", value=clipped(await self._engine(), FIELD), inline=False)
        embed.add_field(name="Serving", value=self.serving.version(guild_id) or "the bare base model")
        embed.add_field(name="Base model", value=self.base_model)
        embed.add_field(name="Answers waiting", value=str(self.answering.waiting))
        embed.add_field(name="Messages kept", value=f"{await self.ledger.messages.count(guild_id):,}")
        agreed = len(await self.ledger.consent.consenting(guild_id))
        embed.add_field(name="Members who agreed", value=str(agreed or "0; `/consent notice` asks everybody"))
        due = self.schedule.next_night()
        embed.add_field(name="Next night", value=discord.utils.format_dt(due, "F") if due else "switched off")
        runs = await self.ledger.runs.of_guild(guild_id, limit=1)
        last = last_night(runs[0] if runs else None, self.nights.current(guild_id))
        embed.add_field(name="Last night", value=clipped(last, FIELD), inline=False)
        if self.locked:
            embed.add_field(
                name="Policy lock",
                value="Discord's permission is not recorded, so nights leave out what came through Discord. "
                "The README says how to change that.",
                inline=False,
            )
        champion = await self.ledger.adapters.champion(guild_id)
        refusal = self.serving.refusal(champion.version) if champion else None
        if refusal:
            embed.add_field(name="Refused by the engine", value=clipped(refusal, FIELD), inline=False)
        await interaction.response.send_message(embed=embed, ephemeral=True)

    async def _missing(self, interaction: discord.Interaction) -> list[str]:
        """Return what the bot lacks here, as the person who asks may know it."""
        guild, viewer = guild_of(interaction), interaction.user
        assert isinstance(viewer, discord.Member)  # noqa: S101 - the command is a server's
        channels = await self.ledger.channels.of_guild(guild.id)
        return lacking(
            guild,
            viewer,
            admin_channel=self.admin_channel,
            ignored={channel.id for channel in channels if channel.mode == "ignore"},
        )

    async def _engine(self) -> str:
        process = self.engine_process
        try:
            if process is not None:
                process.address()
            healthy = await self.engine.healthy()
        except EngineLoading as error:
            return f"🟡 {error}"
        except EngineError as error:
            return f"🔴 {error}"
        restarts = f", restarted {process.restarts} time(s)" if process and process.restarts else ""
        return ("🟢 answering" if healthy else "🔴 not answering") + restarts


def last_night(run: Run | None, current: WatchedNight | None) -> str:
    """Return when the newest night was and how it ended, or how far it is."""
    if current is not None:
        return f"under way: {current.stage}, {current.share:.0%} of this stage"
    if run is None:
        return "none yet"
    when = discord.utils.format_dt(from_ms(run.finished_at or run.created_at), "R")
    if not run.finished:
        return f"{when}: it was cut off once it was {run.stage}, and has no outcome"
    why = run.error or (run.reasons[0] if run.reasons else "")
    return f"{when}: {title_of(run)}" + (f" ({clipped(plain(why), REASON)})" if why else "")
