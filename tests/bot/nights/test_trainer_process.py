"""Nights as the bot sees them: a trainer that reports, crashes, hangs, or is told to stop."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from bot.background import Background
from bot.nights.trainer_process import KILLED, STOPPED, Nights, WatchedNight
from ledger.clock import SystemClock
from ledger.errors import NightBusy
from ledger.learned.outcome import Outcome
from ledger.settings import Settings
from ledger.store import Ledger
from tests.bot.house import trainer_command, until
from tests.conftest import ROOT, FakeClock
from tests.trainer.conftest import GUILD as LEARNING
from tests.trainer.conftest import fill

GUILD, OTHER = 7, 8

Start = Callable[..., Nights]

PROGRESS = (
    '{"progress": {"run": "r", "stage": "fit", "step": 3, "steps": 12, "loss": 2.5, "eta_seconds": 40}}'
)
WAITS = f"""
import os, pathlib, time
pathlib.Path(__file__).with_name("pid").write_text(str(os.getpid()))
print('{PROGRESS}', flush=True)
while not pathlib.Path(__file__).with_name("go").exists():
    time.sleep(0.01)
print('{{"stage": "promoted", "candidate": "g7-v000001"}}', flush=True)
"""
TELLS = """
import os, pathlib
pathlib.Path(__file__).with_name("pid").write_text(str(os.getpid()))
"""


@pytest.fixture
async def start(
    tmp_path: Path, clock: FakeClock, script: Callable[[str], Path]
) -> AsyncIterator[Callable[..., Nights]]:
    """Return a function that gives nights whose trainer is a script."""
    async with Background() as background:

        def nights(text: str, **options: Any) -> Nights:
            command = trainer_command(script(text))
            return Nights(
                tmp_path / "config.toml", background=background, clock=clock, command=command, **options
            )

        yield nights


async def ended(night: WatchedNight) -> Outcome:
    await asyncio.wait_for(night.ended.wait(), 10)
    assert night.outcome is not None
    return night.outcome


def gone(pid_file: Path) -> bool:
    """Tell whether the process whose number the file holds is over."""
    try:
        os.kill(int(pid_file.read_text()), 0)
    except ProcessLookupError:
        return True
    return False


async def test_progress_and_outcome_are_read_from_the_trainers_lines(start: Start, tmp_path: Path) -> None:
    nights = start(WAITS)
    night = nights.start(GUILD, trigger="test")
    assert night.stage == "waiting"
    await until(lambda: night.stage == "fit")
    assert (night.step, night.steps, night.loss, night.eta_seconds) == (3, 12, 2.5, 40)
    assert night.share == 0.25
    assert nights.current(GUILD) is night
    (tmp_path / "go").touch()
    assert await ended(night) == Outcome(stage="promoted", candidate="g7-v000001")
    assert nights.current(GUILD) is None
    assert nights.last[GUILD] is night


async def test_the_trainer_is_told_guild_trigger_time_and_settings(
    start: Start, tmp_path: Path, clock: FakeClock
) -> None:
    nights = start("import json, sys; print(json.dumps({'stage': 'kept', 'reasons': sys.argv[1:]}))")
    outcome = await ended(nights.start(GUILD, trigger="/train start by 5"))
    assert outcome.reasons == [
        *("night", "--config", str(tmp_path / "config.toml"), "--guild", "7"),
        *("--trigger", "/train start by 5", "--now", clock.now().isoformat(), "--progress", "--json"),
    ]


async def test_lines_that_libraries_print_are_passed_over(start: Start) -> None:
    lines = [
        "Loading weights: 100%",
        "7",
        "null",
        "[1, 2]",
        '"text"',
        '{"loss": 1}',
        '{"stage": "kept"}',
        "{}",
    ]
    nights = start("\n".join(f"print({line!r})" for line in lines))
    assert await ended(nights.start(GUILD, trigger="test")) == Outcome(stage="kept")


async def test_a_long_outcome_is_read_whole(start: Start) -> None:
    nights = start("import json; print(json.dumps({'stage': 'kept', 'reasons': ['x' * 1_000_000]}))")
    outcome = await ended(nights.start(GUILD, trigger="test"))
    assert outcome.reasons == ["x" * 1_000_000]


async def test_a_crash_without_an_outcome_is_a_failed_night(start: Start) -> None:
    nights = start("import sys; print('{\"progress\": {', file=sys.stdout); sys.exit(3)")
    outcome = await ended(nights.start(GUILD, trigger="test"))
    assert outcome.stage == "failed"
    assert "exit code 3" in str(outcome.error)
    nights.start(GUILD, trigger="again")


async def test_a_trainer_that_cannot_be_started_is_a_failed_night(
    tmp_path: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with Background() as background:
        nights = Nights(tmp_path, background=background, clock=clock, command=("/nowhere/python",))
        told: list[str] = []

        async def listen(night: WatchedNight) -> None:
            told.append(str(night.outcome.error))

        nights.on_finished(listen)
        outcome = await ended(nights.start(GUILD, trigger="test"))
        await until(lambda: told)
    assert outcome.stage == "failed"
    assert "/nowhere/python" in told[0]


async def test_a_cancelled_night_ends_with_the_trainers_own_words(start: Start) -> None:
    nights = start(
        TELLS
        + """
