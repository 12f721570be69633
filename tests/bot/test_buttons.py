"""Buttons that last: what goes wrong behind one becomes a reply, as it does for commands."""

from __future__ import annotations

import re
from typing import Any, Self

import discord

from bot.buttons import LastingButton
from ledger.errors import AdapterError
from tests.bot.house import House, text_of


class Bell(LastingButton, template=r"bell:(?P<sound>\w+)"):
    """Rings, or fails to."""

    def __init__(self, sound: str) -> None:
        super().__init__("Ring", discord.ButtonStyle.primary, custom_id=f"bell:{sound}")
        self.sound = sound

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction, item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        return cls(match["sound"])

    async def press(self, interaction: discord.Interaction) -> None:
        if self.sound == "none":
            raise AdapterError("The bell is gone.")
        await interaction.response.send_message(self.sound, ephemeral=True)


async def posted(house: House, sound: str) -> discord.Message:
    view = discord.ui.View(timeout=None)
    view.add_item(Bell(sound))
    channel = house.bot.get_channel(house.general.id)
    assert isinstance(channel, discord.TextChannel)
    await channel.send("a bell", view=view)
    house.bot.add_dynamic_items(Bell)
    return house.last()[-1]


async def test_a_button_finds_what_it_does_in_its_own_id(house: House) -> None:
    pressed = await house.ann.click(await posted(house, "ding"), label="Ring")
    assert text_of(pressed) == "ding"


async def test_an_error_behind_a_button_is_shown_to_the_person_who_pressed_it(house: House) -> None:
    pressed = await house.ann.click(await posted(house, "none"), label="Ring")
    assert text_of(pressed) == "The bell is gone."
    assert pressed.ephemeral
