"""When nights start: on time, made up, once, and never against the settings."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bot.background import Background
from bot.nights.schedule import ATTEMPTS, MADE_UP, SCHEDULED, TAKEN_UP, NightSchedule
from bot.nights.trainer_process import Nights
from bot.rounds import Rounds
from ledger.errors import NightBusy
from ledger.store import Ledger
from tests.bot.house import trainer_command, until
from tests.conftest import FakeClock

GUILD, OTHER = 7, 8

TRAINER = """
import json, pathlib, sys
arguments = dict(zip(sys.argv[2::2], sys.argv[3::2]))
with open(pathlib.Path(__file__).with_name("calls"), "a") as calls:
    calls.write(json.dumps([arguments["--guild"], arguments["--trigger"], arguments["--now"]]) + "\\n")
print(json.dumps({"stage": "kept", "guild": int(arguments["--guild"]), "reasons": []}))
"""


class Plan:
    """A schedule with everything that it needs, and what came of it."""

    def __init__(self, ledger: Ledger, clock: FakeClock, folder: Path, command: tuple[str, ...]) -> None:
        self.ledger = ledger
        self.clock = clock
        self.background = Background()
        self.calls = folder / "calls"
        self.nights = Nights(folder, background=self.background, clock=clock, command=command)

    @asynccontextmanager
    async def opened(self, cron: str = "0 3 * * *", *, enabled: bool = True) -> AsyncIterator[NightSchedule]:
        async with (
            self.background,
            Rounds() as self.rounds,
            NightSchedule(
                cron=cron,
                timezone="Europe/Berlin",
                misfire_grace_minutes=60,
                ledger=self.ledger,
                nights=self.nights,
                rounds=self.rounds,
                background=self.background,
                clock=self.clock,
                enabled=enabled,
            ) as schedule,
        ):
            yield schedule

    async def done(self) -> None:
        """Wait until no night is under way."""
        await until(lambda: not any(self.nights.current(guild) for guild in (GUILD, OTHER)))

    def triggers(self) -> list[str]:
        return [line.split('"')[3] for line in self.calls.read_text().splitlines()]


@pytest.fixture
async def plan(ledger: Ledger, clock: FakeClock, tmp_path: Path, script: Callable[[str], Path]) -> Plan:
    """A plan for one guild that joined before the clock's last three o'clock."""
    clock.set(datetime(2026, 3, 1, 12, tzinfo=UTC))
    await ledger.guilds.ensure(GUILD, "Lantern Yard")
    return Plan(ledger, clock, tmp_path, trainer_command(script(TRAINER)))


async def test_the_next_night_is_given_in_the_schedules_time_zone(plan: Plan) -> None:
    async with plan.opened() as schedule:
        due = schedule.next_night()
        assert due is not None
        assert due.isoformat() == "2026-03-02T03:00:00+01:00"
        plan.clock.set(datetime(2026, 3, 28, 12, tzinfo=UTC))
        due = schedule.next_night()
        assert due is not None
        assert due.isoformat() == "2026-03-29T03:00:00+02:00"


@pytest.mark.parametrize(
    ("now", "last"),
    [
        ("2026-03-29T00:59:59+00:00", "2026-03-28T03:00:00+01:00"),
        ("2026-03-29T01:00:00+00:00", "2026-03-29T03:00:00+02:00"),
        ("2026-10-25T01:59:59+00:00", "2026-10-24T03:00:00+02:00"),
        ("2026-10-25T02:00:00+00:00", "2026-10-25T03:00:00+01:00"),
    ],
)
async def test_the_last_due_time_is_right_when_the_clocks_are_changed(
    plan: Plan, now: str, last: str
) -> None:
    plan.clock.set(datetime.fromisoformat(now))
    async with plan.opened() as schedule:
        due = schedule.last_due()
        assert due is not None
        assert due.isoformat() == last


@pytest.mark.parametrize("minutes", [0, 15, 30, 45, 60, 75, 90, 105, 120, 60 * 24, 60 * 24 * 7])
async def test_a_night_in_the_hour_that_comes_twice_is_due_once(plan: Plan, minutes: int) -> None:
    plan.clock.set(datetime(2026, 10, 25, 0, 0, tzinfo=UTC) + timedelta(minutes=minutes))
    async with plan.opened("30 2 * * *") as schedule:
        last, following = schedule.last_due(), schedule.next_night()
    assert last is not None
    assert following is not None
    assert last <= plan.clock.now() < following
    assert timedelta(hours=24) <= following.astimezone(UTC) - last.astimezone(UTC) <= timedelta(hours=25)


async def test_a_due_night_starts_for_every_server_and_once(plan: Plan) -> None:
    await plan.ledger.guilds.ensure(OTHER, "Second Home")
    plan.clock.set(datetime(2026, 3, 2, 2, 0, tzinfo=UTC))
    async with plan.opened() as schedule:
        assert await schedule.tick() == [GUILD, OTHER]
        assert await schedule.tick() == []
        await plan.done()
        assert await schedule.tick() == []
    assert plan.triggers() == [SCHEDULED, SCHEDULED]


async def test_a_night_that_was_missed_is_made_up_and_not_twice(plan: Plan) -> None:
    plan.clock.set(datetime(2026, 3, 4, 9, 0, tzinfo=UTC))
    async with plan.opened() as schedule:
        assert await schedule.tick() == [GUILD]
        await plan.done()
        assert await schedule.tick() == []
    assert plan.triggers() == [MADE_UP]


async def test_a_monthly_night_that_was_missed_by_eleven_days_is_made_up(plan: Plan) -> None:
    plan.clock.set(datetime(2026, 4, 12, 9, 0, tzinfo=UTC))
    async with plan.opened("0 3 1 * *") as schedule:
        assert await schedule.tick() == [GUILD]
        await plan.done()
        assert await schedule.tick() == []
    assert plan.triggers() == [MADE_UP]


async def test_nights_begun_while_the_clock_was_ahead_do_not_cost_the_days_between(plan: Plan) -> None:
    plan.clock.set(datetime(2026, 3, 10, 2, 0, tzinfo=UTC))
    run = await plan.ledger.runs.create(GUILD, SCHEDULED)
    await plan.ledger.runs.advance(run.id, "kept")
    plan.clock.set(datetime(2026, 3, 2, 2, 0, tzinfo=UTC))
    async with plan.opened() as schedule:
        for _ in range(3):
            assert await schedule.tick() == [GUILD]
            await plan.done()
            plan.nights.last.clear()
            await plan.ledger.runs.create(GUILD, SCHEDULED)
            plan.clock.advance(days=1)


async def test_no_night_starts_by_itself_while_the_clock_is_in_doubt(plan: Plan) -> None:
    plan.clock.set(datetime(2026, 3, 2, 2, 0, tzinfo=UTC))
    async with plan.opened() as schedule:
        believed = False

        async def believes() -> bool:
            return believed

        schedule._believes = believes
        assert await schedule.tick() == []
        believed = True
        assert await schedule.tick() == [GUILD]
        await plan.done()


async def test_after_a_restart_the_ledger_knows_that_the_night_was_begun(plan: Plan) -> None:
    plan.clock.set(datetime(2026, 3, 2, 2, 0, tzinfo=UTC))
    run = await plan.ledger.runs.create(GUILD, SCHEDULED)
    await plan.ledger.runs.advance(run.id, "skipped")
    plan.clock.advance(hours=3)
    async with plan.opened() as schedule:
        assert await schedule.tick() == []


async def test_a_night_that_was_cut_off_is_taken_up_at_the_next_start(plan: Plan) -> None:
    plan.clock.set(datetime(2026, 3, 2, 2, 0, tzinfo=UTC))
    run = await plan.ledger.runs.create(GUILD, SCHEDULED)
    await plan.ledger.runs.advance(run.id, "prepared")
    plan.clock.advance(hours=1)
    async with plan.opened() as schedule:
        assert await schedule.tick() == [GUILD]
        await plan.done()
    assert plan.triggers() == [TAKEN_UP]


async def test_what_is_cut_off_each_time_is_not_tried_for_ever(plan: Plan) -> None:
    plan.clock.set(datetime(2026, 3, 2, 2, 0, tzinfo=UTC))
    await plan.ledger.runs.advance(
        (await plan.ledger.runs.create(GUILD, SCHEDULED)).id, "failed", error="cut"
    )
    run = await plan.ledger.runs.create(GUILD, SCHEDULED)
    async with plan.opened() as schedule:
        for _ in range(2, ATTEMPTS):
            assert await schedule.tick() == [GUILD]
            await plan.done()
            await plan.ledger.runs.take_up(run.id)
        assert await schedule.tick() == []
        plan.clock.advance(days=1)
        assert await schedule.tick() == [GUILD]
        await plan.done()


async def test_a_night_that_was_started_by_hand_before_the_due_time_does_not_replace_it(plan: Plan) -> None:
    plan.clock.set(datetime(2026, 3, 2, 1, 0, tzinfo=UTC))
    await plan.ledger.runs.create(GUILD, "/train start")
    plan.clock.advance(hours=2)
    async with plan.opened() as schedule:
        assert await schedule.tick() == [GUILD]
        await plan.done()


async def test_a_server_that_joined_after_the_due_time_waits_for_the_next(plan: Plan) -> None:
    plan.clock.set(datetime(2026, 3, 2, 9, 0, tzinfo=UTC))
    await plan.ledger.guilds.ensure(OTHER, "Second Home")
    async with plan.opened() as schedule:
        assert await schedule.tick() == [GUILD]
        await plan.done()
        plan.clock.set(datetime(2026, 3, 3, 2, 1, tzinfo=UTC))
        assert await schedule.tick() == [GUILD, OTHER]
        await plan.done()


async def test_two_triggers_at_once_start_one_night(plan: Plan) -> None:
    plan.clock.set(datetime(2026, 3, 2, 2, 0, tzinfo=UTC))
    async with plan.opened() as schedule:
        by_hand = plan.nights.start(GUILD, trigger="/train start")
        assert await schedule.tick() == []
        with pytest.raises(NightBusy):
            plan.nights.start(GUILD, trigger="/train start again")
        await by_hand.ended.wait()
    assert plan.triggers() == ["/train start"]


async def test_a_night_that_is_skipped_is_reported_once(
    plan: Plan, script: Callable[[str], Path], tmp_path: Path
) -> None:
    go = tmp_path / "go"
    waits = f"import pathlib, time\nwhile not pathlib.Path({str(go)!r}).exists(): time.sleep(0.01)\n"
    plan.nights._command = trainer_command(script(waits + TRAINER))
    plan.clock.set(datetime(2026, 3, 2, 1, 0, tzinfo=UTC))
    told: list[tuple[int, str]] = []
    async with plan.opened() as schedule:
        schedule.tell_with(lambda guild, text: told.append((guild, text)))
        plan.nights.start(GUILD, trigger="/train start")
        plan.clock.set(datetime(2026, 3, 2, 2, 0, tzinfo=UTC))
        assert await schedule.tick() == []
        assert await schedule.tick() == []
        go.touch()
        await plan.done()
    [(guild, text)] = told
    assert guild == GUILD
    assert f"I skip the night that was due <t:{int(plan.clock.now().timestamp())}:t>" in text


async def test_a_night_whose_trainer_died_is_taken_up_at_once(
    plan: Plan, script: Callable[[str], Path]
) -> None:
    plan.nights._command = trainer_command(script(TRAINER.replace("print(", "sys.exit(9) # ")))
    plan.clock.set(datetime(2026, 3, 2, 2, 0, tzinfo=UTC))
    run = await plan.ledger.runs.create(GUILD, "/train start")
    # As each trainer does when it begins: before the schedule hears of its end, so told first.
    plan.nights.on_finished(lambda night: plan.ledger.runs.take_up(run.id))
    async with plan.opened():
        plan.nights.start(GUILD, trigger="/train start")
        await until(lambda: plan.calls.exists() and len(plan.triggers()) == ATTEMPTS - 1)
        await plan.done()
    assert plan.triggers() == ["/train start", TAKEN_UP]


async def test_a_schedule_that_is_switched_off_starts_nothing(plan: Plan) -> None:
    plan.clock.set(datetime(2026, 3, 2, 2, 0, tzinfo=UTC))
    async with plan.opened(enabled=False) as schedule:
        assert schedule.next_night() is None
        assert await schedule.tick() == []


async def test_apscheduler_runs_one_coalesced_job_with_a_grace(plan: Plan) -> None:
    async with plan.opened():
        [job] = plan.rounds._scheduler.get_jobs()
        assert (job.id, job.coalesce, job.max_instances, job.misfire_grace_time) == ("night", True, 1, 3600)
        assert job.next_run_time.astimezone(UTC) > datetime.now(UTC)
    assert not plan.rounds._scheduler.running
    assert plan.rounds._scheduler.get_jobs() == []


async def test_a_wake_up_that_apscheduler_dropped_is_made_up(plan: Plan) -> None:
    plan.clock.set(datetime(2026, 3, 2, 9, 0, tzinfo=UTC))
    async with plan.opened():
        job = plan.rounds._scheduler.get_jobs()[0]
        # The machine slept: the wake-up comes hours late, past its grace.
        job.modify(next_run_time=datetime.now(UTC) - timedelta(hours=5))
        await until(plan.calls.exists)
        await plan.done()
    assert plan.triggers() == [MADE_UP]


async def test_a_wake_up_on_time_starts_the_night(plan: Plan) -> None:
    plan.clock.set(datetime(2026, 3, 2, 2, 0, tzinfo=UTC))
    async with plan.opened():
        plan.rounds._scheduler.get_jobs()[0].modify(next_run_time=datetime.now(UTC))
        await until(plan.calls.exists)
        await plan.done()
    assert plan.triggers() == [SCHEDULED]
