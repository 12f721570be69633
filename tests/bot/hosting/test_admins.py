"""What admins read, and where."""

from __future__ import annotations

from tests.bot.house import House, until


async def test_admins_read_a_text_in_their_channel_and_nobody_where_there_is_none(house: House) -> None:
    house.bot.own.admins.tell_soon(house.guild.id, "Deleted by age or date: 3 messages.")
    await until(lambda: house.said(house.office))
    assert house.said(house.office) == ["Deleted by age or date: 3 messages."]
    await house.bot.own.admins.tell(404, "nobody reads this")
