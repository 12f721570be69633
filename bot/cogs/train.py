"""/train: start a night now, watch it, cancel it, look back; teach, and let people in from quarantine."""

from __future__ import annotations

import asyncio
import contextlib

import discord
from discord import app_commands
from discord.ext import commands

from bot.background import Background
from bot.interactions import admin_check, guild_of
from bot.nights.night_embeds import COLOURS, how_it_ended, progress_bar, started_by
from bot.nights.trainer_process import Nights, WatchedNight
from bot.plain_text import clipped
from ledger.clock import from_ms
from ledger.learned.outcome import STAGES, candidate_score
from ledger.learned.teaching import teach_pair
from ledger.learned.version_names import short_name
from ledger.people.quarantine import Detained
from ledger.records import Adapter, Run
from ledger.store import Ledger

LIVE_SECONDS = 840.0
"""How long /train status keeps itself up to date; Discord lets a response be edited for 15 minutes."""
LIVE_INTERVAL = 5.0
NO_LONGER_LIVE = (
    "Discord lets this message be kept up to date for 14 minutes. /train status shows how far the night is; "
    "its report comes to the admin channel."
)


@app_commands.guild_only()
@app_commands.default_permissions(manage_guild=True)
class TrainCog(commands.GroupCog, group_name="train", group_description="Train the server's own model."):
    """Training by hand."""

    quarantine = app_commands.Group(name="quarantine", description="Whose words nights leave out, and why.")

    def __init__(self, *, nights: Nights, ledger: Ledger, background: Background) -> None:
        self.nights = nights
        self.ledger = ledger
        self.background = background

    async def interaction_check(self, interaction: discord.Interaction) -> bool:
        return await admin_check(interaction)

    @app_commands.command(description="Start a night now: learn, prove, swap.")
    async def start(self, interaction: discord.Interaction) -> None:
        guild = guild_of(interaction)
        await self.ledger.guilds.ensure(guild.id, guild.name)
        night = self.nights.start(guild.id, trigger=f"/train start by {interaction.user.id}")
        await interaction.response.send_message(embed=night_embed(night), ephemeral=True)
        self._keep_live(interaction, night)

    @app_commands.command(description="How far is the night? Stage, loss and time left, live.")
    async def status(self, interaction: discord.Interaction) -> None:
        guild = guild_of(interaction)
        night = self.nights.current(guild.id)
        if night is None:
            runs = await self.ledger.runs.of_guild(guild.id, limit=1)
            last = f" {_last(runs[0])}" if runs else ""
            await interaction.response.send_message(f"No night is under way.{last}", ephemeral=True)
            return
        await interaction.response.send_message(embed=night_embed(night), ephemeral=True)
        self._keep_live(interaction, night)

    @app_commands.command(description="Stop the night that is under way; what serves goes on serving.")
    async def cancel(self, interaction: discord.Interaction) -> None:
        stopped = self.nights.cancel(guild_of(interaction).id)
        text = "Stopping the night; this takes a second or two." if stopped else "No night is under way."
        await interaction.response.send_message(text, ephemeral=True)

    @app_commands.command(description="The last nights and how each ended.")
    async def history(self, interaction: discord.Interaction) -> None:
        runs = await self.ledger.runs.of_guild(guild_of(interaction).id, limit=10)
        made = {a.version: a for a in await self.ledger.adapters.of_guild(guild_of(interaction).id)}
        lines = [_line(run, made.get(run.candidate or "")) for run in runs]
        embed = discord.Embed(title="Nights", description=clipped("\n".join(lines) or "None yet.", 4096))
        await interaction.response.send_message(embed=embed, ephemeral=True)

    @app_commands.command(description="Teach me a question and its answer, for the next night to learn.")
    @app_commands.describe(question="What somebody asks", answer="What the bot should learn to answer")
    async def teach(
        self,
        interaction: discord.Interaction,
        question: app_commands.Range[str, 1, 1000],
        answer: app_commands.Range[str, 1, 1000],
    ) -> None:
        guild = guild_of(interaction)
        await self.ledger.guilds.ensure(guild.id, guild.name)
        user = interaction.user
        if user.id in await self.ledger.consent.refusing(guild.id):
            raise app_commands.CheckFailure(
                "You said that I shall not learn from you, so I don't. `/privacy opt-in` changes that."
            )
        await teach_pair(
            self.ledger,
            guild.id,
            user.id,
            user.display_name,
            number=interaction.id,
            texts=(question, answer),
        )
        await interaction.response.send_message("Noted for the next night.", ephemeral=True)

    @quarantine.command(name="list", description="Whose words nights leave out, since when and why.")
    async def held(self, interaction: discord.Interaction) -> None:
        held = (await self.ledger.quarantine.in_force(guild_of(interaction).id)).values()
        text = "\n".join(map(_held_line, held)) or "Nights leave nobody's words out."
        await interaction.response.send_message(
            clipped(text, 2000), ephemeral=True, allowed_mentions=discord.AllowedMentions.none()
        )

    @quarantine.command(description="Learn from somebody again, what they wrote meanwhile included.")
    @app_commands.describe(user="Whom to let in; the number of an account works, too")
    async def allow(self, interaction: discord.Interaction, user: discord.User) -> None:
        await self.ledger.quarantine.allow(guild_of(interaction).id, user.id, by=str(interaction.user.id))
        await interaction.response.send_message(
            f"Nights learn from {user.mention} again.",
            ephemeral=True,
            allowed_mentions=discord.AllowedMentions.none(),
        )

    def _keep_live(self, interaction: discord.Interaction, night: WatchedNight) -> None:
        self.background.run(_live(interaction, night), name="train-status")


