"""Whatever is sent to the engine: an answer in OpenAI's form, no fault of its own, and soon."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.computing.forward import forward_of
from engine.computing.lora_bank import read_weights
from engine.generating.generation import Generator
from engine.http.connections import bind
from engine.http.model_service import ModelService, ServedBase
from engine.http.server import make_app, start
from engine.model.loading import choose_placement, load_base, load_tokenizer
from ledger.errors import AdapterError
from tests.fuzz.conftest import FUZZ

pytestmark = pytest.mark.fuzz
CHAT = "/v1/chat/completions"
ENDPOINTS = (
    CHAT,
    "/v1/load_lora_adapter",
    "/v1/unload_lora_adapter",
    "/v1/models",
    "/metrics",
    "/health",
    "/x",
)
SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Engine:
    """A server on the tiny model, in a thread of its own."""

    port: int

    def send(self, data: bytes) -> bytes:
        """Send bytes on a connection of their own and return all that comes back until it is closed."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=SECONDS) as connection:
            answer = b""
            try:
                connection.sendall(data)
                while part := connection.recv(65536):
                    answer += part
            except ConnectionError:
                pass  # refused before all of it was read; what came before that counts
            return answer

    def post(self, path: str, body: bytes) -> tuple[int, bytes]:
        """Post a body with the token; return status and body."""
        head = (
            f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer night-owl\r\nConnection: close\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        return parts(self.send(head.encode() + body))

    def check_health(self) -> None:
        """Ask something ordinary."""
        body = {"model": "base", "messages": [{"role": "user", "content": "where is it?"}], "max_tokens": 3}
        status, text = self.post(CHAT, json.dumps(body).encode())
        assert status == 200, text
        assert json.loads(text)["choices"][0]["finish_reason"]


def parts(answer: bytes) -> tuple[int, bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split(b" ", 2)[1]), body


def check_form(status: int, body: bytes) -> None:
    """Check that an error is the client's and has OpenAI's form."""
    assert status < 500, body
    if status >= 400:
        error = json.loads(body)["error"]
        assert set(error) == {"message", "type", "param", "code"}
        assert isinstance(error["message"], str)
        assert error["message"]


@pytest.fixture(scope="module")
def server(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    tokenizer = load_tokenizer(str(tiny_base))
    model = load_base(str(tiny_base), placement=choose_placement("cpu", "none", "float32"))
    generator = Generator(forward_of(model), tokenizer, stop_ids=frozenset({tokenizer.eos_token_id}))
    adapters = tmp_path_factory.mktemp("adapters")
    loop = asyncio.new_event_loop()
    listener = bind(0)

    async def begin() -> tuple[Any, ModelService]:
        service = ModelService(generator, ServedBase("tiny", "0" * 64, 512, tokenizer), adapters_dir=adapters)
        app = make_app(service, token="night-owl", body_seconds=0.3)
        return (await start(app, listener, header_seconds=0.3))[0], service

    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    runner, service = asyncio.run_coroutine_threadsafe(begin(), loop).result(30)
    generator.start()
    yield Engine(listener.getsockname()[1])
    asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(30)
    generator.close(1)
    service.close()
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


@pytest.fixture
def engine(server: Engine) -> Iterator[Engine]:
    yield server
    server.check_health()


TEXT = st.text(max_size=20) | st.sampled_from(
    ["base", "tiny", "g1-v000001", "\x00", "../..", "a" * 5000, "<|im_end|>"]
)
NUMBERS = (
    st.integers() | st.floats() | st.sampled_from([0, 1, -1, 1e-46, 5e-324, 1e308, 2**63, -(2**63), 0.5])
)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
MESSAGE = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "user", "assistant", "developer"]), "content": TEXT}
)
FIELDS = {
    "temperature": st.floats(0, 2) | NUMBERS,
    "top_p": st.floats(0, 1, exclude_min=True) | NUMBERS,
    "top_k": st.integers(-1, 700) | NUMBERS,
    "min_p": st.floats(0, 1) | NUMBERS,
    "frequency_penalty": st.floats(-2, 2) | NUMBERS,
    "presence_penalty": st.floats(-2, 2) | NUMBERS,
    "repetition_penalty": st.floats(0.01, 100) | NUMBERS,
    "logit_bias": st.dictionaries(st.integers(0, 700).map(str), st.floats(-100, 100), max_size=5) | JSON,
    "min_tokens": st.integers(0, 4) | NUMBERS,
    "seed": st.integers(-(2**63), 2**63 - 1) | NUMBERS,
    "stop": st.lists(st.text(max_size=3), max_size=4) | JSON,
    "stream": st.booleans() | JSON,
    "stream_options": st.just({"include_usage": True}) | JSON,
    "n": st.just(1) | JSON,
    "user": JSON,
    "best_of": JSON,
    "guided_json": JSON,
}


