"""After each night: the report in the admin channel, with buttons to promote or roll back.

The buttons carry the version in their id and work for as long as the message stands, restarts
included; who may press them is checked on every press.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any, Self

import discord
from discord.ext import commands

from bot.cogs.adapter import promote, rollback
from bot.cogs.errors import admin_check, answer_error
from bot.nights import Night, Nights
from bot.report import clipped, report_embeds, report_file
from bot.serving import Serving
from ledger.adapters import unfit
from ledger.errors import AdapterError
from ledger.store import Ledger

log = logging.getLogger(__name__)


class VersionButton(
    discord.ui.DynamicItem[discord.ui.Button[discord.ui.View]],
    template=r"night:(?P<action>promote|rollback):(?P<version>g\d+-v\d{6})",
):
    """Promotes or rolls back the version of one report."""

    def __init__(self, action: str, version: str) -> None:
        label, style = (
            ("Roll back", discord.ButtonStyle.danger)
            if action == "rollback"
            else ("Promote it anyway", discord.ButtonStyle.secondary)
        )
        super().__init__(discord.ui.Button(label=label, style=style, custom_id=f"night:{action}:{version}"))
        self.action = action
        self.version = version

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction, item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        return cls(match["action"], match["version"])

    async def callback(self, interaction: discord.Interaction) -> None:
        cog = interaction.client.get_cog("ReportsCog")  # type: ignore[attr-defined]  # a Bot has cogs
        assert isinstance(cog, ReportsCog)  # noqa: S101 - it registered this button
        try:
            await admin_check(interaction)
            await interaction.response.defer(ephemeral=True, thinking=True)
            text = await cog.press(interaction, self.action, self.version)
        except Exception as error:  # noqa: BLE001 - answered like the error of a command
            await answer_error(interaction, error)
            return
        await interaction.edit_original_response(content=text)


class ReportsCog(commands.Cog):
    """Tells the admins how the night went."""

    def __init__(
        self, bot: commands.Bot, *, ledger: Ledger, serving: Serving, nights: Nights, admin_channel: str
    ) -> None:
        self.bot = bot
        self.ledger = ledger
        self.serving = serving
        self.nights = nights
        self.admin_channel = admin_channel

    async def cog_load(self) -> None:
        self.bot.add_dynamic_items(VersionButton)
        self.nights.on_finished(self.report)

    async def cog_unload(self) -> None:
        self.bot.remove_dynamic_items(VersionButton)
        self.nights.off_finished(self.report)

    async def report(self, night: Night) -> None:
        """Swap what was promoted in, then post the night's report."""
        await self.serving.sync()
        guild = self.bot.get_guild(night.guild_id)
        channel = discord.utils.get(guild.text_channels, name=self.admin_channel) if guild else None
        if channel is None:
            log.warning("guild %d has no channel #%s for reports", night.guild_id, self.admin_channel)
            return
        file = report_file(night.outcome)
        content: dict[str, Any] = {"embeds": report_embeds(night.outcome)}
        if file is not None:
            content["file"] = file
        refusal = self.serving.refusal(str(night.outcome.get("candidate")))
        if refusal is not None:
            content["content"] = clipped(f"⚠️ What served before goes on serving. {refusal}", 2000)
        view = _buttons(night.outcome)
        if view is not None:
            content["view"] = view
        try:
            await channel.send(**content)
        except discord.HTTPException as error:
            log.error("the report of guild %d could not be posted: %s", night.guild_id, error)

    async def press(self, interaction: discord.Interaction, action: str, version: str) -> str:
        """Do what a report's button says; return what the admin should read.

        Raises:
            AdapterError: the version is not this guild's, or does not serve (any more).
        """
        guild_id = interaction.guild_id or 0
        adapter = await self.ledger.adapters.require(guild_id, version)
        if action == "promote":
            return await promote(self.ledger, self.serving, guild_id, version, by=interaction.user.id)
        if adapter.state != "champion":
            raise AdapterError(f"`{version}` does not serve any more; see /adapter list.")
        return await rollback(self.ledger, self.serving, guild_id, by=interaction.user.id)


def _buttons(outcome: Mapping[str, Any]) -> discord.ui.View | None:
    candidate = outcome.get("candidate")
    action = {"promoted": "rollback", "kept": "promote"}.get(str(outcome.get("stage")))
    refused = action == "promote" and unfit(outcome)
    if not candidate or action is None or refused:
        return None
    view = discord.ui.View(timeout=None)
    view.add_item(VersionButton(action, str(candidate)))
    return view
