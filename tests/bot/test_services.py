"""What the bot works with ends in an order in which nothing waits for what could end beside it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bot.nights.trainer_process import Nights
from bot.services import clock_watch, open_services
from bot.serving.served_versions import ServedVersions
from ledger.clock import SystemClock
from ledger.store import Ledger
from tests.bot.house import StandInEngine, settings_for, trainer_command, until
from tests.conftest import FakeClock

LEAVES = """
import pathlib, signal, sys, time
here = pathlib.Path(__file__)
def leave(*_):
    here.with_name("told").touch()
    while not here.with_name("engine stops").exists():
        time.sleep(0.01)
    here.with_name("left").touch()
    sys.exit(1)
signal.signal(signal.SIGTERM, leave)
print('{"progress": {"run": "r", "stage": "fit", "step": 1, "steps": 2}}', flush=True)
time.sleep(60)
"""


async def test_the_trainer_is_asked_to_leave_before_the_engine_stops_and_awaited_after_it(
    tmp_path: Path,
    engine: StandInEngine,
    script: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings, config = settings_for(tmp_path, engine.url), tmp_path / "config.toml"
    original, seen = ServedVersions.__aexit__, list[bool]()

    async def closing(serving: ServedVersions, *error: object) -> None:
        await until((tmp_path / "told").exists)  # a trainer that is only told behind this would wait for ever
        seen.append(nights.current(7) is not None)
        (tmp_path / "engine stops").touch()
        await original(serving, *error)  # type: ignore[arg-type]

    monkeypatch.setattr(ServedVersions, "__aexit__", closing)
    async with open_services(settings, config=config, clock=FakeClock()) as opened:
        nights: Nights = opened.nights
        nights._command = trainer_command(script(LEAVES))
        night = nights.start(7, trigger="test")
        await until(lambda: night.stage == "fit")
    assert seen == [True]
    assert night.ended.is_set()
    assert (tmp_path / "left").exists()


async def test_the_machines_clock_is_watched_and_one_that_was_handed_in_may_be_moved(tmp_path: Path) -> None:
    clock = FakeClock()
    async with Ledger.open(tmp_path / "ledger.db", clock=clock) as ledger:
        watch = clock_watch(ledger)
        for days in (0, 1, 400):
            clock.advance(days=days)
            assert await watch.look()
    async with Ledger.open(tmp_path / "real.db", clock=SystemClock()) as ledger:
        watch = clock_watch(ledger)
        assert await watch.look()
        assert watch.problem == ""