import signal, sys, time
def stop(*_):
    print('{"stage": "cancelled", "reasons": ["stopped in fit"]}', flush=True)
    sys.exit(1)
signal.signal(signal.SIGINT, stop)
"""
        + f"print('{PROGRESS}', flush=True)\ntime.sleep(60)"
    )
    night = nights.start(GUILD, trigger="test")
    await until(lambda: night.stage == "fit")
    assert nights.cancel(GUILD)
    assert await ended(night) == Outcome(stage="cancelled", reasons=["stopped in fit"])
    assert not nights.cancel(GUILD)


async def test_a_trainer_that_does_not_stop_is_killed(start: Start, tmp_path: Path) -> None:
    nights = start(
        TELLS
        + "import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        + f"print('{PROGRESS}', flush=True)\ntime.sleep(60)",
        stop_seconds=0.05,
    )
    night = nights.start(GUILD, trigger="test")
    await until(lambda: night.stage == "fit")
    nights.cancel(GUILD)
    assert await ended(night) == Outcome(stage="cancelled", guild=GUILD, error=KILLED, run="r")
    assert gone(tmp_path / "pid")


async def test_a_cancel_that_the_trainer_could_not_record_is_recorded_by_the_bot(
    ledger: Ledger, tmp_path: Path, clock: FakeClock, script: Callable[[str], Path]
) -> None:
    await ledger.guilds.ensure(GUILD, "Lantern Yard")
    run = await ledger.runs.create(GUILD, "test")
    await ledger.runs.advance(run.id, "prepared")
    await ledger.adapters.reserve(GUILD, run.id, adapters_dir=str(tmp_path), base_model="m")
    ignores = "import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n"
    command = trainer_command(script(ignores + f"print('{PROGRESS}', flush=True)\ntime.sleep(60)"))
    async with Background() as background:
        nights = Nights(
            tmp_path, background=background, clock=clock, ledger=ledger, command=command, stop_seconds=0.05
        )
        night = nights.start(GUILD, trigger="test")
        await until(lambda: night.stage == "fit")
        nights.cancel(GUILD)
        outcome = await ended(night)
    assert (outcome.stage, outcome.error, outcome.run) == ("cancelled", KILLED, run.id)
    closed = await ledger.runs.require(run.id)
    assert (closed.stage, closed.error) == ("cancelled", KILLED)
    [candidate] = await ledger.adapters.of_guild(GUILD)
    assert candidate.state == "deleted"


async def test_a_bot_that_stops_has_the_trainer_leave_a_resume_point_and_tells_nobody(
    tmp_path: Path, clock: FakeClock, script: Callable[[str], Path]
) -> None:
    leaves = f"""
import pathlib, signal, sys, time
def leave(*_):
    pathlib.Path(__file__).with_name("left").touch()
    print('{{"stage": "paused"}}', flush=True)
    sys.exit(1)
signal.signal(signal.SIGTERM, leave)
print('{PROGRESS}', flush=True)
time.sleep(60)
"""
    told: list[WatchedNight] = []

    async def listen(night: WatchedNight) -> None:
        told.append(night)

    async with Background() as background:
        nights = Nights(tmp_path, background=background, clock=clock, command=trainer_command(script(leaves)))
        nights.on_finished(listen)
        night = nights.start(GUILD, trigger="test")
        waiting = nights.start(OTHER, trigger="test")
        await until(lambda: night.stage == "fit")
        nights.leave()
        assert await ended(night) == Outcome(stage="paused")
    assert (tmp_path / "left").exists()
    assert not waiting.running
    assert told == []


async def test_a_second_cancel_leaves_the_trainer_time_to_write_the_first_one_down(
    start: Start, tmp_path: Path
) -> None:
    nights = start(
        TELLS
        + f"""
