"""The demo's page over the wire: who may come in, and what they are told."""

from __future__ import annotations

import re

import aiohttp
import pytest

from bot.demo import page as page_module
from bot.demo.page import Page, listen


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


def test_a_port_that_was_just_left_can_be_taken_again_and_listens_on_this_machine_alone() -> None:
    with listen(0) as first:
        host, port = first.getsockname()
    with listen(port) as second:
        assert second.getsockname() == ("127.0.0.1", port)
        assert host == "127.0.0.1"
