"""Buttons that say in their id what they do, and so work for as long as their message exists.

They survive restarts, since Discord sends the id back and nothing has to be remembered here.
"""

from __future__ import annotations

from abc import abstractmethod

import discord

from bot.interactions import answer_error


class LastingButton(discord.ui.DynamicItem[discord.ui.Button[discord.ui.View]], template=r"(?!)"):
    """The base of such buttons. Each brings its own template, since this one matches no id."""

    def __init__(self, label: str, style: discord.ButtonStyle, *, custom_id: str) -> None:
        super().__init__(discord.ui.Button(label=label, style=style, custom_id=custom_id))

    @abstractmethod
    async def press(self, interaction: discord.Interaction) -> None:
        """Do what the button says, and answer; an exception becomes a private reply."""

    async def callback(self, interaction: discord.Interaction) -> None:
        try:
            await self.press(interaction)
        except Exception as error:  # noqa: BLE001 - answered like the error of a command
            await answer_error(interaction, error)
