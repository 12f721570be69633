"""The HTTP server: OpenAI's chat completions and vLLM's adapter calls, on this machine alone.

Started by ``python -m engine``. Its border: HTTP to events and back. It binds to 127.0.0.1, asks for
a token on everything but ``/health``, and logs counts and times, never what anybody wrote.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import socket
import time
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
from aiohttp import web

from engine.generating.requests import Failed, Finished, TextPiece
from engine.http.connections import BODY_SECONDS, HEADER_SECONDS, Site
from engine.http.model_service import CHARACTERS_A_TOKEN, OWNER_HEADER, Flow, ModelService
from engine.http.protocol import (
    ChatRequest,
    Completion,
    LoadRequest,
    RequestRefused,
    UnloadRequest,
    parse,
    sse,
    usage,
)

log = logging.getLogger(__name__)

BYTES_A_CHARACTER = 6
"""Bytes that JSON spends on one character at most, rare ones aside: \\u0000."""
SMALL_BODY_BYTES = 256 * 1024
_SERVICE: web.AppKey[ModelService] = web.AppKey("service", ModelService)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def make_app(service: ModelService, *, token: str, body_seconds: float = BODY_SECONDS) -> web.Application:
    """Return the application that serves ``service`` to whoever knows ``token``."""
    # A body larger than the largest prompt that fits cannot be answered, so it need not be read.
    longest = service.base.context_tokens * CHARACTERS_A_TOKEN * BYTES_A_CHARACTER
    app = web.Application(
        client_max_size=max(longest, SMALL_BODY_BYTES),
        # In this order: whatever the inner ones raise becomes an answer in OpenAI's form, and nobody without
        # the token gets their body read.
        middlewares=[_refusals, _guard(token), _whole_body(body_seconds)],
    )
    app[_SERVICE] = service
    app.add_routes(
        [
            web.get("/health", _health),
            web.get("/metrics", _metrics),
            web.get("/v1/models", _models),
            web.post("/v1/chat/completions", _chat),
            web.post("/v1/load_lora_adapter", _load),
            web.post("/v1/unload_lora_adapter", _unload),
        ]
    )
    return app


async def start(
    app: web.Application, listener: socket.socket, *, header_seconds: float = HEADER_SECONDS
) -> tuple[web.AppRunner, str]:
    """Serve ``app`` on a bound socket; return the runner to clean up and the URL."""
    # A client that hangs up cancels its handler, which closes the flow and so frees the row in the batch.
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=2.0)
    await runner.setup()
    await Site(runner, listener, header_seconds=header_seconds).start()
    host, port = listener.getsockname()
    return runner, f"http://{host}:{port}"


@web.middleware
async def _refusals(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every refusal, aiohttp's own included, into OpenAI's form."""
    try:
        return await handler(request)
    except RequestRefused as refusal:
        return _refuse(refusal)
    except web.HTTPRequestEntityTooLarge:
        return _refuse(
            RequestRefused(413, f"The request is larger than {request.app._client_max_size // 1024} KiB.")
        )
    except web.HTTPException as error:
        return _refuse(
            RequestRefused(error.status, f"{error.reason}: {request.method} {request.path[:200]}.")
        )
    except ConnectionError:
        raise  # the client is gone: there is nobody to answer
    except Exception as error:  # our own fault: one request fails, in the form that clients know
        log.exception("a request failed (%s)", type(error).__name__)
        return _refuse(RequestRefused(500, "The engine failed at this request; see its log."))


def _refuse(refusal: RequestRefused) -> web.Response:
    # OpenAI's client obeys this header and tries again by itself.
    headers = {"Retry-After": "1"} if refusal.status == 503 else {}
    return web.json_response(refusal.body(), status=refusal.status, headers=headers)


def _guard(token: str) -> Any:
    expected = f"Bearer {token}".encode()

    @web.middleware
    async def check_token(request: web.Request, handler: Handler) -> web.StreamResponse:
        given = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
        # compare_digest takes as long for a token that is nearly right as for one that is all wrong.
        if request.path != "/health" and not hmac.compare_digest(given, expected):
            raise RequestRefused(401, "The token is missing or wrong.", code="invalid_api_key")
        return await handler(request)

    return check_token