@settings(FUZZ)
@given(st.sampled_from(ENDPOINTS), JSON)
def test_any_json_gets_an_answer_in_the_agreed_form(engine: Engine, path: str, body: Any) -> None:
    check_form(*engine.post(path, json.dumps(body).encode()))


@settings(FUZZ)
@given(
    st.lists(MESSAGE, min_size=1, max_size=4), st.fixed_dictionaries({}, optional=FIELDS), st.integers(1, 4)
)
def test_chats_with_fields_near_and_beyond_their_limits(
    engine: Engine, messages: list[Any], fields: dict[str, Any], most: int
) -> None:
    body = {"model": "base", "messages": messages, "max_tokens": most, **fields}
    status, answer = engine.post(CHAT, json.dumps(body).encode())
    check_form(status, answer)
    if status == 200:
        streamed = answer.startswith(b"data:") or b"data: [DONE]" in answer
        assert b"finish_reason" in answer
        assert b'"error"' not in answer
        assert streamed or json.loads(answer)["choices"]


@settings(FUZZ)
@given(st.sampled_from(ENDPOINTS), st.binary(max_size=200))
def test_any_bytes_as_a_body_get_an_answer_in_the_agreed_form(engine: Engine, path: str, body: bytes) -> None:
    check_form(*engine.post(path, body))


HEADERS = st.lists(
    st.tuples(
        st.sampled_from(
            [b"Content-Length", b"Transfer-Encoding", b"Authorization", b"Content-Encoding", b"Expect", b"X"]
        ),
        st.binary(max_size=12)
        | st.sampled_from([b"5", b"-1", b"chunked", b"gzip", b"100-continue", b"Bearer night-owl"]),
    ),
    max_size=4,
)


@settings(FUZZ)
@given(
    st.sampled_from([b"", b"GET /health HTTP/1.1\r\n", b"POST /v1/models HTTP/1.1\r\n"]),
    HEADERS,
    st.binary(max_size=60),
)
def test_any_bytes_at_all_are_answered_or_closed(
    engine: Engine, line: bytes, headers: list[tuple[bytes, bytes]], rest: bytes
) -> None:
    lines = b"".join(name + b": " + value + b"\r\n" for name, value in headers)
    answer = engine.send(line + lines + b"Connection: close\r\n\r\n" * bool(line) + rest + b"\r\n\r\n")
    answer = answer.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
    if answer:
        assert answer.startswith(b"HTTP/1.")
        check_form(*parts(answer))


@settings(FUZZ)
@given(
    st.binary(max_size=80)
    | JSON.map(lambda value: json.dumps(value).encode())
    | st.fixed_dictionaries(
        {"peft_type": st.just("LORA"), "lora_alpha": NUMBERS | JSON},
        optional={
            "alpha_pattern": st.dictionaries(TEXT, NUMBERS, max_size=3) | JSON,
            "use_rslora": JSON,
            "bias": JSON,
        },
    ).map(lambda value: json.dumps(value).encode()),
)
def test_any_adapter_configuration_is_read_or_refused(random_adapter: Path, config: bytes) -> None:
    (random_adapter / "adapter_config.json").write_bytes(config)
    try:
        weights = read_weights(random_adapter)
    except AdapterError:
        return
    assert weights


@pytest.fixture(scope="module")
def random_adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("adapter")
    name = "base_model.model.model.layers.0.self_attn.q_proj.lora_{}.weight"
    save_file(
        {name.format("A"): torch.ones(2, 64), name.format("B"): torch.ones(64, 2)},
        folder / "adapter_model.safetensors",
    )
    return folder
