"""The demo's page: a small web server on 127.0.0.1 that shows the world in a browser.

    async with Page(world) as page:
        print(page.url)

It serves its own few files, the local Discord's pictures, and one WebSocket per browser
(:mod:`bot.demo.session`). Nobody else may use it: it listens on the loopback interface only, every address
starts with a token made for this start, and it refuses requests under another host name or from another
website's pages. It knows nothing of the bot.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from aiohttp import web

from bot.demo import view
from bot.demo.sample import DEMO_QUESTIONS
from bot.demo.session import Session
from bot.demo.world import World
from ledger.errors import NightschoolError

STATIC = Path(__file__).parent / "static"
KINDS = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
PICTURES = {"image/png", "image/jpeg", "image/gif", "image/webp"}
HEARTBEAT_SECONDS = 20.0

log = logging.getLogger(__name__)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def listen(port: int) -> socket.socket:
    """Return a socket that only this machine can reach; 0 takes any free port.

    The demo takes it before it loads the model, so that nobody waits in vain for a page.

    Raises:
        NightschoolError: another program has the port.
    """
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(("127.0.0.1", port))
        listening.listen()
    except OSError as error:
        listening.close()
        raise NightschoolError(
            f"Port {port} of this machine cannot be used ({error.strerror}); another demo may be running. "
            "Choose another one with --port, or any free one with --port 0."
        ) from error
    return listening


class Page:
    """The page over ``world``; an async context manager that serves it at ``url``."""

    def __init__(
        self,
        world: World,
        *,
        listening: socket.socket | None = None,
        suggestions: Sequence[str] | None = None,
    ) -> None:
        """``listening`` is a socket from :func:`listen`; without one, any free port is taken."""
        self._world = world
        self._listening = listening or listen(0)
        self._port = int(self._listening.getsockname()[1])
        self._suggestions = [q.text for q in DEMO_QUESTIONS] if suggestions is None else list(suggestions)
        self._token = secrets.token_urlsafe(24)
        self._sockets: set[web.WebSocketResponse] = set()
        self._nights: set[asyncio.Task[None]] = set()
        app = web.Application(middlewares=[self._guard])
        app.router.add_get("/{token}/", self._index)
        app.router.add_get("/{token}/ws", self._socket)
        app.router.add_get("/{token}/files/{path:.+}", self._file)
        app.router.add_get("/{token}/{name}", self._static)
        app.on_shutdown.append(self._hang_up)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=2.0)

    @property
    def url(self) -> str:
        """The address to open, token included; valid once the page is entered."""
        return f"http://127.0.0.1:{self._port}/{self._token}/"

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.SockSite(self._runner, self._listening).start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()
        for night in self._nights:
            night.cancel()
        await asyncio.gather(*self._nights, return_exceptions=True)

    # who may come in

    @property
    def _hosts(self) -> tuple[str, str]:
        return f"127.0.0.1:{self._port}", f"localhost:{self._port}"

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse other host names, other websites' pages, and everybody without the token."""
        origin = request.headers.get("Origin")
        if request.host not in self._hosts or origin not in (None, *(f"http://{h}" for h in self._hosts)):
            raise web.HTTPForbidden
        given = request.match_info.get("token", "")
        if not secrets.compare_digest(given.encode(), self._token.encode()):
            raise web.HTTPNotFound
        response = await handler(request)
        if not response.prepared:
            response.headers.update(self._headers())
        return response

    def _headers(self) -> dict[str, str]:
        sockets = " ".join(f"ws://{host}" for host in self._hosts)
        policy = (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
            f"connect-src 'self' {sockets}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        return {
            "Content-Security-Policy": policy,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-store",
        }

    # what they get

    async def _index(self, request: web.Request) -> web.StreamResponse:
        return _static_file("index.html")

    async def _static(self, request: web.Request) -> web.StreamResponse:
        return _static_file(request.match_info["name"])

    async def _file(self, request: web.Request) -> web.StreamResponse:
        url = view.file_url(request.match_info["path"])
        data = self._world.env.backend.cdn.get(url)
        if data is None:
            raise web.HTTPNotFound
        kind = view.content_type(url)
        if kind in PICTURES:
            return web.Response(body=data, content_type=kind)
        return web.Response(
            body=data, content_type="application/octet-stream", headers={"Content-Disposition": "attachment"}
        )

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        if "Origin" not in request.headers:  # browsers always send it, and nothing else has any business here
            raise web.HTTPForbidden
        socket = web.WebSocketResponse(heartbeat=HEARTBEAT_SECONDS)
        await socket.prepare(request)
        self._sockets.add(socket)
        try:
            await Session(self._world, socket, self._suggestions, self._begin_night).run()
        finally:
            self._sockets.discard(socket)
        return socket

    async def _hang_up(self, app: web.Application) -> None:
        for browser in tuple(self._sockets):
            await browser.close()

    def _begin_night(self) -> None:
        """Begin the night as the page's own task: it must outlive the browser that asked for it."""
        night = asyncio.create_task(self._next_night(), name="demo-night")
        self._nights.add(night)
        night.add_done_callback(self._nights.discard)

    async def _next_night(self) -> None:
        try:
            await self._world.next_night()
        except Exception:  # the world says so on the page; the traceback belongs in the log
            log.exception("the demo's night failed")


def _static_file(name: str) -> web.Response:
    path = STATIC / name
    if path.parent != STATIC or path.suffix not in KINDS or not path.is_file():
        raise web.HTTPNotFound
    return web.Response(body=path.read_bytes(), content_type=KINDS[path.suffix], charset="utf-8")


__all__ = ["Page", "listen"]
