"""``python -m bot demo`` before anything loads: the port, and what is no port."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from bot.__main__ import main
from bot.demo import play as play_module
from bot.demo.page import listen


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


def test_a_port_that_was_just_left_can_be_taken_again_and_listens_on_this_machine_alone() -> None:
    with listen(0) as first:
        host, port = first.getsockname()
    with listen(port) as second:
        assert second.getsockname() == ("127.0.0.1", port)
        assert host == "127.0.0.1"
