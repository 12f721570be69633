"""What a test sees of the demo's world: as a member, as the page, and the bot's answers in it."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp

from bot.demo import view
from bot.demo.page import Page
from bot.demo.world import World

FULL = "the key to the shed is **under the ceramic frog**, as `always`"
"""The toy bot's whole answer."""


def seen_by(world: World, who: str) -> dict[str, Any]:
    """Return all that a member sees on opening the page."""
    return view.snapshot(world, world.stage.member(who))


def answers(world: World, channel: str = "workshop") -> list[Any]:
    """Return what the bot said in a channel, half-written answers included."""
    return [message for message in world.messages(channel) if message.author_id == world.bot_id]


async def finished(world: World, count: int) -> list[Any]:
    """Wait until so many answers are whole, and return all."""
    await world.until(lambda: sum(answer.content == FULL for answer in answers(world)) == count, 5)
    return answers(world)


def drain(queue: asyncio.Queue[Any]) -> list[Any]:
    """Take everything out of a queue."""
    return [queue.get_nowait() for _ in range(queue.qsize())]


async def connect(http: aiohttp.ClientSession, page: Page) -> aiohttp.ClientWebSocketResponse:
    """Connect to the page as its own script does."""
    return await http.ws_connect(page.url + "ws", origin=page.url.rsplit("/", 2)[0])


async def ask(socket: aiohttp.ClientWebSocketResponse, **request: Any) -> Any:
    """Send a request, and return what comes back for it."""
    await socket.send_json({"n": 1, **request})
    while True:
        told = await socket.receive_json(timeout=10)
        if told.get("n") == 1:
            return told
