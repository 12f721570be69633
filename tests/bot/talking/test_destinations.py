"""Where answers are written: under a message and as a command's response, in as few requests as possible."""

from __future__ import annotations

import aiohttp
import discord
import pytest

from bot.talking.destinations import UnderMessage
from tests.bot.house import House, there


def edits(house: House) -> int:
    return sum(request.method == "PATCH" for request in house.env.http_requests)


@pytest.fixture
async def destination(house: House) -> UnderMessage:
    await house.ann.send(house.general, "a question")
    channel = house.bot.get_channel(house.general.id)
    assert isinstance(channel, discord.TextChannel)
    return UnderMessage(await channel.fetch_message(house.general.history()[0].id))


async def test_an_answer_that_did_not_change_is_not_edited(house: House, destination: UnderMessage) -> None:
    for text in ("Good", "Good", "Good evening", "Good evening"):
        await destination.show(text)
    assert edits(house) == 1
    assert house.said() == ["Good evening"]


async def test_a_growing_answer_continues_in_another_message(house: House, destination: UnderMessage) -> None:
    first, second = "one " * 450, "two " * 450
    await destination.show(first)
    await destination.show(first + "\n\n" + second)
    assert [said.split()[0] for said in house.said()] == ["one", "two"]
    assert house.last()[0].reference is not None
    assert house.last()[1].reference is None


async def test_a_shorter_text_takes_the_place_of_several_messages(
    house: House, destination: UnderMessage
) -> None:
    await destination.show("long " * 900)
    assert len(house.said()) == 3
    await destination.show("I lost my words.")
    assert house.said() == ["I lost my words."]
    assert len(destination.messages) == 1


async def test_after_the_answer_was_deleted_nothing_more_is_written(
    house: House, destination: UnderMessage
) -> None:
    await destination.show("Good")
    house.env.backend.delete_message(house.general.id, destination.messages[0].id)
    await destination.show("Good evening")
    await destination.show("Good evening to you")
    assert house.said() == []
    assert destination.messages == []


async def test_an_error_of_discord_is_not_taken_for_a_deletion(
    house: House, destination: UnderMessage
) -> None:
    house.env.inject_error("POST", "/channels/*/messages", status=403)
    with pytest.raises(discord.Forbidden):
        await destination.show("Good evening")
    await destination.show("Good evening")
    assert house.said() == ["Good evening"]


async def test_half_an_answer_that_arrived_unheard_is_completed(
    house: House, destination: UnderMessage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Discord takes a nonce once: tried again with more words, it gives back the first message."""
    send, arrived = destination._send, list[discord.Message]()

    async def unheard(text: str) -> discord.Message:
        if not arrived:
            arrived.append(await send(text))
            raise aiohttp.ServerDisconnectedError
        return arrived[0]

    monkeypatch.setattr(destination, "_send", unheard)
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await destination.show("Good")
    await destination.show("Good evening")
    assert house.said() == ["Good evening"]
    posts = [each for each in house.env.http_requests if each.method == "POST" and "/messages" in each.path]
    [body] = [there(each.json) for each in posts if there(each.json).get("nonce")]
    assert len(body["nonce"]) <= 25
    assert body["enforce_nonce"]
