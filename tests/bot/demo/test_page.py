"""The demo's page over the wire: who may come in, and what they are told."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import aiohttp
import pytest

from bot.demo import page as page_module
from bot.demo.page import Page
from bot.demo.world import World


async def test_the_page_is_served_under_its_token_alone(page: Page) -> None:
    async with aiohttp.ClientSession() as http:
        async with http.get(page.url) as response:
            assert response.status == 200
            assert "script-src 'self'" in response.headers["Content-Security-Policy"]
            assert "app.js" in await response.text()
        root = page.url.rsplit("/", 2)[0]
        for path in ("/", "/wrong-token/", "/wrong-token/app.js", page.url[len(root) :] + "../world.py"):
            async with http.get(root + path) as response:
                assert response.status == 404


@pytest.mark.parametrize(
    "headers",
    [{"Host": "evil.example"}, {"Origin": "http://evil.example"}, {"Origin": "null"}],
    ids=["host", "origin", "null"],
)
async def test_another_websites_requests_are_refused(page: Page, headers: dict[str, str]) -> None:
    async with aiohttp.ClientSession() as http, http.get(page.url, headers=headers) as response:
        assert response.status == 403


async def test_a_socket_without_an_origin_is_refused(page: Page) -> None:
    async with aiohttp.ClientSession() as http:
        with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
            await http.ws_connect(page.url + "ws")


def test_the_pages_files_ask_nothing_of_the_internet() -> None:
    for file in page_module.STATIC.iterdir():
        text = file.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"""(src|href|url|import|fetch)[\s(=:"'`]+https?://\w""", text), file.name
        assert "innerHTML" not in text
        assert "insertAdjacentHTML" not in text


async def _ask(socket: aiohttp.ClientWebSocketResponse, **request: Any) -> Any:
    await socket.send_json({"n": 1, **request})
    while True:
        told = await socket.receive_json(timeout=10)
        if told.get("n") == 1:
            return told


async def _connect(http: aiohttp.ClientSession, page: Page) -> aiohttp.ClientWebSocketResponse:
    return await http.ws_connect(page.url + "ws", origin=page.url.rsplit("/", 2)[0])


async def test_a_browser_is_told_what_its_viewer_may_see(page: Page, world: World) -> None:
    otto = str(world.stage.member("Otto").id)
    async with aiohttp.ClientSession() as http, await _connect(http, page) as socket:
        told = (await _ask(socket, do="open", viewer=otto))["ok"]
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
    async with aiohttp.ClientSession() as http, await _connect(http, page) as socket:
        assert (await _ask(socket, **request_))["error"].endswith(".")
        assert "ok" in await _ask(socket, do="open")


async def test_the_night_goes_on_when_its_browser_leaves(page: Page, world: World) -> None:
    begun, finish, done = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def night() -> None:
        begun.set()
        await finish.wait()
        done.set()

    world.on_time_moved = night
    async with aiohttp.ClientSession() as http, await _connect(http, page) as socket:
        assert "ok" in await _ask(socket, do="night")
        await asyncio.wait_for(begun.wait(), 5)
        assert "under way" in (await _ask(socket, do="night"))["error"]
    finish.set()
    await asyncio.wait_for(done.wait(), 5)