import signal, sys, time
def stop(*_):
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    print('{PROGRESS.replace('"fit"', '"evaluate"')}', flush=True)
    while not pathlib.Path(__file__).with_name("go").exists():
        time.sleep(0.01)
    print('{{"stage": "cancelled", "reasons": ["written down"]}}', flush=True)
    sys.exit(1)
signal.signal(signal.SIGINT, stop)
print('{PROGRESS}', flush=True)
time.sleep(60)
"""
    )
    night = nights.start(GUILD, trigger="test")
    await until(lambda: night.stage == "fit")
    assert nights.cancel(GUILD)
    await until(lambda: night.stage == "evaluate")
    assert nights.cancel(GUILD)
    (tmp_path / "go").touch()
    assert (await ended(night)).reasons == ["written down"]


BOT = """
import asyncio, pathlib, sys
from bot.background import Background
from bot.nights.trainer_process import Nights
from ledger.clock import SystemClock
async def main():
    async with Background() as background:
        nights = Nights(pathlib.Path(sys.argv[1]), background=background, clock=SystemClock())
        night = nights.start(int(sys.argv[2]), trigger="schedule")
        while night.stage != "fit" or night.step < 1:
            await asyncio.sleep(0.01)
        print(nights._processes[night.guild_id].pid, flush=True)
        await asyncio.sleep(600)
