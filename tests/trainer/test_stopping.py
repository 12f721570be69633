"""Stopping a night from outside: prompt at each stage, recorded as what it was, gone on with where it may."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ledger.errors import RunCancelled
from ledger.settings import Settings
from ledger.store import Ledger
from tests.trainer.conftest import GUILD, fill, night
from trainer import stopping
from trainer.nights import night_stages
from trainer.preparing import dataset
from trainer.progress import StageProgress
from trainer.stopping import in_thread, stoppable

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def quick(settings: Settings) -> Settings:
    training = settings.training.model_copy(update={"epochs": 1, "batch_size": 8})
    leakage = settings.leakage.model_copy(update={"probes": 2})
    return settings.model_copy(update={"training": training, "leakage": leakage})


@pytest.fixture(autouse=True)
def nothing_abandoned() -> None:
    """Forget the threads that another test's night abandoned, as a busy machine makes it do."""
    stopping.abandoned.clear()


@pytest.fixture
def never() -> Any:
    """Work that goes on until the test is over and cannot be interrupted, as a model's loading is."""
    over = threading.Event()
    yield lambda *arguments, **options: over.wait(60)
    over.set()
    stopping.abandoned.clear()


async def test_what_work_returns_or_raises_comes_back_from_its_thread() -> None:
    assert await in_thread(lambda: 7, cancelled=lambda: False) == 7
    with pytest.raises(ZeroDivisionError):
        await in_thread(lambda: 1 / 0, cancelled=lambda: False)


async def test_work_that_notices_a_cancel_by_itself_is_waited_for() -> None:
    told = threading.Event()

    def notices() -> str:
        told.wait(10)
        return "closed its files"

    asyncio.get_running_loop().call_later(0.05, told.set)
    assert await in_thread(notices, cancelled=lambda: True) == "closed its files"
    assert not stopping.abandoned


@pytest.mark.parametrize("stage", ["prepare", "fit", "evaluate", "verdict"])
async def test_a_cancel_is_prompt_at_every_stage_and_recorded_as_one(
    stage: str, quick: Settings, never: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = threading.Event()

    def blocked(*arguments: Any, **options: Any) -> Any:
        begun.set()
        return never()

    name = {"prepare": "arrange", "fit": "fit", "evaluate": "evaluate", "verdict": "decide"}[stage]
    monkeypatch.setattr(dataset if stage == "prepare" else night_stages, name, blocked)
    async with Ledger.open(quick.database) as ledger:
        await fill(ledger, 24)
        asked: list[float] = []

        def cancelled() -> bool:
            if begun.is_set() and not asked:
                asked.append(time.monotonic())
            return bool(asked)

        outcome = await night(ledger, quick, cancelled=cancelled)
        assert time.monotonic() - asked[0] < 2.0
        assert (outcome.stage, outcome.error) == ("cancelled", stopping.STOPPED)
        [run] = await ledger.runs.of_guild(GUILD)
        assert (run.stage, run.error) == ("cancelled", stopping.STOPPED)
        assert run.finished_at is not None
        assert [a.state for a in await ledger.adapters.of_guild(GUILD)] in ([], ["deleted"])


async def test_a_night_that_is_left_stays_open_with_its_checkpoints_and_is_gone_on_with(
    quick: Settings,
) -> None:
    long = quick.model_copy(update={"training": quick.training.model_copy(update={"epochs": 3})})
    async with Ledger.open(quick.database) as ledger:
        await fill(ledger, 40)
        fitting: list[int] = []

        def reporter(done: StageProgress) -> None:
            if done.stage == "fit":
                fitting.append(done.step)

        left = await night(ledger, long, reporter=reporter, leaving=lambda: len(fitting) > 2)
        assert (left.stage, left.error, left.exit_code) == ("paused", stopping.LEFT, 1)
        run = await ledger.runs.require(left.run)
        assert (run.stage, run.finished_at) == ("prepared", None)
        outcome = await night(ledger, long)
        assert outcome.run == left.run
        assert outcome.fit["resumed_from"] > 0
        assert outcome.stage in {"promoted", "kept"}
        assert [stage for stage, _ in await ledger.runs.steps(run.id)][:3] == [
            "planned",
            "prepared",
            "taken up",
        ]


async def test_work_is_given_up_at_once_and_not_waited_for(never: Callable[..., Any]) -> None:
    began = time.monotonic()
    with pytest.raises(RunCancelled):
        await in_thread(never, cancelled=lambda: True)
    assert time.monotonic() - began < 2.0
    assert stopping.abandoned


def test_sigint_cancels_and_sigterm_leaves() -> None:
    for number, cancelled in ((signal.SIGINT, True), (signal.SIGTERM, False)):
        before = signal.getsignal(number)
        with stoppable() as stop:
            assert not stop()
            os.kill(os.getpid(), number)
            assert (stop.cancelled.is_set(), stop.leaving.is_set()) == (cancelled, not cancelled)
            assert stop()
            # Who presses Ctrl-C twice means it; the system and the bot may each send one SIGTERM.
            assert (signal.getsignal(number) == signal.SIG_DFL) == cancelled
        assert signal.getsignal(number) == before


def test_a_trainer_notices_that_the_bot_was_killed(tmp_path: Path) -> None:
    child = """
        import os, sys
        from pathlib import Path
        from trainer.stopping import stoppable
        with stoppable(parent=os.getppid()) as stop:
            Path(sys.argv[1]).write_text("watching")
            print(stop.leaving.wait(30), stop.cancelled.is_set(), flush=True)
    """
    parent = """
        import os, pathlib, subprocess, sys, time
        subprocess.Popen([sys.executable, "-c", sys.argv[1], sys.argv[2]])
        while not pathlib.Path(sys.argv[2]).exists():
            time.sleep(0.01)
        os.kill(os.getpid(), 9)
    """
    command = [sys.executable, "-c", textwrap.dedent(parent), textwrap.dedent(child), str(tmp_path / "on")]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False, timeout=60)
    assert done.stdout == "True False\n"


def test_a_process_whose_work_was_given_up_ends_at_once_with_its_outcome(tmp_path: Path) -> None:
    program = """
        import asyncio, json, sys, time
        from ledger.errors import RunCancelled
        from trainer.stopping import in_thread, leave_process
        try:
            asyncio.run(in_thread(lambda: time.sleep(60), cancelled=lambda: True))
        except RunCancelled as stopped:
            print(json.dumps({"error": str(stopped)}))
        sys.exit(leave_process(1))
    """
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, json.loads(done.stdout)) == (1, {"error": stopping.STOPPED})
    assert time.monotonic() - began < 20
