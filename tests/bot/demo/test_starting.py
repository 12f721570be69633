"""``python -m bot demo`` from its first line: the port, what is no port, and how a night is told."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from bot.__main__ import main
from bot.demo import night_progress as progress
from bot.demo import play as play_module
from bot.demo.page import listen
from bot.nights.trainer_process import STAGES, Night
from ledger.settings import Settings


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A settings file beside a small model that may not be loaded."""
    model = tmp_path / play_module.SMALL_MODEL
    model.mkdir(parents=True)
    (model / "config.json").write_text("{}")

    def forbidden(*arguments: object) -> None:
        raise AssertionError("the demo began to load")

    monkeypatch.setattr(play_module, "_open", forbidden)
    path = tmp_path / "config.toml"
    path.write_text("")
    return path


def test_a_taken_port_is_told_before_the_model_loads(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["demo", "--config", str(config), "--port", str(port)]) == 1
    told = capsys.readouterr().err
    assert told.startswith(f"Port {port} of this machine cannot be used (Address already in use)")
    assert "--port" in told
    assert "Traceback" not in told


@pytest.mark.parametrize("port", ["70000", "-1", "eighty"])
def test_what_is_no_port_is_a_mistake_of_usage(
    config: Path, capsys: pytest.CaptureFixture[str], port: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["demo", "--config", str(config), f"--port={port}"])
    assert ended.value.code == 2
    assert "a port is a number from 0 to 65535" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_however_the_demo_is_ended_its_folder_goes(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: signal.Signals
) -> None:
    folders: list[Path] = []

    @asynccontextmanager
    async def opened(settings: Settings, path: Path, *, compares: bool) -> AsyncIterator[None]:
        folders.append(path.parent)
        assert path.is_file()
        assert compares
        os.kill(os.getpid(), number)
        await asyncio.Event().wait()
        yield

    monkeypatch.setattr(play_module, "_open", opened)
    assert main(["demo", "--config", str(config), "--port", "0"]) == 0
    assert capsys.readouterr().err.endswith("Stopped.\n")
    [folder] = folders
    assert not folder.exists()


def test_a_port_that_was_just_left_can_be_taken_again_and_listens_on_this_machine_alone() -> None:
    with listen(0) as first:
        host, port = first.getsockname()
    with listen(port) as second:
        assert second.getsockname() == ("127.0.0.1", port)
        assert host == "127.0.0.1"


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ({}, "The night begins"),
        ({"stage": "prepare", "step": 1, "steps": 1}, "Choosing what to learn from"),
        (
            {"stage": "fit", "step": 4, "steps": 164, "loss": 4.279, "eta_seconds": 400.0},
            "Learning, 4 of 164, loss 4.28, about 7 min left in this stage",
        ),
        ({"stage": "evaluate", "step": 2, "steps": 80}, "The exam, on talks that it never read, 2 of 80"),
    ],
)
def test_a_nights_progress_is_told_in_words(facts: dict[str, Any], told: str) -> None:
    night = Night(1, "test", datetime(2026, 1, 1, tzinfo=UTC), **facts)
    assert progress.progress_text(night) == told


def test_every_stage_of_a_night_has_words() -> None:
    assert set(progress.STAGES) == {"waiting", *STAGES}
