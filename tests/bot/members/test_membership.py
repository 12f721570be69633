"""Who is in a server, and what is said where Discord does not say."""

from __future__ import annotations

from tests.bot.house import House


async def test_who_left_the_server_is_told_from_who_is_there(house: House) -> None:
    assert await house.bot.own.is_member(house.guild.id, house.ann.id) is True
    house.guild.remove_member(house.ann)
    assert await house.bot.own.is_member(house.guild.id, house.ann.id) is False
    assert await house.bot.own.is_member(999, house.ben.id) is None
    house.env.inject_error("GET", "/guilds/*/members/*", status=403)
    assert await house.bot.own.is_member(house.guild.id, house.ben.id) is None
