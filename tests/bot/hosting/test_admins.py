"""What admins read, and where."""

from __future__ import annotations

from tests.bot.house import House, until


async def test_the_admins_are_told_what_the_daily_round_deleted(house: House) -> None:
    house.bot.own.admins.tell_soon(house.guild.id, "Deleted by age or date: 3 messages.")
    await until(lambda: house.said(house.office))
    assert house.said(house.office) == ["Deleted by age or date: 3 messages."]
    await house.bot.own.admins.tell(404, "nobody reads this")
