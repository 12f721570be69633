"""Connections on real sockets: nobody holds one open for ever, and what is no HTTP gets a JSON answer."""

import asyncio
import json
import socket
from typing import Any

import pytest

from engine.http.connections import bind
from tests.engine.conftest import Serve

CHAT = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer night-owl\r\n"


async def send(port: int, *parts: bytes) -> bytes:
    """Send ``parts``, each once something has come for the one before; return all until the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answer = b""
    async with asyncio.timeout(10):
        for part in parts[:-1]:
            writer.write(part)
            answer += await reader.read(65536)
        writer.write(parts[-1])
        answer += await reader.read()
    writer.close()
    return answer


def error_of(answer: bytes) -> dict[str, Any]:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"application/json" in head
    error: dict[str, Any] = json.loads(body)["error"]
    return error


async def healthy(port: int) -> bool:
    answer = await send(port, b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    return answer.startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "half", [b"", b"GET", b"GET /health HTTP/1.1\r\nHost: x\r\n", CHAT + b"X-Slow: 1\r\n"]
)
async def test_half_sent_headers_are_closed_after_their_time(serve: Serve, half: bytes) -> None:
    port = await serve(header_seconds=0.05)
    assert await send(port, half) == b""
    assert await healthy(port)


async def test_headers_that_drip_get_no_more_time_than_others(serve: Serve) -> None:
    port = await serve(header_seconds=0.2)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    closed = asyncio.create_task(reader.read())
    async with asyncio.timeout(10):
        while not closed.done():
            writer.write(b"G")
            await asyncio.wait([closed], timeout=0.02)
    assert closed.done()
    writer.close()


async def test_a_second_request_on_a_kept_connection_has_its_own_time(serve: Serve) -> None:
    port = await serve(header_seconds=0.1)
    answer = await send(port, b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /hea")
    assert answer.count(b"200 OK") == 1


async def test_a_body_that_does_not_come_is_answered_and_closed(serve: Serve) -> None:
    port = await serve(body_seconds=0.05, header_seconds=0.1)
    answer = await send(port, CHAT + b"Content-Length: 100\r\nConnection: close\r\n\r\n{")
    assert answer.startswith(b"HTTP/1.1 408")
    assert "within 0.05 s" in error_of(answer)["message"]


@pytest.mark.parametrize(
    "junk",
    [
        b"\x16\x03\x01\x00\xa5\x01",
        b"HELLO\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\n: :\r\n\r\n",
    ],
)
async def test_what_is_no_http_gets_an_error_in_openais_form(serve: Serve, junk: bytes) -> None:
    port = await serve()
    answer = await send(port, junk)
    assert answer.startswith(b"HTTP/1.0 400") or answer.startswith(b"HTTP/1.1 400")
    assert error_of(answer)["type"] == "invalid_request_error"
    assert await healthy(port)


async def test_a_broken_body_is_the_clients_fault(serve: Serve) -> None:
    port = await serve()
    answer = await send(
        port, CHAT + b"Connection: close\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope"
    )
    assert answer.startswith(b"HTTP/1.1 400")
    assert error_of(answer)["type"] == "invalid_request_error"


def test_a_port_is_taken_at_once_and_for_one_alone() -> None:
    first = bind(0)
    first.listen()
    with pytest.raises(OSError, match="in use"):
        bind(first.getsockname()[1])
    first.close()
    assert isinstance(first, socket.socket)
