"""What Discord did not tell, because the bot was away: the store is compared with what is still there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import discord
import pytest

from ledger.records import Message
from tests.bot.house import House, StandInEngine, open_house, settings_for

MARK = "zebrafish-marzipan"


@pytest.fixture
async def house(tmp_path: Path, engine: StandInEngine) -> AsyncIterator[House]:
    async with open_house(settings_for(tmp_path, engine.url)) as opened:
        await opened.ann.slash(opened.general, "privacy opt-in")
        yield opened


async def texts(house: House) -> list[str]:
    return [message.content for message in await house.services.ledger.messages.of_guild(house.guild.id)]


async def test_messages_and_answers_that_were_deleted_meanwhile_are_forgotten(house: House) -> None:
    sent = [await house.ann.send(house.general, f"{MARK if n % 3 else 'stays'} {n}") for n in range(130)]
    await house.ask(house.ann, "hello")
    answer = house.last()[-1]
    stored = house.env.backend.messages[house.general.id]
    for message in (*(m for n, m in enumerate(sent) if n % 3), answer):
        del stored[message.id]
    assert len(await texts(house)) == 131
    await house.bot.catching_up.look()
    assert await texts(house) == [*(f"stays {n}" for n in range(0, 130, 3)), "hello"]
    assert await house.services.ledger.replies.of_guild(house.guild.id) == []
    assert not house.on_disk(MARK)
    before = await house.services.ledger.deletions.newest(house.guild.id)
    await house.bot.catching_up.look()
    assert await house.services.ledger.deletions.newest(house.guild.id) == before


async def test_what_was_edited_meanwhile_is_followed_and_what_was_not_is_left_alone(house: House) -> None:
    edited = await house.ann.send(house.general, f"I hate {MARK}")
    await house.ann.send(house.general, "and stew")
    raw = house.env.backend.messages[house.general.id][edited.id]
    raw.content = "I love soup"
    raw.edited_timestamp = house.env.backend.messages[house.general.id][edited.id].timestamp
    await house.bot.catching_up.look()
    assert await texts(house) == ["I love soup", "and stew"]
    assert not house.on_disk(MARK)


async def test_a_channel_that_is_gone_is_forgotten(house: House) -> None:
    ledger = house.services.ledger
    await ledger.channels.ensure(404, house.guild.id, "gone")
    await ledger.messages.add(Message(1, house.guild.id, 404, house.ann.id, "ann", MARK, 1))
    await house.ann.send(house.general, "stays")
    await house.bot.catching_up.look()
    assert await texts(house) == ["stays"]
    assert not house.on_disk(MARK)


async def test_an_imported_channel_is_not_looked_for(house: House) -> None:
    ledger = house.services.ledger
    await ledger.channels.ensure(404, house.guild.id, "old")
    message = Message(
        1, house.guild.id, 404, house.ann.id, "ann", "long ago", 1, source="import", basis="ours"
    )
    await ledger.messages.add(message)
    await house.bot.catching_up.look()
    assert await texts(house) == ["long ago"]


async def test_a_server_that_removed_this_account_is_forgotten_and_anothers_is_not(house: House) -> None:
    ledger, me = house.services.ledger, house.bot.user
    assert me is not None
    for guild_id, account in ((901, me.id), (902, me.id + 1)):
        await ledger.guilds.joined(guild_id, "Elsewhere", account)
        await ledger.channels.ensure(guild_id, guild_id, "hall")
        await ledger.messages.add(Message(guild_id, guild_id, guild_id, 7, "", f"{MARK}{guild_id}", 1))
    await house.bot.catching_up.look()
    assert not house.on_disk(f"{MARK}901")
    assert [m.content for m in await ledger.messages.of_guild(902)] == [f"{MARK}902"]
    assert 901 not in await ledger.guilds.joined_by(me.id)


async def test_a_history_that_may_not_be_read_is_not_taken_for_an_empty_one(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Discord answers without any message then, and not with a refusal."""
    await house.ann.send(house.general, "stays")

    async def nothing(*arguments: object, **options: object) -> AsyncIterator[discord.Message]:
        for message in ():
            yield message

    monkeypatch.setattr(discord.TextChannel, "history", nothing)
    may_see = discord.Permissions(view_channel=True)
    with monkeypatch.context() as patch:
        patch.setattr(discord.TextChannel, "permissions_for", lambda channel, member: may_see)
        assert await house.bot.catching_up.look()
        assert await texts(house) == ["stays"]
    assert await house.bot.catching_up.look()
    assert await texts(house) == [], "with the right to read it, an empty history is one"


async def test_one_channel_that_cannot_be_asked_for_now_keeps_no_other_from_being_compared(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.catching_up.RETRY_SECONDS", 0.01)
    ledger = house.services.ledger
    await ledger.channels.ensure(5, house.guild.id, "gone")
    await ledger.messages.add(Message(1, house.guild.id, 5, house.ann.id, "ann", f"{MARK} one", 1))
    sent = await house.ann.send(house.general, f"{MARK} two")
    del house.env.backend.messages[house.general.id][sent.id]
    fetch, asked = house.bot.fetch_channel, 0

    async def hiccup(channel_id: int) -> object:
        nonlocal asked
        asked += 1
        if asked == 1:
            raise aiohttp.ClientConnectionError
        return await fetch(channel_id)

    monkeypatch.setattr(house.bot, "fetch_channel", hiccup)
    assert not await house.bot.catching_up.look()
    assert await texts(house) == [f"{MARK} one"]
    asked = 0
    await house.bot.catching_up.until_seen()
    assert (asked, await texts(house)) == (2, [])
