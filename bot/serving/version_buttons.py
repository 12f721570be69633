"""The button below a night's report: promotes its version, or rolls it back."""

from __future__ import annotations

import re
from typing import Any, Protocol, Self, runtime_checkable

import discord

from bot.buttons import LastingButton
from bot.interactions import acknowledge, admin_check, answer
from bot.serving.promoting import Promoting
from ledger.learned.version_names import VERSION


@runtime_checkable
class Promotes(Protocol):
    """What this button needs of the bot: Discord hands it nothing but the client."""

    @property
    def promoting(self) -> Promoting: ...


class VersionButton(
    LastingButton, template=rf"night:(?P<action>promote|rollback):(?P<version>{VERSION.pattern})"
):
    """Promotes or rolls back the version of one report; checks the permission at every press."""

    def __init__(self, action: str, version: str) -> None:
        label, style = (
            ("Roll back", discord.ButtonStyle.danger)
            if action == "rollback"
            else ("Promote it anyway", discord.ButtonStyle.secondary)
        )
        super().__init__(label, style, custom_id=f"night:{action}:{version}")
        self.action = action
        self.version = version

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction, item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        return cls(match["action"], match["version"])

    async def press(self, interaction: discord.Interaction) -> None:
        await admin_check(interaction)
        await acknowledge(interaction)
        bot: object = interaction.client
        assert isinstance(bot, Promotes)  # noqa: S101 - the bot that registered this button
        change = bot.promoting.roll_back_from if self.action == "rollback" else bot.promoting.let_serve
        await answer(
            interaction, await change(interaction.guild_id or 0, self.version, by=interaction.user.id)
        )
