"""Discord's front door on this machine: log-in over REST, and a gateway that lets in or turns away."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import discord
import pytest
import yarl
from aiohttp import WSMsgType, web

from tests.bot.house import served

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
TOKEN = "MTIz.right.token"
MESSAGE_CONTENT = discord.ApplicationFlags(gateway_message_content=True).value
ME = {"id": "123", "username": "nightschool", "discriminator": "0", "avatar": None, "bot": True}


@dataclass
class DiscordServer:
    """What it was asked, and how it behaves."""

    flags: int = MESSAGE_CONTENT
    close_code: int | None = None
    """Where set, the gateway turns every bot away with it."""
    asked: list[str] = field(default_factory=list)
    hang_ups: int = 0
    """How many of the next connections break in mid-greeting."""
    connected: bool = False
    commands_status: int = 200
    synced: bool = False

    def app(self) -> web.Application:
        return discord_app(rest=self._rest, gateway=self._gateway)

    async def _rest(self, request: web.Request) -> web.Response:
        path = f"{request.method} /{request.match_info['path']}"
        self.asked.append(path)
        if request.headers.get("Authorization") != f"Bot {TOKEN}":
            return answered({"message": "401: Unauthorized", "code": 0}, status=401)
        if path == "GET /users/@me":
            return answered(ME)
        if path == "GET /oauth2/applications/@me":
            return answered(application(self.flags))
        if path.startswith("PUT /applications/"):
            self.synced = self.commands_status == 200
            return answered([], status=self.commands_status)
        return answered({"message": "Unknown", "code": 0}, status=404)

    async def _gateway(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        if self.hang_ups:
            self.hang_ups -= 1
            await socket.close(code=4000)
            return socket
        await socket.send_json({"op": 10, "d": {"heartbeat_interval": 45_000}})
        async for message in socket:
            if message.type == WSMsgType.TEXT and json.loads(message.data)["op"] == 2:
                await self._let_in(socket)
        return socket

    async def _let_in(self, socket: web.WebSocketResponse) -> None:
        if self.close_code is not None:
            await socket.close(code=self.close_code)
            return
        ready = {
            "v": 10,
            "user": ME,
            "guilds": [],
            "session_id": "s",
            "resume_gateway_url": "ws://127.0.0.1:9",
            "application": {"id": "123", "flags": self.flags},
        }
        await socket.send_json({"op": 0, "t": "READY", "s": 1, "d": ready})
        self.connected = True


def discord_app(*, rest: Handler, gateway: Handler) -> web.Application:
    """Return a server with Discord's two entrances, with nothing behind them yet."""
    app = web.Application()
    app.router.add_get("/gateway", gateway)
    app.router.add_route("*", "/{path:.*}", rest)
    return app


def answered(content: object, *, status: int = 200) -> web.Response:
    """Answer as Discord does."""
    # discord.py takes for JSON only what is called so without a character set.
    body = json.dumps(content).encode()
    return web.Response(body=body, status=status, headers={"Content-Type": "application/json"})


def application(flags: int = MESSAGE_CONTENT) -> dict[str, Any]:
    """Return the bot's application."""
    return {
        "id": ME["id"],
        "name": "nightschool",
        "icon": None,
        "description": "",
        "bot_public": True,
        "bot_require_code_grant": False,
        "verify_key": "",
        "flags": flags,
        "owner": ME,
        "team": None,
    }


@asynccontextmanager
async def discord_server(patch: pytest.MonkeyPatch) -> AsyncIterator[DiscordServer]:
    """Serve it, and have discord.py go there instead of to Discord."""
    server = DiscordServer()
    async with served(server.app()) as url:
        patch.setattr(discord.http.Route, "BASE", url)
        gateway = yarl.URL(url.replace("http", "ws") + "/gateway")
        patch.setattr(discord.gateway.DiscordWebSocket, "DEFAULT_GATEWAY", gateway)
        yield server
