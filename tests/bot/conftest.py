"""Fixtures of the bot's tests: an engine stand-in, a furnished house, and the real engine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from tests.bot.house import House, RealEngine, StandInEngine, open_house, settings_for, stand_in_engine
from tests.bot.wall_clock import WallClock


@pytest.fixture
async def engine() -> AsyncIterator[StandInEngine]:
    """An engine stand-in on a free port."""
    async with stand_in_engine() as running:
        yield running


@pytest.fixture
async def house(tmp_path: Path, engine: StandInEngine) -> AsyncIterator[House]:
    """A bot at work with the stand-in for its engine."""
    async with open_house(settings_for(tmp_path, engine.url)) as opened:
        yield opened


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> WallClock:
    """The machine's clock as the rounds see it, to be moved."""
    clock = WallClock()
    for module in ("apscheduler.schedulers.base", "bot.rounds"):
        monkeypatch.setattr(f"{module}.datetime", clock.datetime)
    return clock


@pytest.fixture
def script(tmp_path: Path) -> Callable[[str], Path]:
    """Return a function that writes a Python script and gives its path."""

    def write(text: str) -> Path:
        path = tmp_path / "script.py"
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.fixture(scope="session")
def real_engine(tmp_path_factory: pytest.TempPathFactory, tiny_base: Path) -> Iterator[RealEngine]:
    """The engine's own process on the tiny model, with no version loaded."""
    folder = tmp_path_factory.mktemp("engine")
    config = folder / "config.toml"
    config.write_text(f"[model]\nbase = '{tiny_base}'\ndevice = 'cpu'\ndtype = 'float32'\n")
    environment = {**os.environ, "NIGHTSCHOOL_ENGINE_TOKEN": "night-owl", "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [sys.executable, "-m", "engine", "--config", str(config), "--json", "--port", "0"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
    ) as process:
        assert process.stdout is not None
        try:
            ready = json.loads(process.stdout.readline())
            adapters = folder / "models" / "adapters"
            yield RealEngine(ready["url"], "night-owl", tiny_base, adapters, _adapter_writer(tiny_base))
        finally:
            process.kill()


def _adapter_writer(base: Path) -> Callable[..., Path]:
    """Return a function that writes an adapter version with random matrices: (folder, version, seed)."""
    import torch
    from peft import LoraConfig, get_peft_model

    from engine.model.adapter_files import write_manifest
    from engine.model.loading import base_fingerprint, choose_placement, load_base

    fingerprint = base_fingerprint(str(base))

    def write(root: Path, version: str, seed: int) -> Path:
        loaded = load_base(str(base), placement=choose_placement("cpu", "none", "float32"))
        lora = LoraConfig(task_type="CAUSAL_LM", r=4, lora_alpha=8, target_modules="all-linear")
        model = get_peft_model(loaded, lora)
        draw = torch.Generator().manual_seed(seed)
        for name, tensor in model.named_parameters():
            if "lora_" in name:
                tensor.data.copy_(torch.randn(tensor.shape, generator=draw) * 0.3)
        path = root / version.split("-")[0].removeprefix("g") / version
        model.save_pretrained(str(path))
        write_manifest(path, version=version, base_fingerprint=fingerprint, base_model=str(base))
        return path

    return write
