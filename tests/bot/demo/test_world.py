"""The demo's time: the next night comes when it is asked for, once."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from bot.demo.acting import NotPossible
from bot.demo.world import World
from tests.bot.demo.watching import drain


async def test_the_night_moves_the_clock_to_three_and_happens_once(world: World) -> None:
    happened: list[datetime] = []

    async def night() -> None:
        happened.append(world.clock.now())
        with pytest.raises(NotPossible, match="under way"):
            await world.next_night()
        world.tell_night("fitting")

    world.on_time_moved = night
    with world.events() as queue:
        moment = await world.next_night()
        texts = [event.what for event in drain(queue) if event.kind == "night"]
    assert moment == datetime(2026, 1, 2, 3, 0, tzinfo=UTC)
    assert moment <= happened[0] < moment + timedelta(seconds=5)
    assert texts == ["The night has begun.", "fitting", ""]
    assert await world.next_night() == moment + timedelta(days=1)


async def test_a_night_that_was_started_by_hand_is_waited_for_and_the_page_says_so(world: World) -> None:
    by_hand, before = asyncio.Event(), world.clock.now()

    async def ends() -> None:
        await by_hand.wait()

    world._under_way = ends
    with world.events() as queue:
        advancing = asyncio.create_task(world.next_night())
        await world.until(lambda: world.night_text, 5)
        assert world.night_text == "A night that was started by hand is under way; the next begins after it."
        assert world.clock.now() - before < timedelta(minutes=1)
        by_hand.set()
        assert await advancing == datetime(2026, 1, 2, 3, 0, tzinfo=UTC)
        assert [event.kind for event in drain(queue)] == ["night", "clock", "night", "night"]
