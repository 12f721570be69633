"""A local Discord that waits for nobody: people act while the bot streams, on a clock that ticks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from bot.demo.live import LiveClock
from bot.demo.world import World
from tests.bot.demo.watching import FULL, answers, drain, finished


async def test_two_people_act_while_an_answer_streams(world: World) -> None:
    with world.events() as queue:
        await world.say("Tamsin", "workshop", f"<@{world.bot_id}> where is the key?")
        await world.until(lambda: any(a.content.startswith("the key") for a in answers(world)), 5)
        assert not any(answer.content == FULL for answer in answers(world))
        said = await world.say("Rowan", "workshop", f"<@{world.bot_id}> and for me?")
        await world.react("Otto", "workshop", said, "🐝")
        outcome = await world.slash("Mira", "workshop", "train report")
        assert outcome.answered
        assert not any(answer.content == FULL for answer in answers(world))
        said_now = await finished(world, 2)
        assert len(said_now) == 3
        grown = [e.what for e in drain(queue) if e.kind == "message" and e.what.id == said_now[0].id]
    assert len(grown) == 1 + len(FULL.split())


async def test_a_worker_that_started_before_the_bot_answers_a_slash_command(
    world: World,
) -> None:
    outcome = await world.slash("Tamsin", "workshop", "ask", {"question": "where is the key?"})
    assert outcome.answered
    [answer] = await finished(world, 1)
    assert answer.id == outcome.message_id


async def test_the_bot_hears_what_people_say_at_the_worlds_time(world: World) -> None:
    await world.say("Wanda", "lounge", "good morning, dears")
    bot: Any = world.bot
    await world.until(lambda: bot.overheard, 5)
    assert bot.overheard[0].author.display_name == "Wanda"
    assert abs(bot.overheard[0].created_at - world.clock.now()) < timedelta(seconds=5)


def test_the_clock_ticks_and_never_goes_back() -> None:
    seconds = 100.0
    clock = LiveClock(datetime(2026, 1, 1, tzinfo=UTC), ticks=lambda: seconds)
    seconds += 30
    assert clock.now() == datetime(2026, 1, 1, 0, 0, 30, tzinfo=UTC)
    clock.move_to(datetime(2025, 1, 1, tzinfo=UTC))
    assert clock.now() == datetime(2026, 1, 1, 0, 0, 30, tzinfo=UTC)
    clock.move_to(datetime(2026, 1, 1, 3, tzinfo=UTC))
    assert clock.elapsed == 3 * 3600
