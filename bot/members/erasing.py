"""The question before an erasure, and the receipt behind it.

The buttons carry in their id whom they erase, who may press and, for direct messages, in which server:
they work for as long as their message stands, restarts included, and what was pressed is done even if
Discord no longer takes an answer.
"""

from __future__ import annotations

import re
from typing import Any, Protocol, Self

import discord

from bot.interactions import admin_check, answer, answer_error, guild_of
from ledger.clock import from_ms
from ledger.forgetting.deletions import Deletion


class Eraser(Protocol):
    """Whoever registered the buttons."""

    async def erase(self, interaction: discord.Interaction, guild_id: int, user_id: int) -> None:
        """Forget a person in a server and answer with the receipt."""
        ...


class EraseButton(
    discord.ui.DynamicItem[discord.ui.Button[discord.ui.View]],
    template=r"forget:(?P<action>erase|keep):(?P<user>\d+):(?P<asker>\d+)(?::(?P<guild>\d+))?",
):
    """Erases a person, or does not; only who was asked may press."""

    def __init__(self, action: str, user_id: int, asked_by: int, guild_id: int | None = None) -> None:
        label, style = (
            ("Erase it all", discord.ButtonStyle.danger)
            if action == "erase"
            else ("Keep it", discord.ButtonStyle.secondary)
        )
        custom_id = f"forget:{action}:{user_id}:{asked_by}" + (f":{guild_id}" if guild_id else "")
        super().__init__(discord.ui.Button(label=label, style=style, custom_id=custom_id))
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

    async def callback(self, interaction: discord.Interaction) -> None:
        cog: Eraser = interaction.client.get_cog("PrivacyCog")  # type: ignore[attr-defined]  # a Bot has cogs
        try:
            if self.action == "keep":
                await answer(interaction, "Nothing was erased.", in_place=True)
            else:
                guild_id = self.guild_id if self.user_id == self.asked_by else None
                if self.user_id != self.asked_by:
                    await admin_check(interaction)  # they may have lost the right since
                await cog.erase(interaction, guild_id or guild_of(interaction).id, self.user_id)
        except Exception as error:  # noqa: BLE001 - answered like the error of a command
            await answer_error(interaction, error)


def asks_to_erase(user_id: int, *, asked_by: int, guild_id: int | None = None) -> discord.ui.View:
    """Return the two buttons that ask ``asked_by`` once more; without a guild, in the one they stand in."""
    view = discord.ui.View(timeout=None)
    for action in ("erase", "keep"):
        view.add_item(EraseButton(action, user_id, asked_by, guild_id))
    return view


def receipt_text(receipt: Deletion) -> str:
    """Return what the member reads once they are forgotten."""
    counts = receipt.counts
    lines = [
        f"Erased: {counts.get('messages', 0):,} messages, {counts.get('replies', 0):,} answers to you and "
        f"{counts.get('reactions', 0):,} reactions."
    ]
    for version in receipt.versions:
        if version.deleted_at is not None:
            when = day(version.deleted_at)
            lines.append(f"`{version.version}` had learned from it and is deleted, since {when}.")
        else:
            lines.append(
                f"`{version.version}` had learned from it. It serves until the next version takes its place, "
                f"and is deleted then, by {day(version.delete_by)} at the latest."
            )
    if receipt.completed_at is None:
        lines.append(
            "The last traces in the database's log go within a day; until then this is not complete."
        )
    if not receipt.versions:
        lines.append("No version had learned from it.")
    return "\n".join(lines)


def day(milliseconds: int) -> str:
    """Return a date that Discord shows in its reader's own language and time zone."""
    return discord.utils.format_dt(from_ms(milliseconds), "D")
