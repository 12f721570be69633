"""``python -m bot demo`` from its first line: the port, what is no port, and however it ends."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bot.__main__ import main
from bot.demo import play as play_module
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


def test_a_taken_port_is_reported_before_the_model_loads(
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