async def _live(interaction: discord.Interaction, night: WatchedNight) -> None:
    """Edit the response until the night has ended, or say that Discord takes no more edits."""
    loop = asyncio.get_running_loop()
    until = loop.time() + LIVE_SECONDS
    shown = None
    while loop.time() < until:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LIVE_INTERVAL):
                await night.ended.wait()
        embed = night_embed(night)
        if embed != shown:
            if not await _edited(interaction, embed):
                return
            shown = embed
        if night.ended.is_set():
            return
    await _edited(interaction, night_embed(night).set_footer(text=NO_LONGER_LIVE))


async def _edited(interaction: discord.Interaction, embed: discord.Embed) -> bool:
    """Edit the response; tell whether it is worth while to go on."""
    try:
        await interaction.edit_original_response(embed=embed)
    except discord.DiscordServerError:
        return True  # the next edit may get through
    except discord.HTTPException:
        return False  # the person closed it, or Discord takes no more edits
    return True


def _last(run: Run) -> str:
    """Say when the last night was and how it ended."""
    if not run.finished:
        return (
            f"The one that began {_when(run.created_at)} was {how_it_ended(run)}; the next start takes it up."
        )
    return f"The last one ended {_when(run.finished_at or run.created_at)}: {run.stage}."


def _held_line(held: Detained) -> str:
    """Tell who is in quarantine, from when to when, and why; quotes nobody."""
    return (
        f"<@{held.user_id}> from {_when(held.since)}, ends {_when(held.until)}: {held.told}. "
        "`/train quarantine allow` lets them in now."
    )


def _line(run: Run, made: Adapter | None) -> str:
    """Tell a night in one line: when, how it ended, what came of it, and who started it."""
    score = candidate_score(run.metrics)
    parts = [
        f"{_when(run.created_at)} **{how_it_ended(run)}**",
        short_name(run.candidate, made.created_at if made else None) if run.candidate else "",
        f"perplexity {score['perplexity']:.1f}" if score else "",
        started_by(run.trigger),
    ]
    return " · ".join(part for part in parts if part)


def night_embed(night: WatchedNight) -> discord.Embed:
    """Return the night's progress: stage, bar, loss, time left."""
    if night.outcome is not None and night.ended.is_set():
        return discord.Embed(
            title=f"The night has ended: {night.outcome.stage}",
            description=f"`{progress_bar(1.0)}`",
            colour=COLOURS.get(night.outcome.stage),
        )
    if night.stage == "waiting":
        return discord.Embed(title="The night is about to begin", description=f"`{progress_bar(0.0)}`")
    number = STAGES.index(night.stage) + 1
    lines = [f"`{progress_bar(night.share)}` {night.share:.0%}", f"step {night.step} of {night.steps}"]
    if night.loss is not None:
        lines.append(f"loss {night.loss:.3f}")
    if night.eta_seconds is not None:
        lines.append(f"about {_duration(night.eta_seconds)} left in this stage")
    return discord.Embed(
        title=f"{'Stopping' if night.cancelled else 'Stage'} {number} of {len(STAGES)}: {night.stage}",
        description="\n".join(lines),
        colour=discord.Colour.blurple(),
    )


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def _when(milliseconds: int) -> str:
    return discord.utils.format_dt(from_ms(milliseconds), "R")
