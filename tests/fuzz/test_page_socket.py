"""Whatever a browser sends over the demo page's socket: a sentence, and the page goes on for everybody."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.demo.live import LiveClock
from bot.demo.page import Page
from bot.demo.world import World
from tests.bot.demo.conftest import ToyBot
from tests.fuzz.conftest import FUZZ

pytestmark = pytest.mark.fuzz
DOES = (
    *("open", "older", "say", "edit", "delete", "react", "commands", "autocomplete", "slash", "click"),
    *("choose", "submit", "nothing"),
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=5,
)
FIELDS = (
    *("n", "viewer", "channel", "message", "before", "text", "reply_to", "emoji", "on", "command", "option"),
    *("options", "custom_id", "values", "interaction"),
)


class Sockets:
    """A page that is open in a browser, and the log of what went wrong behind it."""

    def __init__(self, world: World, page: Page, faults: list[str]) -> None:
        self.world = world
        self.page = page
        self.faults = faults

    async def send(self, frames: list[str]) -> None:
        """Send frames, and see that the page still answers somebody else's request."""
        origin = self.page.url.rsplit("/", 2)[0]
        async with (
            aiohttp.ClientSession() as http,
            http.ws_connect(self.page.url + "ws", origin=origin) as socket,
        ):
            for frame in frames:
                await socket.send_str(frame)
            await socket.send_json({"n": "last", "do": "open"})
            while (await socket.receive_json(timeout=20)).get("n") != "last":
                pass
        assert self.faults == []


@pytest.fixture
async def sockets(caplog: pytest.LogCaptureFixture) -> AsyncIterator[Sockets]:
    """Serve the page of a world with a toy bot."""
    faults: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: faults.append(str(context.get("exception"))))
    logging.getLogger("bot.demo").setLevel(logging.CRITICAL)  # it says for each frame that it is odd
    clock = LiveClock()
    async with World(ToyBot(clock), clock=clock) as world, Page(world) as page:
        yield Sockets(world, page, faults)
    logging.getLogger("bot.demo").setLevel(logging.NOTSET)


def near(world: World, fields: dict[str, Any]) -> dict[str, Any]:
    """Point some requests at what is there, or they would all end at an unknown channel."""
    channel = next(iter(world.stage.channels))
    messages = world.env.backend.messages[channel]
    there = {"channel": str(channel), "message": str(next(iter(messages))), "viewer": world.stage.owner_id}
    return {name: there.get(name, value) if value == "there" else value for name, value in fields.items()}


@settings(FUZZ)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(DOES) | st.text(max_size=5),
            st.dictionaries(st.sampled_from(FIELDS), VALUES | st.just("there"), max_size=8),
        ),
        min_size=1,
        max_size=5,
    )
)
async def test_any_request_is_answered_and_breaks_nothing(
    sockets: Sockets, requests: list[tuple[str, dict[str, Any]]]
) -> None:
    await sockets.send([json.dumps({**near(sockets.world, fields), "do": do}) for do, fields in requests])


@settings(FUZZ)
@given(st.lists(st.text(max_size=60) | VALUES.map(json.dumps) | st.just("[" * 5000), max_size=5))
async def test_any_text_is_answered_and_breaks_nothing(sockets: Sockets, frames: list[str]) -> None:
    await sockets.send(frames)
