"""A fit on several processes: the same adapter as on one, written once, and nobody left waiting."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from ledger.errors import ConfigurationError
from tests.trainer.conftest import replies, write_dataset
from trainer.fitting.processes import Processes

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def config(config_file: Path) -> Path:
    """Settings with two batches an update, for two processes to share."""
    text = config_file.read_text(encoding="utf-8")
    config_file.write_text(text.replace("accumulation_steps = 1", "accumulation_steps = 2"), encoding="utf-8")
    return config_file


@pytest.fixture
def uneven(tmp_path: Path) -> Path:
    """A dataset of 27 examples: 7 batches of 4, so that the last one is short and a process has none."""
    parts = {"train": replies(0, 27), "val": replies(27, 5), "test": replies(32, 4)}
    return write_dataset(tmp_path / "uneven", parts)


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), **more}


def fit_command(config: Path, dataset: Path, out: Path, *more: str) -> list[str]:
    return ["trainer", "fit", str(dataset), "--out", str(out), "--config", str(config), *more]


def run(launcher: Sequence[str], command: Sequence[str]) -> dict[str, Any]:
    """Run a command; return the one JSON object that it prints, however many processes it is."""
    done = subprocess.run(
        [sys.executable, *launcher, "-m", *command],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    [line] = done.stdout.splitlines()
    return dict(json.loads(line))


def losses(work: Path, name: str) -> list[float]:
    history = json.loads((work / "metrics.json").read_text(encoding="utf-8"))["history"]
    return [entry[name] for entry in history if name in entry]


def files(folder: Path) -> list[str]:
    """Return the names of all files, TensorBoard's without the time in it."""
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return ["tensorboard" if "tfevents" in path.name else str(path.relative_to(folder)) for path in found]


@pytest.mark.slow
def test_two_processes_learn_the_same_adapter_as_one_and_write_it_once(
    config: Path, uneven: Path, tmp_path: Path
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    alone = run([], fit_command(config, uneven, one / "adapter", "--json"))
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    shared = run(torchrun, fit_command(config, uneven, two / "adapter", "--json"))
    assert alone["steps"] == shared["steps"] == 8
    assert shared["train_tokens"] >= alone["train_tokens"]
    for name in ("loss", "eval_loss", "eval_accuracy", "grad_norm", "learning_rate"):
        curves = [losses(folder / "adapter-work", name) for folder in (one, two)]
        assert len(curves[0]) >= 3
        assert curves[1] == pytest.approx(curves[0], rel=1e-4), name
    weights = [load_file(folder / "adapter" / "adapter_model.safetensors") for folder in (one, two)]
    assert weights[0].keys() == weights[1].keys()
    for name, weight in weights[0].items():
        torch.testing.assert_close(weights[1][name], weight, rtol=1e-3, atol=1e-5)
    assert files(two) == files(one)
    assert "step 8 of 8" in (two / "adapter-work" / "training.log").read_text(encoding="utf-8")


def start(command: Sequence[str], count: int) -> list[subprocess.Popen[str]]:
    """Start a command as so many processes that share a fit, without a launcher that ends them all."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    return [
        subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=ROOT,
            env=environment(
                WORLD_SIZE=str(count),
                RANK=str(rank),
                LOCAL_RANK=str(rank),
                MASTER_ADDR="127.0.0.1",
                MASTER_PORT=port,
            ),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(count)
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "told"),
    [(signal.SIGTERM, "goes on from where it was"), (signal.SIGINT, "The night was stopped")],
)
def test_a_signal_to_one_process_ends_all_of_them_together(
    config: Path, uneven: Path, tmp_path: Path, number: signal.Signals, told: str
) -> None:
    text = config.read_text(encoding="utf-8").replace("epochs = 2", "epochs = 500\npatience = 500")
    config.write_text(text, encoding="utf-8")
    command = fit_command(config, uneven, tmp_path / "out" / "adapter", "--progress")
    main, other = start(command, 2)
    try:
        assert main.stdout is not None
        for line in main.stdout:
            if json.loads(line)["progress"]["step"] > 2:
                break
        other.send_signal(number)
        ends = [process.communicate(timeout=120) for process in (main, other)]
    finally:
        for process in (main, other):
            process.kill()
    for process, (_, errors) in zip((main, other), ends, strict=True):
        assert process.returncode == 1
        assert told in errors
    assert not any("progress" in line for line in ends[1][0].splitlines())
    assert not (tmp_path / "out" / "adapter").exists()
    saved = list((tmp_path / "out" / "adapter-work" / "checkpoints").glob("*"))
    assert saved or number == signal.SIGINT


def test_without_a_launcher_there_is_one_process_and_it_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    alone = Processes.from_environment()
    assert (alone.count, alone.is_main) == (1, True)
    assert alone.sums([2.5, 3]) == [2.5, 3]
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert Processes.from_environment() == Processes(count=4, index=3, local=1)
    assert not Processes.from_environment().is_main


def test_a_rank_that_a_job_scheduler_left_about_makes_no_second_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert Processes.from_environment() == Processes()
    assert Processes.from_environment().is_main


def test_an_update_stays_as_large_however_many_processes_share_it() -> None:
    assert [Processes(count).share_of(4) for count in (1, 2, 4)] == [4, 2, 1]
    with pytest.raises(ConfigurationError, match="is 4, which 3 processes cannot share evenly") as told:
        Processes(3).share_of(4)
    assert list(told.value.problems) == ["training.accumulation_steps"]