asyncio.run(main())
"""


@pytest.mark.slow
async def test_a_bot_that_is_killed_leaves_no_trainer_and_the_next_one_resumes_its_night(
    settings: Settings, config_file: Path
) -> None:
    config_file.write_text(config_file.read_text().replace("epochs = 2", "epochs = 40\npatience = 40"))
    async with Ledger.open(settings.database) as ledger:
        await fill(ledger, 60)
        command = [sys.executable, "-c", BOT, str(config_file), str(LEARNING)]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as bot:
            assert bot.stdout is not None
            trainer = int(bot.stdout.readline())
            bot.kill()
        [cut_off] = await ledger.runs.unfinished(LEARNING)
        assert cut_off.stage == "prepared"
        async with Background() as background:
            nights = Nights(config_file, background=background, clock=SystemClock(), ledger=ledger)
            night = nights.start(LEARNING, trigger="schedule, taken up again")
            await until(lambda: night.run and night.stage == "fit" and night.step, seconds=120)
            with pytest.raises(ProcessLookupError):
                os.kill(trainer, 0)
            assert night.run == cut_off.id
            nights.cancel(LEARNING)
            await asyncio.wait_for(night.ended.wait(), 20)
        assert (await ledger.runs.require(cut_off.id)).stage == "cancelled"
        assert "taken up" in [stage for stage, _ in await ledger.runs.steps(cut_off.id)]


async def test_ctrl_c_at_a_terminal_reaches_the_bot_alone(start: Start, tmp_path: Path) -> None:
    nights = start(WAITS)
    night = nights.start(GUILD, trigger="test")
    await until(lambda: night.stage == "fit")
    assert os.getpgid(int((tmp_path / "pid").read_text())) != os.getpgid(0)
    (tmp_path / "go").touch()
    await ended(night)


async def test_a_night_that_is_cancelled_while_its_trainer_starts_does_not_run_on(start: Start) -> None:
    nights = start("import time; time.sleep(60)")
    night = nights.start(GUILD, trigger="test")
    # The turn has come and the process is being made, but nobody could signal it yet.
    while not night.running:
        await asyncio.sleep(0)
    assert not nights._processes
    nights.cancel(GUILD)
    outcome = await ended(night)
    assert (outcome.stage, outcome.error) == ("cancelled", STOPPED)


async def test_a_night_that_is_cancelled_at_once_never_starts_a_trainer(start: Start, tmp_path: Path) -> None:
    nights = start(TELLS)
    night = nights.start(GUILD, trigger="test")
    nights.cancel(GUILD)
    assert (await ended(night)).stage == "cancelled"
    assert not (tmp_path / "pid").exists()


async def test_one_night_a_guild(start: Start) -> None:
    nights = start("import time; time.sleep(60)", stop_seconds=1.0)
    nights.start(GUILD, trigger="test")
    with pytest.raises(NightBusy, match="/train status"):
        nights.start(GUILD, trigger="test")


async def test_the_nights_of_two_guilds_come_one_after_the_other(start: Start, tmp_path: Path) -> None:
    nights = start(WAITS)
    first, second = nights.start(GUILD, trigger="test"), nights.start(OTHER, trigger="test")
    await until(lambda: first.stage == "fit")
    assert second.stage == "waiting"
    assert not second.running
    (tmp_path / "go").touch()
    await ended(first)
    await ended(second)
    assert second.outcome.stage == "promoted"


async def test_a_waiting_night_can_be_cancelled_without_waiting_for_the_one_before(start: Start) -> None:
    nights = start(WAITS)
    first, second = nights.start(GUILD, trigger="test"), nights.start(OTHER, trigger="test")
    await until(lambda: first.stage == "fit")
    nights.cancel(OTHER)
    assert (await ended(second)).stage == "cancelled"
    assert not first.ended.is_set()


async def test_a_bot_that_stops_takes_its_trainer_along(
    tmp_path: Path, clock: FakeClock, script: Callable[[str], Path]
) -> None:
    async with Background() as background:
        command = trainer_command(script(WAITS))
        nights = Nights(tmp_path, background=background, clock=clock, command=command)
        night = nights.start(GUILD, trigger="test")
        await until(lambda: night.stage == "fit")
    assert gone(tmp_path / "pid")


async def test_every_listener_hears_of_a_night_even_if_one_fails(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    nights = start('print(\'{"stage": "kept"}\')')
    heard: list[WatchedNight] = []

    async def fails(night: WatchedNight) -> None:
        raise RuntimeError("Discord is away")

    async def hears(night: WatchedNight) -> None:
        heard.append(night)

    async def left(night: WatchedNight) -> None:
        raise AssertionError("not any more")

    for listener in (fails, hears, left):
        nights.on_finished(listener)
    nights.off_finished(left)
    night = nights.start(GUILD, trigger="test")
    await until(lambda: heard)
    assert heard == [night]
    assert "Discord is away" in caplog.text


async def test_the_real_trainer_skips_a_night_with_too_few_replies_and_says_so(
    settings: Settings, config_file: Path, clock: FakeClock
) -> None:
    async with Ledger.open(settings.database, clock=clock) as ledger:
        await ledger.guilds.ensure(GUILD, "Lantern Yard")
        async with Background() as background:
            nights = Nights(config_file, background=background, clock=clock)
            night = nights.start(GUILD, trigger="schedule")
            await asyncio.wait_for(night.ended.wait(), 60)
        assert night.outcome.stage == "skipped", night.outcome
        assert night.outcome.reasons
        [run] = await ledger.runs.of_guild(GUILD)
        assert (run.id, run.stage, run.trigger) == (night.outcome.run, "skipped", "schedule")
        assert abs(run.created_at - clock.now().timestamp() * 1000) < 60_000


async def test_a_progress_line_that_lacks_something_fails_the_night_and_is_reported(start: Start) -> None:
    nights = start('print(\'{"progress": {"stage": "fit"}}\', flush=True)\nimport time; time.sleep(60)')
    outcome = await ended(nights.start(GUILD, trigger="test"))
    assert outcome.stage == "failed"
    assert "see the bot's log" in str(outcome.error)


async def test_the_real_trainers_refusal_comes_back_as_a_sentence(tmp_path: Path, clock: FakeClock) -> None:
    config = tmp_path / "config.toml"
    config.write_text("[training]\nepochs = 0\n")
    async with Background() as background:
        nights = Nights(config, background=background, clock=clock)
        night = nights.start(GUILD, trigger="schedule")
        await asyncio.wait_for(night.ended.wait(), 60)
    assert night.outcome.stage == "failed"
    assert "training.epochs" in night.outcome.error
    assert sys.executable not in night.outcome.error


async def test_the_samples_are_dropped_once_every_listener_has_seen_them(start: Start) -> None:
    sample = {"context": "words", "before": "", "after": ""}
    nights = start(f"import json; print(json.dumps({{'stage': 'kept', 'samples': [{sample}]}}))")
    seen: list[object] = []

    async def listen(night: WatchedNight) -> None:
        seen.append(night.outcome.samples)

    nights.on_finished(listen)
    night = nights.start(GUILD, trigger="test")
    await until(lambda: seen and night.outcome and not night.outcome.samples)
    assert seen == [[{"context": "words", "before": "", "after": ""}]]
