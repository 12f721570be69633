"""/channel: what the bot does where."""

from __future__ import annotations

import pytest

from tests.bot.house import House, text_of


async def kept(house: House) -> list[str]:
    messages = await house.services.ledger.messages.of_guild(house.guild.id)
    return [message.content for message in sorted(messages, key=lambda message: message.id)]


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


@pytest.mark.parametrize("kind", ["voice", "stage"])
async def test_the_chat_of_a_voice_channel_can_be_ignored(house: House, kind: str) -> None:
    room = getattr(house.guild, f"create_{kind}_channel")("campfire")
    await house.env.settle()
    await house.ann.slash(house.general, "privacy opt-in")
    await house.ann.send(room, "by the fire")
    assert await kept(house) == ["by the fire"]
    await house.boss.slash(house.general, "channel ignore", channel=room)
    await house.ann.send(room, "under us")
    await house.boss.slash(room, "channel listen")
    await house.ann.send(room, "among us")
    assert await kept(house) == ["by the fire", "among us"]


async def test_a_forum_is_ignored_with_all_its_posts(house: House) -> None:
    forum = house.guild.create_forum_channel("questions")
    house.env.backend.create_thread(forum.id, "about Wren", owner_id=house.ann.id)
    await house.env.settle()
    await house.ann.slash(house.general, "privacy opt-in")
    [post] = forum.threads
    await house.ann.send(post, "is it kept?")
    await house.boss.slash(house.general, "channel ignore", channel=forum)
    await house.ann.send(post, "and now?")
    assert await kept(house) == ["is it kept?"]


async def test_the_title_of_a_thread_is_not_stored_with_its_mode(house: House) -> None:
    house.env.backend.create_thread(house.general.id, "what Wren told me", owner_id=house.ann.id)
    await house.env.settle()
    [side] = house.general.threads
    await house.boss.slash(house.general, "channel answer", channel=side)
    channel = await house.services.ledger.channels.get(side.id)
    assert channel is not None
    assert (channel.name, channel.mode, channel.parent_id) == ("general", "answer", house.general.id)


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
