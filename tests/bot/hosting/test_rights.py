"""What the bot lacks in a server, as its admins read it."""

from __future__ import annotations

from pathlib import Path

import discord
import simcord

from tests.bot.house import House, StandInEngine, open_house, settings_for


async def shown(house: House) -> dict[str, str]:
    """Return the fields of the status."""
    result = await house.boss.slash(house.general, "bot status")
    assert result.ephemeral
    assert result.response is not None
    return {str(f.name): str(f.value) for f in result.response.embeds[0].fields}


def bot_lacks(house: House, channel: str, **denied: bool) -> simcord.ChannelHandle:
    """Return a new channel in which the bot is denied something."""
    me = simcord.UserHandle(house.env, house.env.backend.bot_user)
    return house.guild.create_text_channel(channel, overwrites={me: discord.PermissionOverwrite(**denied)})


async def missing(house: House) -> list[str]:
    return (await shown(house)).get("⚠️ Missing", "").splitlines()


async def test_a_missing_admin_channel_is_reported_with_the_fix(
    tmp_path: Path, engine: StandInEngine
) -> None:
    async with open_house(settings_for(tmp_path, engine.url, admin_channel="school")) as house:
        assert await missing(house) == []
        house.env.backend.delete_channel(house.office.id)
        [line] = await missing(house)
        assert "#school" in line
        assert "make one" in line


async def test_permissions_are_missed_by_the_names_that_discord_shows(house: House) -> None:
    rules = bot_lacks(house, "rules", read_message_history=False, embed_links=False)
    assert await missing(house) == [f"In <#{rules.id}>: Read Message History, Embed Links."]
    for role in house.env.backend.get_guild(house.guild.id).roles.values():
        without = role.permissions & ~discord.Permissions(attach_files=True, administrator=True).value
        house.env.backend.edit_role(house.guild.id, role.id, {"permissions": without})
    assert await missing(house) == [
        "In the whole server: Attach Files.",
        f"In <#{house.office.id}>, where reports go: Attach Files.",
        f"In <#{rules.id}>: Read Message History, Embed Links.",
    ]


async def test_without_the_right_to_write_what_hangs_on_it_is_not_named(house: House) -> None:
    rules = bot_lacks(house, "rules", send_messages=False, embed_links=False)
    assert await missing(house) == [f"In <#{rules.id}>: Send Messages."]


async def test_an_admin_channel_that_the_bot_cannot_see_is_reported(house: House) -> None:
    house.env.backend.delete_channel(house.office.id)
    office = bot_lacks(house, "nightschool", view_channel=False)
    assert await missing(house) == [f"In <#{office.id}>, where reports go: View Channels."]


async def test_channels_that_are_none_of_the_bots_or_of_the_askers_business_are_not_named(
    house: House,
) -> None:
    bot_lacks(house, "board", view_channel=False)
    me = simcord.UserHandle(house.env, house.env.backend.bot_user)
    house.guild.create_text_channel(
        "treasury",
        overwrites={
            house.guild.default_role: discord.PermissionOverwrite(view_channel=False),
            me: discord.PermissionOverwrite(view_channel=True, send_messages=False),
        },
    )
    garden = bot_lacks(house, "garden", send_messages=False)
    assert await missing(house) == [f"In <#{garden.id}>: Send Messages."]
    await house.boss.slash(garden, "channel ignore")
    assert await missing(house) == []


async def test_many_channels_are_counted_instead_of_named(house: House) -> None:
    for number in range(8):
        bot_lacks(house, f"room-{number}", send_messages=False)
    lines = await missing(house)
    assert len(lines) == 6
    assert lines[-1] == "The same in 3 more channels."
