"""One browser's conversation with the demo: its requests, and the changes that it is sent."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from bot.demo.page import Page
from bot.demo.world import World
from tests.bot.demo.watching import ask, connect


async def test_a_browser_is_told_what_its_viewer_may_see(page: Page, world: World) -> None:
    otto = str(world.stage.member("Otto").id)
    async with aiohttp.ClientSession() as http, await connect(http, page) as socket:
        told = (await ask(socket, do="open", viewer=otto))["ok"]
        assert [channel["name"] for channel in told["channels"]] == [
            "lounge",
            "kitchen-table",
            "workshop",
            "Nightschool",
        ]
        await world.slash("Mira", "lounge", "privacy", {"scope": "all"})
        await world.say("Mira", "nightschool", "for admins")
        await world.say("Mira", "lounge", "for all")
        event = await socket.receive_json(timeout=10)
        assert event["message"]["content"] == "for all"


@pytest.mark.parametrize(
    "request_",
    [
        {"do": "nothing"},
        {"do": "say"},
        {"do": "open", "viewer": "1"},
        {"do": "say", "channel": "1", "text": "x"},
    ],
)
async def test_a_request_that_cannot_be_met_gets_one_sentence(page: Page, request_: dict[str, str]) -> None:
    async with aiohttp.ClientSession() as http, await connect(http, page) as socket:
        assert (await ask(socket, **request_))["error"].endswith(".")
        assert "ok" in await ask(socket, do="open")


async def test_the_night_continues_when_its_browser_leaves(page: Page, world: World) -> None:
    begun, finish, done = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def night() -> None:
        begun.set()
        await finish.wait()
        done.set()

    world.on_time_moved = night
    async with aiohttp.ClientSession() as http, await connect(http, page) as socket:
        assert "ok" in await ask(socket, do="night")
        await asyncio.wait_for(begun.wait(), 5)
        assert "under way" in (await ask(socket, do="night"))["error"]
    finish.set()
    await asyncio.wait_for(done.wait(), 5)
