"""What the engine's tests share: adapters for the tiny random Llama, and a generator on it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from engine.computing.forward import forward_of
from engine.generating.generation import Generator
from engine.generating.requests import Event, Failed, Finished, TextPiece
from engine.http.connections import bind
from engine.http.model_service import ModelService, ServedBase
from engine.http.server import make_app, start
from engine.model.encoding import stop_marks
from engine.model.loading import choose_placement, load_base, load_tokenizer

Serve = Callable[..., Awaitable[int]]


@pytest.fixture(scope="session")
def make_adapter(tiny_base: Path) -> Callable[..., Path]:
    """Return a function that writes an adapter version with random matrices: (folder, version, seed)."""
    import torch
    from peft import LoraConfig, get_peft_model

    from engine.model.adapter_files import write_manifest
    from engine.model.loading import base_fingerprint

    fingerprint = base_fingerprint(str(tiny_base))

    def make(root: Path, version: str, seed: int, **lora: Any) -> Path:
        base = load_base(str(tiny_base), placement=choose_placement("cpu", "none", "float32"))
        config = {"r": 4, "lora_alpha": 8, "target_modules": "all-linear", **lora}
        model = get_peft_model(base, LoraConfig(task_type="CAUSAL_LM", **config))
        draw = torch.Generator().manual_seed(seed)
        for name, tensor in model.named_parameters():
            if "lora_" in name:
                tensor.data.copy_(torch.randn(tensor.shape, generator=draw) * 0.3)
        path = root / version.split("-")[0].removeprefix("g") / version
        model.save_pretrained(str(path))
        write_manifest(path, version=version, base_fingerprint=fingerprint, base_model=str(tiny_base))
        return path

    return make


class Listener:
    """Collects the events of one request."""

    def __init__(self) -> None:
        self.text = ""
        self.pieces: list[str] = []
        self.end: Finished | Failed | None = None
        self._over = threading.Event()

    def __call__(self, event: Event) -> None:
        if isinstance(event, TextPiece):
            self.text += event.text
            self.pieces.append(event.text)
        else:
            self.end = event
            self._over.set()

    def wait(self) -> str:
        assert self._over.wait(30), "no end after 30 seconds"
        return self.text


@pytest.fixture(scope="session")
def tokenizer(tiny_base: Path) -> Any:
    return load_tokenizer(str(tiny_base))


@pytest.fixture
def start_generator(tiny_base: Path, tokenizer: Any) -> Iterator[Callable[..., Generator]]:
    """Return a function that starts a generator on the tiny model in float32."""
    started: list[Generator] = []

    def start(**options: Any) -> Generator:
        model = load_base(str(tiny_base), placement=choose_placement("cpu", "none", "float32"))
        stop_ids = frozenset(stop_marks(tokenizer)[0])
        started.append(Generator(forward_of(model), tokenizer, stop_ids=stop_ids, **options))
        started[-1].start()
        return started[-1]

    yield start
    for generator in started:
        generator.close(0.0)


@pytest.fixture
async def serve(
    start_generator: Callable[..., Generator], tokenizer: Any, tmp_path: Path
) -> AsyncIterator[Serve]:
    """Return a function that serves the tiny model in this process and gives the port; token "night-owl"."""
    opened: list[tuple[web.AppRunner, ModelService]] = []

    async def begin(*, header_seconds: float = 10.0, body_seconds: float = 10.0, **options: Any) -> int:
        generator = start_generator(**options)
        base = ServedBase("tiny", "0" * 64, 512, tokenizer)
        service = ModelService(generator, base, adapters_dir=tmp_path / "adapters")
        app = make_app(service, token="night-owl", body_seconds=body_seconds)
        listener = bind(0)
        runner, _ = await start(app, listener, header_seconds=header_seconds)
        opened.append((runner, service))
        return int(listener.getsockname()[1])

    yield begin
    for runner, service in opened:
        await runner.cleanup()
        service.close()


def of_its_guild(version: object) -> dict[str, str]:
    """Return the header with which the guild of an adapter version asks; none for the base."""
    match = re.match(r"g(\d+)-v", str(version))
    return {"X-Nightschool-Guild": match[1]} if match else {}


@dataclass(frozen=True, slots=True)
class Running:
    """A real engine process: where it is, its token, and where its adapters lie."""

    url: str
    token: str
    adapters: Path
    process: subprocess.Popen[str]

    def call(self, path: str, body: object = None, **headers: str) -> tuple[int, str]:
        """Send a request with the token, for the guild of the adapter it is about; return status and body."""
        data = None if body is None else json.dumps(body).encode()
        version = (body.get("lora_name") or body.get("model")) if isinstance(body, dict) else None
        headers = {"Authorization": f"Bearer {self.token}", **of_its_guild(version), **headers}
        request = urllib.request.Request(self.url + path, data=data, headers=headers)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def metric(self, name: str) -> int:
        """Return one of the engine's counts."""
        lines = dict(line.split(" ") for line in self.call("/metrics")[1].splitlines())
        return int(lines[f"nightschool_{name}"])


@contextmanager
def engine_process(folder: Path, base: Path | str, **engine: object) -> Iterator[Running]:
    """Start ``python -m engine`` with settings of its own in ``folder``."""
    lines = "".join(f"{name} = {value}\n" for name, value in engine.items())
    config = folder / "config.toml"
    config.write_text(f"[model]\nbase = '{base}'\ndevice = 'cpu'\ndtype = 'float32'\n[engine]\n{lines}")
    environment = {**os.environ, "NIGHTSCHOOL_ENGINE_TOKEN": "night-owl", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "engine", "--config", str(config), "--json", "--port", "0"]
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env=environment,
            text=True,
        ) as process,
    ):
        try:
            assert process.stdout is not None
            ready = json.loads(process.stdout.readline())
            yield Running(ready.get("url", ""), "night-owl", folder / "models" / "adapters", process)
        finally:
            process.kill()
