"""``python -m trainer``: exit codes, one-sentence errors, progress lines, and the record."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from ledger.forgetting.deletion_path import Forgetting
from ledger.settings import load_settings
from ledger.store import Ledger
from tests.trainer.conftest import GUILD, fill
from trainer.__main__ import main
from trainer.preparing.dataset import prepare

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
async def config(config_file: Path) -> Path:
    """A config.toml whose ledger holds a server that can be learned from."""
    with config_file.open("a") as file:
        file.write("[leakage]\nprobes = 4\n")
    async with Ledger.open(load_settings(config_file).database) as ledger:
        await fill(ledger, 60)
    return config_file


def call(config: Path, *arguments: str) -> int:
    name, *rest = arguments
    return main([name, "--config", str(config), *rest])


def last(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    return dict(json.loads(capsys.readouterr().out.splitlines()[-1]))


@pytest.fixture(autouse=True)
def as_nice_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.commands.handlers.os.nice", lambda by: by)


async def test_an_unknown_server_is_refused_in_one_sentence(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = await _in_thread(config, "night", "--guild", "5", "--json")
    told = capsys.readouterr()
    assert code == 1
    assert f"The ledger knows no server 5; it knows: {GUILD} (Shed)." in told.err
    assert json.loads(told.out.splitlines()[-1])["stage"] == "failed"


async def _in_thread(config: Path, *arguments: str) -> int:
    """Run a command as a process would, outside of the test's own loop."""
    import asyncio

    # Signals can be handled in the main thread alone, so the handlers are left out here.
    return await asyncio.to_thread(_without_signals, config, arguments)


def _without_signals(config: Path, arguments: tuple[str, ...]) -> int:
    patch = pytest.MonkeyPatch()
    with patch.context() as patched:
        patched.setattr("trainer.commands.handlers.signal.signal", lambda number, handler: handler)
        return call(config, *arguments)


async def test_a_night_from_the_command_line_and_its_record(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await _in_thread(config, "night", "--progress", "--now", "2026-03-01T03:00:00+00:00") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    assert all("progress" in line for line in lines[:-1])
    outcome = lines[-1]
    assert {line["progress"]["run"] for line in lines[1:-1]} == {outcome["run"]}
    assert outcome["run"].startswith(f"g{GUILD}-20260301T0300")
    assert outcome["stage"] in {"promoted", "kept"}

    assert await _in_thread(config, "runs", "--json") == 0
    assert last(capsys)["runs"][0]["id"] == outcome["run"]
    assert await _in_thread(config, "adapters") == 0
    assert str(outcome["candidate"]) in capsys.readouterr().out
    assert await _in_thread(config, "report", outcome["run"]) == 0
    assert "## Held-out replies" in capsys.readouterr().out

    assert await _in_thread(config, "promote", outcome["candidate"], "--json") == 0
    assert last(capsys) == {"champion": outcome["candidate"]}
    assert await _in_thread(config, "rollback", "--json") == 0
    assert last(capsys) == {"champion": None}
    weights = Path(outcome["report"]).with_name("adapter_model.safetensors")
    weights.write_bytes(weights.read_bytes() + b"\0")
    assert await _in_thread(config, "promote", outcome["candidate"]) == 1
    assert "was altered" in capsys.readouterr().err


async def test_the_stages_one_by_one(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset, adapter = tmp_path / "set", tmp_path / "made" / "adapter"
    assert await _in_thread(config, "prepare", "--out", str(dataset), "--json") == 0
    assert last(capsys)["counts"]["train_replies"] > 0
    assert await _in_thread(config, "fit", str(dataset), "--out", str(adapter), "--json") == 0
    assert last(capsys)["adapter"] == str(adapter)
    assert await _in_thread(config, "evaluate", str(adapter), str(dataset), "--samples", "2", "--json") == 0
    found = last(capsys)
    assert found["scores"]["candidate"]["tokens"] == found["scores"]["base"]["tokens"]
    assert found["verdict"] in {"promote", "keep"}
    out = tmp_path / "exported"
    assert await _in_thread(config, "export", str(dataset), "--form", "sharegpt", "--out", str(out)) == 0
    assert "train" in capsys.readouterr().out


@pytest.mark.parametrize("everything", [False, True])
async def test_a_dataset_by_hand_is_written_again_without_what_was_deleted_meanwhile(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, everything: bool
) -> None:
    settings, written = load_settings(config), list[set[int]]()

    async def interrupted(ledger: Ledger, guild: int, *arguments: Any, **options: Any) -> Any:
        prepared = await prepare(ledger, guild, *arguments, **options)
        seen = [number for number, _ in prepared.learned_from]
        if not written:
            forgetting = Forgetting(ledger, datasets_dir=settings.datasets_dir, runs_dir=settings.runs_dir)
            gone = seen if everything else seen[:1]
            assert await forgetting.messages(guild, gone, asked_by="Discord") is not None
        written.append(set(seen))
        return prepared

    monkeypatch.setattr("trainer.preparing.dataset.prepare", interrupted)
    out = tmp_path / "by-hand"
    assert await _in_thread(config, "prepare", "--out", str(out)) == (1 if everything else 0)
    assert out.is_dir() != everything
    if not everything:
        assert min(written[0]) not in written[1]
        assert len(written) == 2


async def test_what_was_fitted_by_hand_goes_with_its_dataset(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from trainer.fitting import finetune

    fit, settings = finetune.fit, load_settings(config)
    assert await _in_thread(config, "prepare", "--json") == 0
    dataset = Path(last(capsys)["dataset"])

    def interrupted(*arguments: Any, **options: Any) -> Any:
        result = fit(*arguments, **options)
        assert (settings.runs_dir / f"fit-{dataset.name}" / "adapter").is_dir()
        shutil.rmtree(dataset)
        return result

    monkeypatch.setattr(finetune, "fit", interrupted)
    assert await _in_thread(config, "fit", str(dataset)) == 1
    assert "what had been learned is deleted, too" in capsys.readouterr().err
    assert not any(path.is_file() for path in settings.runs_dir.rglob("*"))


def _stopped(config: Path, number: signal.Signals) -> tuple[dict[str, Any], float]:
    """Send a night a signal while it fits; return its outcome and how long it took to end."""
    text = config.read_text().replace("epochs = 2", "epochs = 500").replace("patience", "patience")
    config.write_text(text.replace("[training]", "[training]\npatience = 500"))
    command = [sys.executable, "-m", "trainer", "night", "--config", str(config), "--progress"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=environment) as child:
        assert child.stdout is not None
        for line in child.stdout:
            if '"fit"' in line:
                child.send_signal(number)
                break
        began = time.monotonic()
        lines = child.stdout.read().splitlines()
        assert child.wait() == 1
    return json.loads(lines[-1]), time.monotonic() - began


def test_a_stopped_night_ends_cleanly_and_is_written_down_as_cancelled(config: Path) -> None:
    outcome, seconds = _stopped(config, signal.SIGINT)
    assert seconds < 10
    assert outcome["stage"] == "cancelled"
    assert outcome["error"].startswith("The night was stopped")


def test_a_night_whose_machine_stops_ends_soon_and_is_left_open(config: Path) -> None:
    outcome, seconds = _stopped(config, signal.SIGTERM)
    assert seconds < 20
    assert outcome["stage"] == "paused"
    assert "goes on from where it was" in outcome["error"]
