"""The engine over HTTP: what is asked, and what each of its failures becomes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from bot.services import answer_sampling
from bot.serving.engine_client import AT_LIMIT, BASE, Address, AnswerSampling, EngineClient, EngineRefusal
from ledger.errors import AdapterError, EngineBusy, EngineError
from ledger.settings import BotSection
from ledger.talk.prompts import Turn
from tests.bot.house import BASE as BASE_NAME
from tests.bot.house import RealEngine, StandInEngine, served

TURNS: list[Turn] = [{"role": "user", "content": "ann: hello"}]
SAMPLING = AnswerSampling(max_tokens=8, temperature=0.5, top_p=0.9, seed=3)


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None, sock_read=5)) as opened:
        yield opened


@pytest.fixture
def client(session: aiohttp.ClientSession, engine: StandInEngine) -> EngineClient:
    return EngineClient(session, lambda: Address(engine.url, "key", BASE_NAME))


async def answer(client: EngineClient, model: str = BASE) -> str:
    return "".join([piece.text async for piece in client.stream(model, TURNS, SAMPLING, guild_id=7)])


def replies(handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> web.Application:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    return app


async def test_an_answer_is_asked_for_in_openais_form(client: EngineClient, engine: StandInEngine) -> None:
    assert await answer(client) == "Good evening."
    assert engine.asked == [
        {
            "model": BASE_NAME,
            "messages": [{"role": "user", "content": "ann: hello"}],
            "stream": True,
            "max_tokens": 8,
            "temperature": 0.5,
            "top_p": 0.9,
            "seed": 3,
        }
    ]


async def test_a_begun_answer_is_sent_to_be_continued(client: EngineClient, engine: StandInEngine) -> None:
    turns: list[Turn] = [
        {"role": "user", "content": "ann: hello"},
        {"role": "assistant", "content": "Nightschool:"},
    ]
    await client.load("g1-v000001", "/adapters/v1", guild_id=1)
    pieces = [piece async for piece in client.stream("g1-v000001", turns, SAMPLING, guild_id=None)]
    assert "".join(piece.text for piece in pieces) == "Good evening."
    [asked] = engine.asked
    assert asked["messages"] == turns
    assert (asked["add_generation_prompt"], asked["continue_final_message"]) == (False, True)


async def test_the_base_is_asked_in_the_form_that_it_knows(
    client: EngineClient, engine: StandInEngine
) -> None:
    turns: list[Turn] = [
        {"role": "user", "content": "ann: hello"},
        {"role": "assistant", "content": "Nightschool:"},
    ]
    assert [piece async for piece in client.stream(BASE, turns, SAMPLING, guild_id=None)]
    [asked] = engine.asked
    assert asked["messages"] == [{"role": "user", "content": "hello"}]
    assert "continue_final_message" not in asked


async def test_what_draws_is_sent_where_it_changes_something_with_the_stop_sequences(
    client: EngineClient, engine: StandInEngine
) -> None:
    said = replace(
        SAMPLING, top_k=40, min_p=0.1, repetition_penalty=1.2, frequency_penalty=0.3, presence_penalty=0.4
    )
    pieces = client.stream(BASE, TURNS, said, guild_id=7, stop=["\nAnn:", "\nNightschool:"])
    assert "".join([piece.text async for piece in pieces])
    sent = engine.asked[-1]
    assert {name: sent[name] for name in ("top_k", "min_p", "repetition_penalty")} == {
        "top_k": 40,
        "min_p": 0.1,
        "repetition_penalty": 1.2,
    }
    assert (sent["frequency_penalty"], sent["presence_penalty"]) == (0.3, 0.4)
    assert sent["stop"] == ["\nAnn:", "\nNightschool:"]


def test_the_settings_decide_how_answers_are_drawn() -> None:
    bot = BotSection(top_k=9, presence_penalty=0.5)
    said = answer_sampling(bot)
    for name in (
        "temperature",
        "top_p",
        "top_k",
        "min_p",
        "repetition_penalty",
        "frequency_penalty",
        "presence_penalty",
    ):
        assert getattr(said, name) == getattr(bot, name)
    assert said.max_tokens == bot.max_answer_tokens


async def test_key_and_guild_go_into_the_headers_and_the_bases_name_is_the_servers(
    session: aiohttp.ClientSession,
) -> None:
    seen: list[Any] = []

    async def note(request: web.Request) -> web.StreamResponse:
        seen.append((request.headers.get("Authorization"), request.headers.get("X-Nightschool-Guild")))
        return web.Response(text='data: {"choices": []}\n\ndata: [DONE]\n\n')

    async with served(replies(note)) as url:
        await answer(EngineClient(session, lambda: Address(f"{url}/", "secret")))
        await answer(EngineClient(session, lambda: Address(url, "")))
    assert seen == [("Bearer secret", "7"), (None, "7")]


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("data: {\n\n", "cannot be read"),
        ('data: {"error": {"message": "out of memory"}}\n\n', "out of memory"),
        ('data: {"choices": [{"delta": {"content": "half"}}]}\n\n', "broke off"),
        ("", "broke off"),
    ],
)
async def test_an_answer_that_goes_wrong_on_its_way_is_an_error(
    session: aiohttp.ClientSession, body: str, error: str
) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        return web.Response(text=body)

    async with served(replies(handler)) as url:
        with pytest.raises(EngineError, match=error):
            await answer(EngineClient(session, lambda: Address(url, "")))


async def test_an_engine_that_hangs_up_or_is_not_there_cannot_be_reached(
    session: aiohttp.ClientSession,
) -> None:
    async def hang_up(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b'data: {"choices": [{"delta": {"content": "half"}}]}\n\n')
        assert request.transport is not None
        request.transport.abort()
        return response

    async with served(replies(hang_up)) as url:
        with pytest.raises(EngineError, match="cannot be reached"):
            await answer(EngineClient(session, lambda: Address(url, "")))
    with pytest.raises(EngineError, match="cannot be reached"):
        await answer(EngineClient(session, lambda: Address("http://127.0.0.1:9", "")))


async def test_an_engine_that_falls_silent_is_given_up() -> None:
    async def stay_silent(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await asyncio.sleep(60)
        return response

    timeout = aiohttp.ClientTimeout(total=None, sock_read=0.05)
    async with served(replies(stay_silent)) as url, aiohttp.ClientSession(timeout=timeout) as session:
        with pytest.raises(EngineError, match="cannot be reached"):
            await answer(EngineClient(session, lambda: Address(url, "")))


async def test_a_full_queue_and_a_refusal_are_told_apart(client: EngineClient, engine: StandInEngine) -> None:
    engine.answers = [(503, "full"), (404, "no such model"), (400, "too long")]
    with pytest.raises(EngineBusy, match="full"):
        await answer(client)
    for status in (404, 400):
        with pytest.raises(EngineRefusal) as refusal:
            await answer(client)
        assert refusal.value.status == status


@pytest.mark.parametrize("text", ["plain words", "[1]", '{"error": "flat"}', '{"message": "vLLM"}'])
async def test_a_refusal_in_any_form_keeps_its_words(session: aiohttp.ClientSession, text: str) -> None:
    async def refuse(request: web.Request) -> web.StreamResponse:
        return web.Response(status=418, text=text)

    async with served(replies(refuse)) as url:
        with pytest.raises(EngineRefusal) as refusal:
            await answer(EngineClient(session, lambda: Address(url, "")))
    assert refusal.value.detail


async def test_a_version_that_is_loaded_already_is_fine_and_a_refused_one_is_an_adapter_error(
    client: EngineClient, engine: StandInEngine
) -> None:
    await client.load("g7-v000001", "path", guild_id=7)
    engine.refused = {
        "g7-v000002": "The lora adapter 'g7-v000002' has already been loaded.",
        "g7-v000003": "wrong hash",
    }
    await client.load("g7-v000002", "path", guild_id=7)
    with pytest.raises(AdapterError, match="wrong hash"):
        await client.load("g7-v000003", "path", guild_id=7)


async def test_unloading_what_is_not_loaded_is_fine(client: EngineClient, engine: StandInEngine) -> None:
    await client.load("g7-v000001", "path", guild_id=7)
    await client.unload("g7-v000001", guild_id=7)
    await client.unload("g7-v000001", guild_id=7)
    assert await client.models() == [BASE_NAME]


async def test_health_is_known_soon_even_if_the_engine_hangs(
    client: EngineClient, session: aiohttp.ClientSession
) -> None:
    async def hang(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(60)
        return web.Response()

    assert await client.healthy()
    async with served(replies(hang)) as url:
        hanging = EngineClient(session, lambda: Address(url, ""), patience_seconds=0.05)
        assert not await asyncio.wait_for(hanging.healthy(), 2)
    assert not await EngineClient(session, lambda: Address("http://127.0.0.1:9", "")).healthy()


async def test_the_real_engine_streams_refuses_and_knows_its_token(
    session: aiohttp.ClientSession, real_engine: RealEngine
) -> None:
    client = EngineClient(session, lambda: Address(real_engine.url, real_engine.token))
    assert await answer(client) == await answer(client) != ""
    with pytest.raises(EngineRefusal) as refusal:
        await answer(client, "g7-v000009")
    assert refusal.value.status == 404
    with pytest.raises(AdapterError):
        await client.load("g7-v000009", "nowhere", guild_id=7)
    with pytest.raises(EngineRefusal) as refusal:
        await answer(EngineClient(session, lambda: Address(real_engine.url, "guessed")))
    assert refusal.value.status == 401


async def test_the_real_engine_says_that_a_prompt_is_too_long(
    session: aiohttp.ClientSession, real_engine: RealEngine
) -> None:
    client = EngineClient(session, lambda: Address(real_engine.url, real_engine.token))
    turns: list[Turn] = [{"role": "user", "content": "word " * 3000}]
    with pytest.raises(EngineRefusal) as refusal:
        async for _ in client.stream(BASE, turns, SAMPLING, guild_id=None):
            pass
    assert refusal.value.status == 400


async def test_an_answer_says_why_it_ended(client: EngineClient, engine: StandInEngine) -> None:
    engine.finish = "length"
    pieces = [piece async for piece in client.stream(BASE, TURNS, SAMPLING, guild_id=None)]
    assert [piece.finish for piece in pieces] == ["", "", AT_LIMIT]
