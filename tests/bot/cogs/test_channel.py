"""/channel: what the bot does where."""

from __future__ import annotations

import pytest

from tests.bot.house import House, text_of


@pytest.mark.parametrize("mode", ["listen", "answer", "ignore"])
async def test_a_mode_is_set_for_the_channel_that_is_named_or_this_one(house: House, mode: str) -> None:
    kitchen = house.guild.create_text_channel("kitchen")
    result = await house.boss.slash(house.general, f"channel {mode}", channel=kitchen)
    assert kitchen.mention in text_of(result)
    await house.boss.slash(house.general, f"channel {mode}")
    for place in (kitchen, house.general):
        channel = await house.services.ledger.channels.get(place.id)
        assert channel is not None
        assert (channel.mode, channel.chosen, channel.name) == (mode, True, place.name)


async def test_a_mode_can_be_set_in_a_thread(house: House) -> None:
    await house.boss.slash(house.general, "channel ignore")
    house.env.backend.create_thread(house.general.id, "side talk", owner_id=house.ann.id)
    await house.env.settle()
    [side] = house.general.threads
    await house.boss.slash(side, "channel answer")
    await house.ann.send(side, "anyone?")
    await house.quiet()
    assert house.said(side) == ["Good evening."]


async def test_an_ignored_channel_can_be_taken_up_again(house: House) -> None:
    for mode, answers in (("ignore", 0), ("listen", 1)):
        await house.boss.slash(house.general, f"channel {mode}")
        await house.ask(house.ann, "hello")
        assert len(house.said()) == answers


async def test_another_servers_channel_keeps_its_mode(house: House) -> None:
    other = house.env.create_guild("Second Home")
    lobby = other.create_text_channel("lobby")
    await house.env.settle()
    await house.boss.slash(house.general, "channel ignore")
    twin = other.add_member(house.ann.user)
    await twin.send(lobby, f"{house.me} hello")
    await house.quiet()
    assert house.said(lobby) == ["Good evening."]
