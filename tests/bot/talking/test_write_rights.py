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
    hall = house.guild.create_text_channel("hall", overwrites={house.bot.user: mute})
    for _ in range(2):
        await house.ask(house.ann, "hello", channel=hall)
    await until(lambda: house.said(house.office))
    assert engine.asked == []
    [told] = house.said(house.office)
    assert f"<#{hall.id}>" in told
    assert "Send Messages" in told
