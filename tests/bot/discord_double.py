"""Discord's double: REST and gateway on loopback sockets, a small world behind them, faults by script.

The real bot talks to it over real HTTP and WebSockets. It keeps what Discord would keep (messages,
sessions that can be resumed, nonces), limits writes as Discord does, and fails where a test says so:
before a request is done, or after it, which is worse.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from aiohttp import WSMsgType, web

from tests.bot.discord_server import ME, MESSAGE_CONTENT, TOKEN, answered, application, discord_app

GUILD, ADMIN_CHANNEL = 700, 799
ALL_RIGHTS = str(2**45 - 1)
EPOCH = 1_420_070_400_000
Fault = Callable[[str], str | None]
"""From ``METHOD /path`` to what goes wrong: "503", "500", "429", "reset", "reset after", "late", or None."""


@dataclass
class Session:
    """One gateway session: what was sent, so that it can be resumed."""

    id: str
    sent: list[dict[str, Any]] = field(default_factory=list)
    socket: web.WebSocketResponse | None = None


class DiscordDouble:
    """A guild with channels and people, and the bot's connection to it."""

    def __init__(self, people: dict[int, str], channels: dict[int, str], *, pace: float = 1.0) -> None:
        """``pace`` is how many times faster than real time the bot lives."""
        self.people = people
        self.channels = channels
        self.messages: dict[int, dict[str, Any]] = {}
        self.fault: Fault = lambda request: None
        self.log: list[str] = []
        self._pace = pace
        self._nonces: dict[str, int] = {}
        self._session: Session | None = None
        self._sessions = 0
        self._last_id = 0
        self._writes: dict[tuple[str, str], deque[float]] = {}
        self.resumed = 0

    # the world

    def snowflake(self) -> int:
        self._last_id = max(self._last_id + 1, (round(time.time() * 1000) - EPOCH) << 22)
        return self._last_id

    async def say(self, author: int, channel: int, text: str, *, mentions_bot: bool = False) -> int:
        """Have somebody write a message; the bot hears it if it is connected."""
        message = self._message(author, channel, text, mentions=[ME] if mentions_bot else [])
        await self._emit("MESSAGE_CREATE", {**message, "member": self._member(author)})
        return int(message["id"])

    async def edit(self, message_id: int, text: str) -> None:
        message = self.messages[message_id]
        message.update(content=text, edited_timestamp=_now())
        await self._emit("MESSAGE_UPDATE", message)

    async def delete(self, message_id: int) -> None:
        message = self.messages.pop(message_id)
        gone = {"id": str(message_id), "channel_id": message["channel_id"], "guild_id": str(GUILD)}
        await self._emit("MESSAGE_DELETE", gone)

    def said_by_bot(self) -> list[dict[str, Any]]:
        """Return the bot's messages, oldest first."""
        return [each for _, each in sorted(self.messages.items()) if each["author"]["id"] == ME["id"]]

    def _message(self, author: int, channel: int, text: str, **fields: Any) -> dict[str, Any]:
        number = self.snowflake()
        user = ME if author == int(str(ME["id"])) else self._user(author)
        message = {
            "id": str(number),
            "channel_id": str(channel),
            "guild_id": str(GUILD),
            "author": user,
            "content": text,
            "timestamp": _now(),
            "edited_timestamp": None,
            "tts": False,
            "mention_everyone": False,
            "mentions": [],
            "mention_roles": [],
            "attachments": [],
            "embeds": [],
            "pinned": False,
            "type": 0,
            **fields,
        }
        self.messages[number] = message
        return message

    def _user(self, number: int) -> dict[str, Any]:
        return {"id": str(number), "username": self.people[number], "discriminator": "0", "avatar": None}

    def _member(self, number: int) -> dict[str, Any]:
        return {"roles": [], "joined_at": _now(), "deaf": False, "mute": False, "flags": 0}

    def _guild(self) -> dict[str, Any]:
        me = {**self._member(0), "user": ME, "roles": [str(GUILD)]}
        everybody = {"id": str(GUILD), "name": "@everyone", "permissions": ALL_RIGHTS, "position": 0}
        role = {**everybody, "color": 0, "colors": {"primary_color": 0}, "hoist": False, "managed": False}
        channels = [self._channel(number) for number in self.channels]
        return {
            "id": str(GUILD),
            "name": "Lantern Yard",
            "owner_id": "1",
            "roles": [{**role, "mentionable": False, "flags": 0}],
            "channels": channels,
            "members": [me],
            "member_count": 9,
            "emojis": [],
            "stickers": [],
            "features": [],
            "threads": [],
            "voice_states": [],
            "presences": [],
            "stage_instances": [],
            "guild_scheduled_events": [],
            "soundboard_sounds": [],
            "verification_level": 0,
            "default_message_notifications": 0,
            "explicit_content_filter": 0,
            "mfa_level": 0,
            "nsfw_level": 0,
            "premium_tier": 0,
            "system_channel_flags": 0,
            "preferred_locale": "en-US",
            "afk_timeout": 300,
            "unavailable": False,
            "large": False,
        }

    def _channel(self, number: int) -> dict[str, Any]:
        here = [id_ for id_, each in self.messages.items() if each["channel_id"] == str(number)]
        return {
            "id": str(number),
            "guild_id": str(GUILD),
            "name": self.channels[number],
            "type": 0,
            "position": 0,
            "permission_overwrites": [],
            "nsfw": False,
            "last_message_id": str(max(here)) if here else None,
        }

    # REST

    def app(self) -> web.Application:
        return discord_app(rest=self._rest, gateway=self._gateway)

    async def _rest(self, request: web.Request) -> web.StreamResponse:
        path = f"{request.method} /{request.match_info['path']}"
        self.log.append(path)
        if request.headers.get("Authorization") != f"Bot {TOKEN}":
            return answered({"message": "401: Unauthorized", "code": 0}, status=401)
        fault = self.fault(path)
        if fault == "reset":
            return _reset(request)
        if fault == "429":
            return _limited(0.5)
        if fault is not None and fault.isdigit():
            return answered({"message": "a fault", "code": 0}, status=int(fault))
        if fault == "late":
            await asyncio.sleep(8 / self._pace)
        wait = self._over_limit(request.method, path)
        if wait > 0:
            return _limited(wait)
        body = await request.json() if request.can_read_body else {}
        response = await self._handle(request, path, body if isinstance(body, dict) else {})
        return _reset(request) if fault == "reset after" else response

    def _over_limit(self, method: str, path: str) -> float:
        """Return how long to wait: five writes of a kind in a channel within five seconds."""
        if "/messages" not in path or method not in ("POST", "PATCH"):
            return 0.0
        now, key = time.monotonic() * self._pace, (method, path.split("/")[2])
        writes = self._writes.setdefault(key, deque(maxlen=5))
        if len(writes) == 5 and now - writes[0] < 5.0:
            return 5.0 - (now - writes[0])
        writes.append(now)
        return 0.0

    async def _handle(self, request: web.Request, path: str, body: dict[str, Any]) -> web.Response:
        parts = path.split("/")[1:]
        match request.method, *parts:
            case "GET", "users", "@me":
                return answered(ME)
            case "GET", "oauth2", "applications", "@me":
                return answered(application())
            case "PUT", "applications", *_:
                return answered([])
            case "POST", "channels", _, "typing":
                return web.Response(status=204)
            case "GET", "channels", channel, "messages":
                return answered(self._history(channel, request.query))
            case "POST", "channels", channel, "messages":
                return answered(await self._post(int(channel), body))
            case _, "channels", _, "messages", number if int(number) not in self.messages:
                return answered({"message": "Unknown Message", "code": 10008}, status=404)
            case "GET", "channels", _, "messages", number:
                return answered(self.messages[int(number)])
            case "PATCH", "channels", _, "messages", number:
                self.messages[int(number)].update(content=body.get("content"), edited_timestamp=_now())
                return answered(self.messages[int(number)])
            case "DELETE", "channels", _, "messages", number:
                await self.delete(int(number))
                return web.Response(status=204)
        return answered({"message": "Unknown", "code": 0}, status=404)

    async def _post(self, channel: int, body: dict[str, Any]) -> dict[str, Any]:
        nonce = body.get("nonce")
        if nonce and body.get("enforce_nonce") and nonce in self._nonces:
            return self.messages[self._nonces[nonce]]
        me = int(str(ME["id"]))
        reference = body.get("message_reference")
        fields: dict[str, Any] = {"message_reference": reference, "type": 19} if reference else {}
        fields["embeds"] = body.get("embeds", [])
        message = self._message(me, channel, body.get("content") or "", **fields)
        if nonce:
            self._nonces[nonce] = int(message["id"])
        await self._emit("MESSAGE_CREATE", message)
        return message

    def _history(self, channel: str, query: Any) -> list[dict[str, Any]]:
        found = [each for _, each in sorted(self.messages.items()) if each["channel_id"] == channel]
        if "after" in query:
            found = [each for each in found if int(each["id"]) > int(query["after"])]
            return found[: int(query.get("limit", 50))][::-1]
        if "before" in query:
            found = [each for each in found if int(each["id"]) < int(query["before"])]
        return found[-int(query.get("limit", 50)) :][::-1]

    # gateway

    @property
    def connected(self) -> bool:
        return self._session is not None and self._session.socket is not None

    async def drop(self) -> None:
        """Break the connection; the session can be resumed."""
        session = self._session
        if session is not None and session.socket is not None:
            socket, session.socket = session.socket, None
            await socket.close(code=4000)

    async def lose_session(self) -> None:
        """Break the connection for good: what happens until the next session is told to nobody."""
        session, self._session = self._session, None
        if session is not None and session.socket is not None:
            await session.socket.close(code=4000)

    async def _gateway(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_json({"op": 10, "d": {"heartbeat_interval": 45_000}})
        async for message in socket:
            if message.type != WSMsgType.TEXT:
                break
            event = json.loads(message.data)
            if event["op"] == 1:
                await socket.send_json({"op": 11})
            elif event["op"] == 2:
                await self._identify(socket, request)
            elif event["op"] == 6:
                await self._resume(socket, event["d"])
        if self._session is not None and self._session.socket is socket:
            self._session.socket = None
        return socket

    async def _identify(self, socket: web.WebSocketResponse, request: web.Request) -> None:
        self._sessions += 1
        self._session = Session(f"session-{self._sessions}", socket=socket)
        ready = {
            "v": 10,
            "user": ME,
            "guilds": [{"id": str(GUILD), "unavailable": True}],
            "session_id": self._session.id,
            "resume_gateway_url": f"ws://{request.host}/gateway",
            "application": {"id": ME["id"], "flags": MESSAGE_CONTENT},
        }
        await self._emit("READY", ready)
        await self._emit("GUILD_CREATE", self._guild())

    async def _resume(self, socket: web.WebSocketResponse, data: dict[str, Any]) -> None:
        session = self._session
        if session is None or session.id != data["session_id"]:
            await socket.send_json({"op": 9, "d": False})
            return
        for event in session.sent[data["seq"] :]:
            await socket.send_json(event)
        session.socket = socket
        self.resumed += 1
        await self._emit("RESUMED", {})

    async def _emit(self, name: str, data: dict[str, Any]) -> None:
        session = self._session
        if session is None:
            return
        event = {"op": 0, "t": name, "s": len(session.sent) + 1, "d": json.loads(json.dumps(data))}
        session.sent.append(event)
        if session.socket is not None:
            try:
                await session.socket.send_json(event)
            except ConnectionError:
                session.socket = None


def _now() -> str:
    return datetime.now(UTC).isoformat()


def _limited(seconds: float) -> web.Response:
    body = json.dumps({"message": "You are being rate limited.", "retry_after": seconds, "global": False})
    # Without "Via" discord.py takes the answer for Cloudflare's.
    headers = {"Content-Type": "application/json", "Via": "1.1 double", "X-RateLimit-Remaining": "0"}
    headers["X-RateLimit-Reset-After"] = str(seconds)
    headers["X-RateLimit-Limit"] = "5"
    return web.Response(status=429, body=body.encode(), headers=headers)


def _reset(request: web.Request) -> web.Response:
    """Cut the connection without an answer."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()
