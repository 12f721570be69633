"""The same questions before and after a night, in nobody's name."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bot.client import NightschoolBot
from bot.demo.comparing import Comparing
from bot.demo.live import LiveClock
from bot.demo.world import World
from bot.nights.trainer_process import WatchedNight
from bot.services import Services, open_services
from tests.bot.demo.watching import seen_by
from tests.bot.house import BASE, StandInEngine, settings_for
from tests.searching import holding

DINNER, KEY = "what's for dinner tonight?", "where is the key?"


@dataclass
class Stage:
    """The real bot in the demo's world, and an engine that says which version it is."""

    world: World
    services: Services
    comparing: Comparing
    engine: StandInEngine

    async def promoted(self) -> str:
        """Let a new version serve."""
        ledger, guild = self.services.ledger, self.world.stage.guild
        await ledger.guilds.ensure(guild.id, guild.name)
        run = await ledger.runs.create(guild.id, "test")
        folder = str(self.services.settings.adapters_dir)
        adapter = await ledger.adapters.reserve(guild.id, run.id, adapters_dir=folder, base_model=BASE)
        await ledger.promotions.promote(guild.id, adapter.version, by="test")
        await self.services.serving.sync()
        return adapter.version

    async def night(self) -> dict[str, Any]:
        """End a night as far as comparing is concerned, and return what the page shows."""
        await self.comparing.compare(WatchedNight(self.world.guild_id, "test", self.services.clock.now()))
        return self.world.comparison or {}


@pytest.fixture
async def stage(tmp_path: Path, engine: StandInEngine) -> AsyncIterator[Stage]:
    engine.pieces = lambda body: [
        f"soup: {body['messages'][-2]['content'].removeprefix('someone: ')}"  # behind it is the begun answer
        if "-v" in body["model"]
        else f"an assistant: {body['messages'][-1]['content']}"
    ]
    settings, clock = settings_for(tmp_path, engine.url), LiveClock()
    async with (
        open_services(settings, config=tmp_path / "config.toml", clock=clock) as services,
        World(NightschoolBot(services, source="local"), clock=clock) as world,
    ):
        comparing = Comparing(services, world, [DINNER, KEY])
        await comparing.begin()
        yield Stage(world, services, comparing, engine)


async def test_a_change_of_version_is_shown_in_the_same_questions_answers(stage: Stage) -> None:
    await stage.promoted()
    with stage.world.events() as events:
        shown = await stage.night()
        kinds = [events.get_nowait().kind for _ in range(events.qsize())]
    assert (shown["before"], shown["after"]) == ("the bare model", "version 1")
    assert shown["rows"] == [
        {"question": text, "before": f"an assistant: {text}", "after": f"soup: {text}"}
        for text in (DINNER, KEY)
    ]
    assert "comparison" in kinds
    assert seen_by(stage.world, "Otto")["comparison"] == shown


async def test_a_night_that_changes_nothing_shows_nothing_and_asks_nothing(stage: Stage) -> None:
    asked = len(stage.engine.asked)
    assert await stage.night() == {}
    assert len(stage.engine.asked) == asked == 2


async def test_the_next_night_is_compared_with_the_one_before_it(stage: Stage) -> None:
    await stage.promoted()
    await stage.night()
    await stage.promoted()
    shown = await stage.night()
    assert (shown["before"], shown["after"]) == ("version 1", "version 2")
    assert shown["rows"][0]["before"] == f"soup: {DINNER}"


async def test_the_visitors_own_questions_are_asked_again_and_only_the_newest_ones(stage: Stage) -> None:
    me = f"<@{stage.world.bot_id}>"
    for text in ("first?", "second?", "third?", DINNER):
        await stage.world.say("Otto", "workshop", f"{me} {text}")
        await stage.services.answering.drained()
    await stage.world.until(lambda: len(_answers(stage.world)) == 4, 5)
    await stage.promoted()
    shown = await stage.night()
    assert [row["question"] for row in shown["rows"]] == [DINNER, KEY, "second?", "third?"]
    assert shown["rows"][3]["before"] == _answers(stage.world)[2]
    assert shown["rows"][3]["after"] == "soup: third?"
    await stage.promoted()
    assert [row["question"] for row in (await stage.night())["rows"]] == [DINNER, KEY]


def _answers(world: World) -> list[str]:
    return [m.content for m in world.messages("workshop") if m.author_id == world.bot_id]


async def test_what_is_compared_is_said_in_no_channel_and_kept_nowhere(stage: Stage, tmp_path: Path) -> None:
    await stage.promoted()
    await stage.night()
    assert not any(
        message.author_id == stage.world.bot_id
        for channel in stage.world.stage.channels
        for message in stage.world.messages(channel)
    )
    assert not holding(DINNER, tmp_path)
