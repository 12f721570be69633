"""The question before somebody is forgotten: two buttons, and who may press them.

Their ids say whom they are about, who may press and, in direct messages, for which server. A press counts
even if Discord no longer takes an answer to it.
"""

from __future__ import annotations

import re
from typing import Any, Protocol, Self, runtime_checkable

import discord

from bot.buttons import LastingButton
from bot.interactions import admin_check, answer, guild_of
from bot.members.receipts import Receipts


@runtime_checkable
class GivesReceipts(Protocol):
    """What these buttons need of the bot: Discord hands them nothing but the client."""

    @property
    def receipts(self) -> Receipts: ...


class ForgetButton(
    LastingButton,
    template=r"forget:(?P<action>erase|keep):(?P<user>\d+):(?P<asker>\d+)(?::(?P<guild>\d+))?",
):
    """Forgets a person, or does not; only the one who was asked may press."""

    def __init__(self, action: str, user_id: int, asked_by: int, guild_id: int | None = None) -> None:
        label, style = (
            ("Erase it all", discord.ButtonStyle.danger)
            if action == "erase"
            else ("Keep it", discord.ButtonStyle.secondary)
        )
        guild = f":{guild_id}" if guild_id else ""
        super().__init__(label, style, custom_id=f"forget:{action}:{user_id}:{asked_by}{guild}")
        self.action = action
        self.user_id = user_id
        self.asked_by = asked_by
        self.guild_id = guild_id

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction, item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        guild = int(match["guild"]) if match["guild"] else None
        return cls(match["action"], int(match["user"]), int(match["asker"]), guild)

    async def interaction_check(self, interaction: discord.Interaction) -> bool:
        return interaction.user.id == self.asked_by

    async def press(self, interaction: discord.Interaction) -> None:
        if self.action == "keep":
            await answer(interaction, "Nothing was erased.", in_place=True)
            return
        guild_id = self.guild_id if self.user_id == self.asked_by else None
        if self.user_id != self.asked_by:
            await admin_check(interaction)  # they may have lost the permission since
        bot: object = interaction.client
        assert isinstance(bot, GivesReceipts)  # noqa: S101 - the bot that registered this button
        await bot.receipts.forget(interaction, guild_id or guild_of(interaction).id, self.user_id)


def asks_to_forget(user_id: int, *, asked_by: int, guild_id: int | None = None) -> discord.ui.View:
    """Return the two buttons that ask ``asked_by``; without a guild, they mean the one they are posted in."""
    view = discord.ui.View(timeout=None)
    for action in ("erase", "keep"):
        view.add_item(ForgetButton(action, user_id, asked_by, guild_id))
    return view
