"""Where the bot may not write nobody is answered, and the admins read of it once."""

from __future__ import annotations

import discord

from tests.bot.house import (
    House,
    StandInEngine,
    until,
)


async def test_where_the_bot_may_not_write_the_admins_are_told_once(
    house: House, engine: StandInEngine
) -> None:
    mute = discord.PermissionOverwrite(send_messages=False)
    hall = house.guild.create_text_channel("hall", overwrites={house.user: mute})
    for _ in range(2):
        await house.ask(house.ann, "hello", channel=hall)
    await until(lambda: house.said(house.office))
    assert engine.asked == []
    [told] = house.said(house.office)
    assert f"<#{hall.id}>" in told
    assert "Send Messages" in told


async def test_an_answer_that_discord_refuses_for_lack_of_a_permission_is_reported_to_the_admins(
    house: House,
) -> None:
    house.env.inject_error("POST", f"/channels/{house.general.id}/messages", status=403, times=None)
    await house.ask(house.ann, "hello")
    await until(lambda: house.said(house.office))
    [told] = house.said(house.office)
    assert f"in <#{house.general.id}>, where I may not answer" in told


async def test_an_answer_that_fails_otherwise_is_nobodys_right(house: House) -> None:
    house.env.inject_error("POST", f"/channels/{house.general.id}/messages", status=400, times=None)
    await house.ask(house.ann, "hello")
    assert house.said(house.office) == []
