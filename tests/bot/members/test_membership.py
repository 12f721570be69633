"""Who is in a server, and what is said where Discord does not say."""

from __future__ import annotations

import asyncio

import aiohttp
import discord
import pytest

from bot.client import NightschoolBot
from bot.members.membership import is_member
from tests.bot.house import House


async def test_people_who_left_the_server_are_told_from_those_who_are_there(house: House) -> None:
    assert await house.bot.own.is_member(house.guild.id, house.ann.id) is True
    house.guild.remove_member(house.ann)
    assert await house.bot.own.is_member(house.guild.id, house.ann.id) is False
    assert await house.bot.own.is_member(999, house.ben.id) is None
    house.env.inject_error("GET", "/guilds/*/members/*", status=403)
    assert await house.bot.own.is_member(house.guild.id, house.ben.id) is None


async def test_a_discord_that_cannot_be_asked_says_nothing_about_anybody(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    guild = house.bot.get_guild(house.guild.id)
    assert guild is not None

    async def away(user_id: int) -> discord.Member:
        raise aiohttp.ClientConnectionError

    monkeypatch.setattr(discord.Guild, "fetch_member", lambda guild, user_id: away(user_id))
    assert await is_member(guild, house.ann.id) is None
    assert await house.bot.own.is_member(house.guild.id, house.ann.id) is None


async def test_a_bot_that_is_not_there_yet_is_waited_for_and_then_gone_without(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.members.membership.READY_SECONDS", 0.01)
    connecting = NightschoolBot(house.services)
    connecting._ready = asyncio.Event()
    assert await connecting.own.is_member(house.guild.id, house.ann.id) is None
