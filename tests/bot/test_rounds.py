"""What the bot does by the clock: on time, once at a time, and whatever the machine's clock does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from bot.rounds import Rounds
from tests.bot.wall_clock import WallClock


@pytest.fixture
async def rounds(wall: WallClock) -> AsyncIterator[Rounds]:
    async with Rounds() as opened:
        yield opened


class Work:
    """A round that counts how often it was begun, and waits where it is told to."""

    def __init__(self) -> None:
        self.begun = 0
        self.ended = 0
        self.go = asyncio.Event()
        self.go.set()

    async def __call__(self) -> bool:
        self.begun += 1
        await self.go.wait()
        self.ended += 1
        return self.ended >= 2


async def settled() -> None:
    """Let everything run that is due now."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_round_runs_after_its_pause_and_again(rounds: Rounds, wall: WallClock) -> None:
    work = Work()
    rounds.every(60, work, name="chimes")
    await settled()
    assert work.begun == 0
    for times in (1, 2, 3):
        wall.move(rounds, seconds=61)
        await settled()
        assert work.begun == times


async def test_a_round_that_runs_at_once_runs_again_after_its_pause(rounds: Rounds, wall: WallClock) -> None:
    work = Work()
    rounds.every(60, work, name="chimes", at_once=True)
    await settled()
    assert work.begun == 1
    wall.move(rounds, seconds=59)
    await settled()
    assert work.begun == 1
    wall.move(rounds, seconds=2)
    await settled()
    assert work.begun == 2


async def test_a_round_that_is_still_at_it_is_not_begun_again(rounds: Rounds, wall: WallClock) -> None:
    work = Work()
    work.go.clear()
    rounds.every(60, work, name="chimes")
    for _ in range(3):
        wall.move(rounds, seconds=61)
        await settled()
    assert work.begun == 1
    work.go.set()
    await settled()
    wall.move(rounds, seconds=61)
    await settled()
    assert work.ended == 2


async def test_a_machine_that_slept_for_a_week_does_each_round_once(rounds: Rounds, wall: WallClock) -> None:
    work = Work()
    rounds.every(60, work, name="chimes")
    await settled()
    wall.move(rounds, days=7)
    await settled()
    assert work.begun == 1


async def test_rounds_go_on_when_a_clock_that_ran_ahead_is_put_back(rounds: Rounds, wall: WallClock) -> None:
    work = Work()
    rounds.every(60, work, name="chimes")
    await settled()
    wall.move(rounds, days=3650)
    await settled()
    assert work.begun == 1
    wall.move(rounds, days=-3650)
    await settled()
    wall.move(rounds, seconds=61)
    await settled()
    assert work.begun == 2, "not in ten years"


async def test_small_steps_back_put_no_daily_round_off(rounds: Rounds, wall: WallClock) -> None:
    work = Work()
    rounds.every(86_400, work, name="chimes")
    for _ in range(25):  # an hour on, and a few seconds back, as a host that sets the clock does
        wall.move(rounds, hours=1)
        wall.move(rounds, seconds=-5)
        await settled()
    assert work.begun == 1


async def test_nothing_begins_once_the_rounds_are_left(wall: WallClock) -> None:
    work = Work()
    async with Rounds() as rounds:
        rounds.every(60, work, name="chimes")
        await settled()
    await rounds._begin("chimes", work)  # as a job does that was already on its way
    await settled()
    assert work.begun == 0


async def test_what_is_tried_until_it_is_done_is_then_planned_no_more(
    rounds: Rounds, wall: WallClock
) -> None:
    one, two = Work(), Work()
    rounds.until(one, seconds=60, name="errand")
    rounds.until(two, seconds=60, name="errand")
    for _ in range(4):
        wall.move(rounds, seconds=61)
        await settled()
    assert (one.begun, two.begun) == (2, 2)
    assert rounds._scheduler.get_jobs() == []


async def test_a_round_that_fails_is_logged_and_keeps_no_other_from_its_turn(
    rounds: Rounds, wall: WallClock, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken() -> None:
        raise RuntimeError("a defect")

    work = Work()
    rounds.every(60, broken, name="broken")
    rounds.every(60, work, name="chimes")
    for _ in range(2):
        wall.move(rounds, seconds=61)
        await settled()
    assert work.begun == 2
    assert caplog.text.count("the round 'broken' failed") == 2


async def test_a_round_under_way_has_ended_when_the_rounds_are_left(wall: WallClock) -> None:
    ends = []

    async def slow() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ends.append("ended")

    async with Rounds() as rounds:
        rounds.every(60, slow, name="slow", at_once=True)
        await settled()
        assert ends == []
    assert ends == ["ended"]
