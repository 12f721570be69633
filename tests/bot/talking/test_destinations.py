"""Where answers are written: under a message and as a command's response, in as few requests as possible."""

from __future__ import annotations

import aiohttp
import discord
import pytest

from bot.talking.destinations import UnderMessage
from tests.bot.house import House


def edits(house: House) -> int:
    return sum(request.method == "PATCH" for request in house.env.http_requests)


@pytest.fixture
async def place(house: House) -> UnderMessage:
    await house.ann.send(house.general, "a question")
    channel = house.bot.get_channel(house.general.id)
    assert isinstance(channel, discord.TextChannel)
    return UnderMessage(await channel.fetch_message(house.general.history()[0].id))


async def test_an_answer_that_did_not_change_is_not_edited(house: House, place: UnderMessage) -> None:
    for text in ("Good", "Good", "Good evening", "Good evening"):
        await place.show(text)
    assert edits(house) == 1
    assert house.said() == ["Good evening"]


async def test_a_growing_answer_goes_on_in_another_message(house: House, place: UnderMessage) -> None:
    first, second = "one " * 450, "two " * 450
    await place.show(first)
    await place.show(first + "\n\n" + second)
    assert [said.split()[0] for said in house.said()] == ["one", "two"]
    assert house.last()[0].reference is not None
    assert house.last()[1].reference is None


async def test_a_shorter_text_takes_the_place_of_several_messages(house: House, place: UnderMessage) -> None:
    await place.show("long " * 900)
    assert len(house.said()) == 3
    await place.show("I lost my words.")
    assert house.said() == ["I lost my words."]
    assert len(place.messages) == 1


async def test_after_the_answer_was_deleted_nothing_more_is_written(
    house: House, place: UnderMessage
) -> None:
    await place.show("Good")
    house.env.backend.delete_message(house.general.id, place.messages[0].id)
    await place.show("Good evening")
    await place.show("Good evening to you")
    assert house.said() == []
    assert place.messages == []


async def test_an_error_of_discord_is_not_taken_for_a_deletion(house: House, place: UnderMessage) -> None:
    house.env.inject_error("POST", "/channels/*/messages", status=403)
    with pytest.raises(discord.Forbidden):
        await place.show("Good evening")
    await place.show("Good evening")
    assert house.said() == ["Good evening"]


async def test_half_an_answer_that_arrived_unheard_is_completed(
    house: House, place: UnderMessage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Discord takes a nonce once: tried again with more words, it gives back the first message."""
    send, arrived = place._send, list[discord.Message]()

    async def unheard(text: str) -> discord.Message:
        if not arrived:
            arrived.append(await send(text))
            raise aiohttp.ServerDisconnectedError
        return arrived[0]

    monkeypatch.setattr(place, "_send", unheard)
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await place.show("Good")
    await place.show("Good evening")
    assert house.said() == ["Good evening"]
    posts = [each for each in house.env.http_requests if each.method == "POST" and "/messages" in each.path]
    [request] = [each for each in posts if each.json.get("nonce")]
    assert len(request.json["nonce"]) <= 25
    assert request.json["enforce_nonce"]
