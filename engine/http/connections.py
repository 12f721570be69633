"""One client's connection: errors in OpenAI's form even before there is a request, and time limits.

Imported, not run. Its border: bytes and time-outs; what they ask for is the server's business. aiohttp
3.14 waits for ever for the rest of half-sent headers, and answers what is not HTTP with plain text.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import Any

from aiohttp import StreamReader, web

from engine.http.protocol import RequestRefused

HOST = "127.0.0.1"
HEADER_SECONDS = 10.0
"""How long a request's headers may take, and how long a connection may stay silent before its first."""
BODY_SECONDS = 30.0
"""How long a request's body may take: a megabyte on a slow line; the clients are on this machine."""
KEPT_SECONDS = 75.0
"""How long a connection waits for its next request: longer than clients do (aiohttp: 15 s), so that it is
the client who closes and never sends into a connection that is just being closed."""
LINGERING_SECONDS = 2.0
"""How long the rest of a refused request is read: closed at once, TCP would drop the answer with it."""

_quiet = logging.getLogger("engine.connection")
_quiet.setLevel(logging.CRITICAL)  # what strangers send is not our error, and may hold somebody's words


class Connection(web.RequestHandler):
    """aiohttp's handler of a connection, with a time limit on headers and errors as JSON."""

    # aiohttp's handler has slots and no __dict__, so new attributes need slots, too.
    __slots__ = ("_body", "_header_seconds", "_limit")

    def __init__(self, server: web.Server, *, header_seconds: float, **options: Any) -> None:
        super().__init__(
            server,
            logger=_quiet,
            access_log=_quiet,
            keepalive_timeout=KEPT_SECONDS,
            lingering_time=min(header_seconds, LINGERING_SECONDS),
            **options,
        )
        self._header_seconds = header_seconds
        self._limit: asyncio.TimerHandle | None = None
        self._body: StreamReader | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._wait_for_headers()

    def data_received(self, data: bytes) -> None:
        before = self._request_count
        in_body = self._body is not None and not self._body.is_eof()
        super().data_received(data)
        if self._request_count > before:
            self._headers_came()
            self._body = self._messages[-1][1] if self._messages else None
        elif self._limit is None and not in_body:
            self._wait_for_headers()  # the beginning of the next request on a connection that is kept

    def connection_lost(self, exc: BaseException | None) -> None:
        self._headers_came()
        super().connection_lost(exc)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Return the answer to bytes that are no request; it never quotes them."""
        if request.writer is not None and request.writer.output_size > 0:
            raise ConnectionError("an answer is under way already")
        text = "This is no HTTP request." if status < 500 else "The engine failed; see its log."
        response = web.json_response(RequestRefused(status, text).body(), status=status)
        response.force_close()
        return response

    def _wait_for_headers(self) -> None:
        loop = asyncio.get_running_loop()
        self._limit = loop.call_later(self._header_seconds, self._give_up)

    def _headers_came(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None

    def _give_up(self) -> None:
        self._limit = None
        if self._current_request is None and not self._messages:
            self.force_close()
        else:
            self._wait_for_headers()  # the previous request is still being answered


def bind(port: int) -> socket.socket:
    """Take a port on this machine, before minutes go into loading a model that nobody could then reach.

    Raises:
        OSError: it is taken, or needs rights that this process lacks.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
    except OSError:
        listener.close()
        raise
    return listener


class Site(web.SockSite):
    """Serves a bound socket, with a :class:`Connection` for each client."""

    def __init__(self, runner: web.AppRunner, listener: socket.socket, *, header_seconds: float) -> None:
        super().__init__(runner, listener)
        self._header_seconds = header_seconds

    async def start(self) -> None:
        """Begin to listen."""
        await web.BaseSite.start(self)
        server = self._runner.server
        if server is None:
            raise RuntimeError("the runner has to be set up first")
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: Connection(server, loop=loop, header_seconds=self._header_seconds), sock=self._sock
        )
