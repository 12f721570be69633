"""A real engine process on the tiny model, asked by OpenAI's own client."""

import asyncio
import itertools
import json
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from safetensors.torch import load_file, save_file

from engine.model.adapter_files import write_manifest
from tests.engine.conftest import Running, engine_process, of_its_guild

FIRST, SECOND = "g1-v000001", "g2-v000001"
Adapters = Callable[..., Path]


@pytest.fixture(scope="module")
def engine(
    tiny_base: Path, make_adapter: Adapters, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    with engine_process(
        tmp_path_factory.mktemp("engine"), tiny_base, context_tokens=512, max_batch=8
    ) as running:
        for name, seed in ((FIRST, 1), (SECOND, 2)):
            path = make_adapter(running.adapters, name, seed)
            status, body = running.call("/v1/load_lora_adapter", {"lora_name": name, "lora_path": str(path)})
            assert status == 200, body
        yield running


@pytest.fixture
def client(engine: Running) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{engine.url}/v1", api_key=engine.token, max_retries=0) as opened:
        yield opened


@pytest.fixture
async def talking(engine: Running) -> AsyncIterator[openai.AsyncOpenAI]:
    """A client for many at once; left open, its sockets would trouble the loop of a later test."""
    async with openai.AsyncOpenAI(base_url=f"{engine.url}/v1", api_key=engine.token, max_retries=0) as client:
        yield client


def question(text: str = "where is the umbrella?") -> list[Any]:
    return [{"role": "system", "content": "You are Owl."}, {"role": "user", "content": text}]


def ask(client: openai.OpenAI, model: str = "base", text: str = "where is it?", **options: Any) -> Any:
    settings = {"max_tokens": 16, "temperature": 0, "extra_headers": of_its_guild(model), **options}
    return client.chat.completions.create(model=model, messages=question(text), **settings)


def test_openais_client_gets_a_whole_answer(client: openai.OpenAI) -> None:
    answer = ask(client)
    assert answer.object == "chat.completion"
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason in ("length", "stop")
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer.usage.completion_tokens <= 16


def test_a_begun_answer_is_read_without_the_mark_of_a_new_one(client: openai.OpenAI) -> None:
    begun = [*question(), {"role": "assistant", "content": "Nightschool: under"}]
    flags = {"add_generation_prompt": False, "continue_final_message": True}
    options: dict[str, Any] = {"model": "base", "max_tokens": 4, "temperature": 0}
    anew = client.chat.completions.create(messages=begun, **options)
    going_on = client.chat.completions.create(messages=begun, extra_body=flags, **options)
    # Without the end mark with its line break, and without the marker of a new answer.
    assert going_on.usage.prompt_tokens < anew.usage.prompt_tokens
    assert not str(going_on.choices[0].message.content).startswith("Nightschool")
    with pytest.raises(openai.BadRequestError, match="continue_final_message"):
        client.chat.completions.create(messages=question(), extra_body=flags, **options)


def test_a_stream_says_the_same_in_pieces_with_role_reason_and_usage(client: openai.OpenAI) -> None:
    whole = ask(client, FIRST)
    chunks = list(ask(client, FIRST, stream=True, stream_options={"include_usage": True}))
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(c.choices[0].delta.content or "" for c in chunks[:-1]) == whole.choices[0].message.content
    assert chunks[-2].choices[0].finish_reason == whole.choices[0].finish_reason
    assert chunks[-1].choices == []
    assert chunks[-1].usage == whole.usage
    assert all(chunk.usage is None for chunk in chunks[:-1])
    assert len({chunk.id for chunk in chunks}) == 1


def test_a_stream_without_usage_ends_with_its_reason(client: openai.OpenAI) -> None:
    chunks = list(ask(client, stream=True))
    assert [bool(chunk.choices[0].finish_reason) for chunk in chunks] == [False] * (len(chunks) - 1) + [True]


def test_a_stop_sequence_and_a_seed_work_over_http(client: openai.OpenAI) -> None:
    text = ask(client).choices[0].message.content
    stop = text[3:6]
    stopped = ask(client, stop=[stop]).choices[0]
    assert stopped.message.content == text[: text.index(stop)]
    assert stopped.finish_reason == "stop"
    draws = {ask(client, temperature=1.0, top_p=0.9, seed=4).choices[0].message.content for _ in range(2)}
    assert len(draws) == 1


async def test_eight_at_once_on_two_adapters_each_get_their_own_answer(
    client: openai.OpenAI, talking: openai.AsyncOpenAI
) -> None:
    asked = [(model, f"question {n} about owls") for n in range(4) for model in (FIRST, SECOND)]
    alone = [ask(client, model, text, max_tokens=24).choices[0].message.content for model, text in asked]
    answers = await asyncio.gather(
        *(
            talking.chat.completions.create(
                model=model,
                messages=question(text),
                max_tokens=24,
                temperature=0,
                extra_headers=of_its_guild(model),
            )
            for model, text in asked
        )
    )
    assert [answer.choices[0].message.content for answer in answers] == alone
    assert len(set(alone)) == 8


def test_the_models_are_listed_as_vllm_lists_them(client: openai.OpenAI, tiny_base: Path) -> None:
    cards = {card.id: card for card in client.models.list()}
    assert {"base", str(tiny_base), FIRST, SECOND} <= set(cards)
    assert cards[FIRST].model_extra["parent"] == str(tiny_base)
    assert cards[FIRST].model_extra["root"].endswith(FIRST)
    assert cards["base"].model_extra["parent"] is None
    assert cards["base"].model_extra["max_model_len"] == 512


@pytest.mark.parametrize("token", ["wrong", "", "night-ow", "night-owlx"])
def test_a_wrong_token_is_refused_everywhere(engine: Running, token: str) -> None:
    for path in ("/v1/models", "/metrics", "/v1/nothing"):
        status, body = engine.call(path, Authorization=f"Bearer {token}")
        assert status == 401
        assert json.loads(body)["error"]["code"] == "invalid_api_key"
    wrong = openai.OpenAI(base_url=f"{engine.url}/v1", api_key=token or "none", max_retries=0)
    with pytest.raises(openai.AuthenticationError):
        wrong.models.list()


def test_health_needs_no_token_and_tells_nothing(engine: Running) -> None:
    assert engine.call("/health", Authorization="") == (200, '{"status": "ok"}')


def test_only_this_machine_can_connect(engine: Running) -> None:
    assert engine.url.startswith("http://127.0.0.1:")


def test_an_adapter_is_only_for_its_own_guild(engine: Running, client: openai.OpenAI) -> None:
    ask(client, FIRST, extra_headers={"X-Nightschool-Guild": "1"})
    ask(client, "base", extra_headers={"X-Nightschool-Guild": "1"})
    with pytest.raises(openai.PermissionDeniedError, match="another server"):
        ask(client, FIRST, extra_headers={"X-Nightschool-Guild": "2"})
    header = {"X-Nightschool-Guild": "2"}
    assert engine.call("/v1/unload_lora_adapter", {"lora_name": FIRST}, **header)[0] == 403


def test_who_does_not_say_for_which_guild_they_ask_gets_the_base_alone(client: openai.OpenAI) -> None:
    ask(client, "base", extra_headers={})
    with pytest.raises(openai.PermissionDeniedError, match="X-Nightschool-Guild"):
        ask(client, FIRST, extra_headers={})


def test_a_prompt_that_is_too_long_is_refused_with_openais_code(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="maximum context length is 512") as caught:
        ask(client, text="owl " * 600)
    assert caught.value.code == "context_length_exceeded"


def test_an_unknown_model_is_not_found(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError):
        ask(client, "g9-v000009")


@pytest.mark.parametrize(
    "change",
    [
        {"temperature": 9},
        {"n": 2},
        {"messages": []},
        {"messages": [{"role": "wizard", "content": "a"}]},
        {"logprobs": True},
        {"max_tokens": 0},
        {"top_p": 0},
        {"temperature": float("nan")},
        {"top_k": -2},
        {"min_p": 1.5},
        {"frequency_penalty": 2.1},
        {"presence_penalty": -2.1},
        {"repetition_penalty": 0},
        {"logit_bias": {"5": 101}},
        {"logit_bias": {"99999999": 1}},
        {"seed": 2**63},
        {"stop": [""]},
        {"min_tokens": 5, "max_tokens": 4},
        {"best_of": 2},
        {"echo": True},
        {"ignore_eos": True},
        {"guided_json": {}},
        {"tools": [{}]},
        {"anything": None},
    ],
)
def test_what_is_wrong_or_unsupported_is_refused_by_its_name(engine: Running, change: dict[str, Any]) -> None:
    body = {"model": "base", "messages": question("a secret"), **change}
    status, text = engine.call("/v1/chat/completions", body)
    assert status == 400
    error = json.loads(text)["error"]
    assert next(iter(change)) in error["message"]
    assert error["param"].split(".")[0] == next(iter(change))
    assert error["type"] == "invalid_request_error"
    assert "a secret" not in text


def test_everything_that_draws_is_taken_and_so_is_what_changes_nothing(client: openai.OpenAI) -> None:
    extra = {
        "top_k": 20,
        "min_p": 0.05,
        "repetition_penalty": 1.2,
        "min_tokens": 3,
        "echo": False,
        "best_of": 1,
    }
    answer = ask(
        client,
        temperature=0.7,
        top_p=0.9,
        frequency_penalty=0.3,
        presence_penalty=0.1,
        logit_bias={"40": -100},
        seed=3,
        stop=None,
        n=1,
        user="somebody",
        extra_body=extra,
    )
    assert answer.usage.completion_tokens >= 3


def test_a_penalty_changes_what_is_said(client: openai.OpenAI) -> None:
    plain = ask(client, max_tokens=40).choices[0].message.content
    assert ask(client, max_tokens=40, frequency_penalty=2).choices[0].message.content != plain


def test_the_smallest_top_p_is_an_answer_and_the_engine_lives(engine: Running, client: openai.OpenAI) -> None:
    assert ask(client, temperature=1, top_p=1e-46).choices[0].message.content
    assert engine.call("/health")[0] == 200


@pytest.mark.parametrize("path", ["a\x00b", "x" * 4000, "/".join(["d"] * 2000), "..", "", "\x00"])
def test_a_path_that_cannot_be_is_refused(engine: Running, path: str) -> None:
    status, text = engine.call("/v1/load_lora_adapter", {"lora_name": "g1-v000055", "lora_path": path})
    assert status in (400, 404)
    assert json.loads(text)["error"]["param"] == "lora_path"


def test_a_prompt_far_beyond_the_context_is_refused_before_it_is_encoded(
    engine: Running, client: openai.OpenAI
) -> None:
    read = engine.metric("prompt_tokens_total")
    with pytest.raises(openai.BadRequestError, match="characters, far more than fit") as caught:
        ask(client, text="owl " * 5000)
    assert caught.value.code == "context_length_exceeded"
    assert engine.metric("prompt_tokens_total") == read


def test_a_body_that_is_no_json_or_too_large_is_refused(engine: Running) -> None:
    assert engine.call("/v1/chat/completions", "no object")[0] == 400
    assert engine.call("/v1/chat/completions", {"model": "x" * 2_000_000})[0] == 413
    assert engine.call("/v1/nothing")[0] == 404


def test_loading_what_is_loaded_already_is_vllms_error(engine: Running) -> None:
    path = engine.adapters / "1" / FIRST
    status, text = engine.call("/v1/load_lora_adapter", {"lora_name": FIRST, "lora_path": str(path)})
    assert status == 400
    assert "has already been loaded" in text


def test_bad_adapters_are_refused_with_the_reason(
    engine: Running, make_adapter: Adapters, tmp_path: Path
) -> None:
    def load(name: str, path: Path | str) -> tuple[int, str]:
        return engine.call("/v1/load_lora_adapter", {"lora_name": name, "lora_path": str(path)})

    altered = make_adapter(engine.adapters, "g1-v000007", 3)
    weights = altered / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x00")
    foreign = make_adapter(engine.adapters, "g1-v000008", 3)
    manifest = json.loads((foreign / "manifest.json").read_text())
    (foreign / "manifest.json").write_text(json.dumps({**manifest, "base_fingerprint": "0" * 64}))
    outside = make_adapter(tmp_path, "g1-v000009", 3)
    (engine.adapters / "link").symlink_to(outside)
    broken = make_adapter(engine.adapters, "g1-v000011", 3)
    config = json.loads((broken / "adapter_config.json").read_text())
    (broken / "adapter_config.json").write_text(json.dumps({**config, "lora_alpha": "junk"}))
    seal(broken, "g1-v000011")
    endless = make_adapter(engine.adapters, "g1-v000012", 3)
    weights = endless / "adapter_model.safetensors"
    tensors = load_file(weights)
    next(iter(tensors.values()))[0, 0] = float("inf")
    save_file(tensors, weights)
    seal(endless, "g1-v000012")
    deep = make_adapter(engine.adapters, "g1-v000013", 3)
    (deep / "manifest.json").write_text("[" * 100_000)
    for status, reason, (got, text) in (
        (400, "adapter_config.json that cannot be used (lora_alpha)", load("g1-v000011", broken)),
        (400, "no finite numbers", load("g1-v000012", endless)),
        (400, "cannot be read (RecursionError)", load("g1-v000013", deep)),
        (400, "was altered", load("g1-v000007", altered)),
        (400, "another base model", load("g1-v000008", foreign)),
        (400, "outside", load("g1-v000009", outside)),
        (400, "outside", load("g1-v000009", engine.adapters / "link")),
        (400, "outside", load("g1-v000009", "../../../etc")),
        (404, "no adapter", load("g1-v000010", engine.adapters / "1" / "g1-v000010")),
        (400, "holds the version", load("g3-v000001", engine.adapters / "2" / SECOND)),
    ):
        assert (got, reason in text) == (status, True), text
    assert engine.metric("num_adapters_loaded") == 2


def seal(path: Path, version: str) -> None:
    """Write the manifest of an adapter that was changed, as if it had been made so."""
    fingerprint = json.loads((path / "manifest.json").read_text())["base_fingerprint"]
    write_manifest(path, version=version, base_fingerprint=fingerprint)


def test_unloading_what_is_not_loaded_is_not_found(engine: Running) -> None:
    assert engine.call("/v1/unload_lora_adapter", {"lora_name": "g9-v000001"})[0] == 404


async def running(engine: Running, count: int) -> None:
    """Wait until so many requests generate."""
    async with asyncio.timeout(10):
        while await asyncio.to_thread(engine.metric, "num_requests_running") != count:
            await asyncio.sleep(0)


@pytest.mark.parametrize("streamed", [True, False])
async def test_a_client_that_hangs_up_frees_its_row(
    engine: Running, talking: openai.AsyncOpenAI, streamed: bool
) -> None:
    written = engine.metric("generation_tokens_total")
    call = asyncio.create_task(
        talking.chat.completions.create(
            model="base", messages=question(), max_tokens=450, temperature=0, stream=streamed
        )
    )
    await running(engine, 1)
    if streamed:
        stream = await call
        assert isinstance(stream, openai.AsyncStream)
        await stream.close()
    else:
        call.cancel()
    await running(engine, 0)
    assert engine.metric("generation_tokens_total") - written < 450


async def test_twenty_swaps_under_load_fail_no_request_and_leave_nothing_behind(
    engine: Running, make_adapter: Adapters, talking: openai.AsyncOpenAI
) -> None:
    names = [f"g5-v{number:06d}" for number in range(1, 22)]
    paths = {name: make_adapter(engine.adapters, name, seed) for seed, name in enumerate(names)}
    before = engine.metric("num_adapters_loaded")
    route: list[str] = []
    answered: list[str] = []
    most_loaded = 0

    async def load(name: str) -> None:
        body = {"lora_name": name, "lora_path": str(paths[name])}
        status, text = await asyncio.to_thread(engine.call, "/v1/load_lora_adapter", body)
        assert status == 200, text
        route.append(name)

    async def talk(number: int) -> None:
        while len(route) < len(names):
            name = route[-1]
            answer = await talking.chat.completions.create(
                model=name,
                messages=question(f"member {number}"),
                max_tokens=30,
                temperature=0,
                extra_headers=of_its_guild(name),
            )
            assert answer.usage is not None
            answered.append(name)

    await load(names[0])
    talkers = [asyncio.create_task(talk(number)) for number in range(6)]
    for old, new in itertools.pairwise(names):
        heard = len(answered)
        await load(new)
        while len(answered) < heard + 6 and not any(task.done() for task in talkers):
            await asyncio.sleep(0.005)  # the requests that were routed to the old one have been sent
        status, text = await asyncio.to_thread(engine.call, "/v1/unload_lora_adapter", {"lora_name": old})
        assert status == 200, text
        most_loaded = max(most_loaded, await asyncio.to_thread(engine.metric, "num_adapters_loaded"))
    await asyncio.gather(*talkers)
    assert len(set(answered)) >= 20
    assert most_loaded <= before + 2
    assert engine.call("/v1/unload_lora_adapter", {"lora_name": names[-1]})[0] == 200
    assert engine.metric("num_adapters_loaded") == before


def test_no_text_of_anybody_reaches_the_log(engine: Running, client: openai.OpenAI) -> None:
    ask(client, text="xylophone secret")
    log = (engine.adapters.parents[1] / "log").read_text()
    assert "base read" in log
    assert "xylophone" not in log


def test_the_queue_is_bounded_and_says_so(tiny_base: Path, tmp_path: Path) -> None:
    with engine_process(tmp_path, tiny_base, context_tokens=512, max_batch=1, max_waiting=1) as running:
        body = json.dumps({"model": "base", "messages": question(), "max_tokens": 400, "temperature": 0})
        head = (
            "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer night-owl\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        port = int(running.url.rsplit(":", 1)[1])
        sockets = [socket.create_connection(("127.0.0.1", port)) for _ in range(2)]
        for connection in sockets:
            connection.sendall((head + body).encode())
        client = openai.OpenAI(base_url=f"{running.url}/v1", api_key="night-owl", max_retries=0)
        while running.metric("num_requests_waiting") + running.metric("num_requests_running") < 2:
            pass
        with pytest.raises(openai.InternalServerError, match="wait already") as caught:
            ask(client)
        assert caught.value.status_code == 503
        for connection in sockets:
            connection.close()
