"""A command's options: what is offered, and what does not fit."""

from __future__ import annotations

import pytest

from bot.demo.acting import NotPossible
from bot.demo.view import commands
from bot.demo.world import World


async def test_what_takes_a_file_is_not_offered_where_none_can_be_given(world: World) -> None:
    workshop = next(channel for channel in world.stage.channels.values() if channel.name == "workshop")
    offered = [command["name"] for command in commands(world, world.stage.member("Mira"), workshop)]
    assert "ask" in offered
    assert "train report" in offered
    assert "give" not in offered


@pytest.mark.parametrize(
    "options", [{"scope": "all", "days": "99"}, {"scope": "no"}, {"scope": "all", "x": "1"}]
)
async def test_an_option_that_does_not_fit_is_refused(world: World, options: dict[str, str]) -> None:
    with pytest.raises(NotPossible):
        await world.slash("Otto", "workshop", "privacy", options)