def _whole_body(seconds: float) -> Any:
    @web.middleware
    async def read_body(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            async with asyncio.timeout(seconds):
                await request.read()  # aiohttp keeps it, so that read() in the handlers returns at once
        except TimeoutError:
            raise RequestRefused(408, f"The request's body did not come within {seconds:g} s.") from None
        except (web.RequestPayloadError, aiohttp.ClientPayloadError, ValueError) as error:
            raise RequestRefused(400, f"The request's body is broken ({type(error).__name__}).") from error
        return await handler(request)

    return read_body


async def _health(_: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})


async def _metrics(request: web.Request) -> web.Response:
    """Return counts in Prometheus' text form."""
    generator = request.app[_SERVICE].generator
    running, waiting = generator.load
    counts = {
        "num_requests_running": running,
        "num_requests_waiting": waiting,
        "num_adapters_loaded": generator.loaded,
        "prompt_tokens_total": generator.tokens_read,
        "generation_tokens_total": generator.tokens_written,
    }
    return web.Response(text="".join(f"nightschool_{name} {count}\n" for name, count in counts.items()))


async def _models(request: web.Request) -> web.Response:
    return web.json_response({"object": "list", "data": request.app[_SERVICE].models()})


async def _load(request: web.Request) -> web.Response:
    body = parse(LoadRequest, await request.read())
    await request.app[_SERVICE].load(body.lora_name, body.lora_path, request.headers.get(OWNER_HEADER))
    log.info("loaded %s", body.lora_name)
    return web.Response(text=f"Success: LoRA adapter '{body.lora_name}' added successfully.")


async def _unload(request: web.Request) -> web.Response:
    body = parse(UnloadRequest, await request.read())
    gone = await request.app[_SERVICE].unload(body.lora_name, request.headers.get(OWNER_HEADER))
    log.info("unloaded %s%s", body.lora_name, "" if gone else ", once its last answers are written")
    return web.Response(text=f"Success: LoRA adapter '{body.lora_name}' removed successfully.")


async def _chat(request: web.Request) -> web.StreamResponse:
    service = request.app[_SERVICE]
    asked = parse(ChatRequest, await request.read())
    adapter = service.adapter_of(asked.model, request.headers.get(OWNER_HEADER))
    began = time.monotonic()
    flow = await service.answer(asked, adapter)
    try:
        if asked.stream:
            return await _stream(request, asked, flow, began)
        return await _whole(asked, flow, began)
    finally:
        flow.close()


async def _whole(asked: ChatRequest, flow: Flow, began: float) -> web.Response:
    text: list[str] = []
    async for event in flow:
        if isinstance(event, TextPiece):
            text.append(event.text)
        elif isinstance(event, Finished):
            _note(asked, event, began)
            counts = usage(event.prompt_tokens, event.completion_tokens)
            return web.json_response(Completion(asked.model).whole("".join(text), event.reason, counts))
        else:
            raise RequestRefused(500, str(event.error))
    raise RequestRefused(500, "The answer broke off.")


async def _stream(request: web.Request, asked: ChatRequest, flow: Flow, began: float) -> web.StreamResponse:
    response = web.StreamResponse(
        headers={"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache"}
    )
    await response.prepare(request)
    completion = Completion(asked.model)
    counted = asked.stream_options is not None and asked.stream_options.include_usage
    # OpenAI's streams begin with the role and no text.
    await response.write(completion.chunk({"role": "assistant", "content": ""}, usage=counted))
    async for event in flow:
        if isinstance(event, TextPiece):
            await response.write(completion.chunk({"content": event.text}, usage=counted))
        elif isinstance(event, Failed):
            # The status went out with the first byte. OpenAI's clients raise on an event with an error.
            await response.write(sse(RequestRefused(500, str(event.error)).body()))
        else:
            _note(asked, event, began)
            await response.write(completion.chunk({}, event.reason, usage=counted))
            if counted:
                counts = usage(event.prompt_tokens, event.completion_tokens)
                await response.write(completion.usage_chunk(counts))
    await response.write(sse("[DONE]"))
    await response.write_eof()
    return response


def _note(asked: ChatRequest, end: Finished, began: float) -> None:
    seconds = time.monotonic() - began
    log.info(
        "%s read %d and wrote %d tokens in %.2f s (%s)",
        asked.model,
        end.prompt_tokens,
        end.completion_tokens,
        seconds,
        end.reason,
    )
