"""/privacy: what the bot keeps about a member, and the member's word on it.

Every command concerns the person who runs it and nobody else; there is no option to name another.
"""

from __future__ import annotations

import io
import json
from dataclasses import asdict

import discord
from discord import app_commands
from discord.ext import commands

from bot.cogs.errors import SafeView
from bot.report import plain
from ledger.clock import from_ms
from ledger.deletions import Deletion
from ledger.forgetting import Forgetting
from ledger.store import Ledger

WORDS = (
    "If you say yes, I keep what you write in this server's channels that I may learn from, and learn "
    "each night to talk like this place. I keep nothing of yours otherwise, and never direct messages. "
    "`/privacy opt-out` stops it, `/privacy export` shows it to you, `/privacy forget-me` erases it."
)


@app_commands.guild_only()
class PrivacyCog(
    commands.GroupCog, group_name="privacy", group_description="What the bot keeps about you, and your say."
):
    """Consent and its consequences."""

    def __init__(self, *, ledger: Ledger, forgetting: Forgetting) -> None:
        self.ledger = ledger
        self.forgetting = forgetting

    @app_commands.command(description="What is kept about you, and which versions learned from it.")
    async def status(self, interaction: discord.Interaction) -> None:
        guild = _guild(interaction)
        user_id = interaction.user.id
        event = await self.ledger.consent.current(guild.id, user_id)
        messages = await self.ledger.messages.of_author(guild.id, user_id)
        runs = set(await self.ledger.runs.runs_with_author(guild.id, user_id))
        versions = [a.version for a in await self.ledger.adapters.of_guild(guild.id) if a.run_id in runs]
        answer = "never asked" if event is None else "you said yes" if event.granted else "you said no"
        since = f" {discord.utils.format_dt(from_ms(event.at), 'R')}" if event else ""
        embed = discord.Embed(title="What I keep about you here", description=WORDS)
        embed.add_field(name="Learning from you", value=answer + since)
        embed.add_field(name="Messages kept", value=f"{len(messages):,}")
        embed.add_field(
            name="Versions that learned from you",
            value=", ".join(f"`{version}`" for version in versions[:20]) or "none",
            inline=False,
        )
        await interaction.response.send_message(embed=embed, ephemeral=True)

    @app_commands.command(name="opt-in", description="Let the bot learn from what you write here.")
    async def opt_in(self, interaction: discord.Interaction) -> None:
        guild = _guild(interaction)
        await self.ledger.guilds.ensure(guild.id, guild.name)
        await self.ledger.consent.opt_in(guild.id, interaction.user.id)
        await interaction.response.send_message(f"Thank you! From now on I listen. {WORDS}", ephemeral=True)

    @app_commands.command(name="opt-out", description="Stop the bot from learning from you.")
    async def opt_out(self, interaction: discord.Interaction) -> None:
        guild = _guild(interaction)
        await self.ledger.guilds.ensure(guild.id, guild.name)
        await self.ledger.consent.opt_out(guild.id, interaction.user.id)
        await interaction.response.send_message(
            "Done: I keep nothing more of what you write, and learn no more from what I have. "
            "`/privacy forget-me` erases that, too.",
            ephemeral=True,
        )

    @app_commands.command(name="forget-me", description="Erase everything that is kept about you here.")
    async def forget_me(self, interaction: discord.Interaction) -> None:
        view = ForgetMe(self, interaction.user.id)
        await interaction.response.send_message(
            f"Erase every message of yours that I keep from {plain(_guild(interaction).name)}? "
            "This cannot be undone.",
            view=view,
            ephemeral=True,
        )

    @app_commands.command(description="Get a file with everything that is kept about you here.")
    async def export(self, interaction: discord.Interaction) -> None:
        guild = _guild(interaction)
        user_id = interaction.user.id
        content = {
            "guild": guild.id,
            "user": user_id,
            "consent": [asdict(event) for event in await self.ledger.consent.history(guild.id, user_id)],
            "messages": [asdict(m) for m in await self.ledger.messages.of_author(guild.id, user_id)],
            "replies_to_you": [asdict(r) for r in await self.ledger.replies.asked_by(guild.id, user_id)],
            "runs": await self.ledger.runs.runs_with_author(guild.id, user_id),
        }
        file = discord.File(
            io.BytesIO(json.dumps(content, ensure_ascii=False, indent=1).encode()), "my-nightschool-data.json"
        )
        await interaction.response.send_message("Everything I keep about you:", file=file, ephemeral=True)


class ForgetMe(SafeView):
    """Asks once more; only the person who asked may press."""

    def __init__(self, cog: PrivacyCog, user_id: int) -> None:
        super().__init__(timeout=300)
        self._cog = cog
        self._user_id = user_id

    async def interaction_check(self, interaction: discord.Interaction) -> bool:
        return interaction.user.id == self._user_id

    @discord.ui.button(label="Erase it all", style=discord.ButtonStyle.danger)
    async def erase(self, interaction: discord.Interaction, button: discord.ui.Button[ForgetMe]) -> None:
        receipt = await self._cog.forgetting.person(
            _guild(interaction).id, interaction.user.id, asked_by="member"
        )
        await interaction.response.edit_message(content=receipt_text(receipt), view=None)
        self.stop()

    @discord.ui.button(label="Keep it", style=discord.ButtonStyle.secondary)
    async def keep(self, interaction: discord.Interaction, button: discord.ui.Button[ForgetMe]) -> None:
        await interaction.response.edit_message(content="Nothing was erased.", view=None)
        self.stop()


def receipt_text(receipt: Deletion) -> str:
    """Return what the member reads once they are forgotten."""
    counts = receipt.counts
    lines = [
        f"Erased: {counts.get('messages', 0):,} messages, {counts.get('replies', 0):,} answers to you and "
        f"{counts.get('reactions', 0):,} reactions."
    ]
    for version in receipt.versions:
        if version.deleted_at is not None:
            lines.append(f"`{version.version}` had learned from it and is deleted.")
        else:
            by = discord.utils.format_dt(from_ms(version.delete_by), "D")
            lines.append(
                f"`{version.version}` had learned from it. It serves until the next version takes its place, "
                f"and is deleted then, by {by} at the latest."
            )
    if not receipt.versions:
        lines.append("No version had learned from it.")
    return "\n".join(lines)


def _guild(interaction: discord.Interaction) -> discord.Guild:
    if interaction.guild is None:
        raise app_commands.NoPrivateMessage
    return interaction.guild
