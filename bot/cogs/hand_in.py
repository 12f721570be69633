"""/privacy hand-in: a member gives the bot their own data package, and nobody else's.

The policy lock does not cover what comes from members themselves instead of Discord's API. So the package
has to be theirs: the trainer compares its account with the member's. Stores no text itself.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import discord
from discord import app_commands
from discord.ext import commands

from bot.interactions import guild_of
from bot.keeping.channel_modes import note_open_channels
from bot.keeping.handing_in import HandingIn
from bot.plain_text import clipped
from ledger.store import Ledger

MAX_BYTES = 32 * 1024 * 1024
"""The largest package: it passes through the bot's memory. Years of chat make 5 to 20 MB."""
NAME = "hand-in"


class HandInCog(commands.Cog):
    """One more command for the group ``/privacy``, which belongs to another cog."""

    def __init__(self, bot: commands.Bot, *, ledger: Ledger, handing_in: HandingIn) -> None:
        self.bot = bot
        self.ledger = ledger
        self.handing_in = handing_in

    async def cog_load(self) -> None:
        self.handing_in.tidy_up()
        self._group().add_command(self._command(), override=True)

    async def cog_unload(self) -> None:
        self._group().remove_command(NAME)

    def _group(self) -> app_commands.Group:
        group = self.bot.tree.get_command("privacy")
        if not isinstance(group, app_commands.Group):
            raise RuntimeError("load the cog of /privacy first")
        return group

    def _command(self) -> app_commands.Command[Any, ..., None]:
        # Made by hand, since a decorator adds commands only to the group of its own cog.
        @app_commands.command(
            name=NAME, description="Give me your own data package from Discord to learn from."
        )
        @app_commands.describe(
            file="The .zip that Discord sent you; its folders Account and Messages are enough"
        )
        async def hand_in(interaction: discord.Interaction, file: discord.Attachment) -> None:
            await self.take(interaction, file)

        return hand_in

    async def take(self, interaction: discord.Interaction, file: discord.Attachment) -> None:
        """Read the member's package and say what was taken; keep the file nowhere.

        Raises:
            ImportRefused: it could not be read.
        """
        guild, user_id = guild_of(interaction), interaction.user.id
        consent = await self.ledger.consent.current(guild.id, user_id)
        if consent is None or not consent.granted:
            refusal = "You have not said yes here. Run `/privacy opt-in` first, then hand it in."
        elif file.size > MAX_BYTES:
            refusal = (
                f"The file has {file.size / 2**20:,.0f} MB, and I take up to {MAX_BYTES / 2**20:,.0f}: make "
                "a zip of its folders Account and Messages, without the others."
            )
        else:
            refusal = ""
        if refusal:
            await interaction.response.send_message(refusal, ephemeral=True)
            return
        await interaction.response.defer(ephemeral=True, thinking=True)

        async def save(path: Path) -> None:
            await asyncio.to_thread(path.write_bytes, await file.read())

        await self.ledger.guilds.ensure(guild.id, guild.name)
        # A category holds channels and no messages.
        categories = set(guild.categories)
        channels = await note_open_channels(
            self.ledger, (each for each in (*guild.channels, *guild.threads) if each not in categories)
        )
        report = await self.handing_in.take(save, guild_id=guild.id, user_id=user_id, channels=channels)
        await interaction.edit_original_response(content=clipped(import_text(report), 2000))


def import_text(report: dict[str, Any]) -> str:
    """Return what an import took and left out, in sentences for the member."""
    lines = [
        f"Taken: {report['added']:,} of {report['read']:,} messages. "
        f"{report['already_there']:,} were here already. The file itself is deleted."
    ]
    lines += [f"- left out: {count:,} – {reason}" for reason, count in report["left_out"].items()]
    lines += [f"- {problem}" for problem in report["problems"]]
    if report["added"]:
        lines.append("`/privacy forget-me` takes them back, like everything of yours.")
    return "\n".join(lines)
