"""What Discord did not tell, because the bot was away: the store is compared with what is still there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from datetime import timedelta
from typing import Any

import aiohttp
import discord
import pytest
import simcord
from simcord.backend.models import Message as Message_

from ledger.clock import to_ms
from ledger.errors import LedgerError
from ledger.people.policy import declared
from ledger.records import Heard, Message
from tests.bot.house import MARK, House, StandInEngine, until
from tests.looking import answers_of


async def test_messages_and_answers_that_were_deleted_meanwhile_are_forgotten(house: House) -> None:
    sent = [await house.ann.send(house.general, f"{MARK if n % 3 else 'stays'} {n}") for n in range(130)]
    await house.ask(house.ann, "hello")
    answer = house.last()[-1]
    stored = house.env.backend.messages[house.general.id]
    for message in (*(m for n, m in enumerate(sent) if n % 3), answer):
        del stored[message.id]
    assert len(await house.texts()) == 131
    await house.bot.own.catching_up.look()
    assert await house.texts() == [*(f"stays {n}" for n in range(0, 130, 3)), "hello"]
    assert await answers_of(house.services.ledger, house.guild.id) == []
    assert not house.on_disk(MARK)
    before = await house.services.ledger.deletions.newest(house.guild.id)
    await house.bot.own.catching_up.look()
    assert await house.services.ledger.deletions.newest(house.guild.id) == before


async def test_what_was_edited_meanwhile_is_followed_and_what_was_not_is_left_alone(house: House) -> None:
    edited = await house.ann.send(house.general, f"I hate {MARK}")
    await house.ann.send(house.general, "and stew")
    raw = house.env.backend.messages[house.general.id][edited.id]
    raw.content = "I love soup"
    raw.edited_timestamp = house.env.backend.messages[house.general.id][edited.id].timestamp
    await house.bot.own.catching_up.look()
    assert await house.texts() == ["I love soup", "and stew"]
    assert not house.on_disk(MARK)


async def test_a_channel_that_is_gone_is_forgotten(house: House) -> None:
    ledger = house.services.ledger
    await ledger.channels.ensure(404, house.guild.id, "gone")
    await ledger.messages.add(Message(1, house.guild.id, 404, house.ann.id, "ann", MARK, 1))
    await house.ann.send(house.general, "stays")
    await house.bot.own.catching_up.look()
    assert await house.texts() == ["stays"]
    assert not house.on_disk(MARK)


async def test_an_imported_channel_is_not_looked_for(house: House) -> None:
    ledger = house.services.ledger
    await ledger.channels.ensure(404, house.guild.id, "old")
    message = Message(
        1, house.guild.id, 404, house.ann.id, "ann", "long ago", 1, source="import", basis=declared("ours")
    )
    await ledger.messages.add(message)
    await house.bot.own.catching_up.look()
    assert await house.texts() == ["long ago"]


async def test_a_server_that_removed_this_account_is_forgotten_and_anothers_is_not(house: House) -> None:
    ledger, me = house.services.ledger, house.bot.user
    assert me is not None
    for guild_id, account in ((901, me.id), (902, me.id + 1)):
        await ledger.guilds.joined(guild_id, "Elsewhere", account)
        await ledger.channels.ensure(guild_id, guild_id, "hall")
        await ledger.messages.add(Message(guild_id, guild_id, guild_id, 7, "", f"{MARK}{guild_id}", 1))
    await house.bot.own.catching_up.look()
    assert not house.on_disk(f"{MARK}901")
    assert [m.content for m in await ledger.messages.of_guild(902)] == [f"{MARK}902"]
    assert 901 not in await ledger.guilds.joined_by(me.id)


async def test_a_history_that_may_not_be_read_is_not_taken_for_an_empty_one(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Discord answers without any message then, and not with a refusal."""
    await house.ann.send(house.general, "stays")

    async def nothing(*arguments: object, **options: object) -> AsyncIterator[discord.Message]:
        nobody: list[discord.Message] = []
        for message in nobody:
            yield message

    monkeypatch.setattr(discord.TextChannel, "history", nothing)
    may_see = discord.Permissions(view_channel=True)
    with monkeypatch.context() as patch:
        patch.setattr(discord.TextChannel, "permissions_for", lambda channel, member: may_see)
        assert await house.bot.own.catching_up.look()
        assert await house.texts() == ["stays"]
    assert await house.bot.own.catching_up.look()
    assert await house.texts() == [], "with the right to read it, an empty history is one"


async def test_one_channel_that_cannot_be_asked_for_now_keeps_no_other_from_being_compared(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.keeping.catching_up.RETRY_SECONDS", 0.01)
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
    assert not await house.bot.own.catching_up.look()
    assert await house.texts() == [f"{MARK} one"]
    asked = 0
    await house.bot.own.catching_up.catch_up()
    await until(lambda: asked == 2)
    async with asyncio.timeout(10):
        while await house.texts():
            await asyncio.sleep(0.005)
    await asyncio.sleep(0.1)
    assert asked == 2, "what has been seen is not looked at again"


def away(
    house: House,
    who: simcord.MemberActor,
    text: str,
    *,
    channel: simcord.ChannelHandle | None = None,
    minutes_ago: float = 1.0,
    **fields: Any,
) -> int:
    """Have somebody say something that no event tells the bot of; return the message's id."""
    channel = channel or house.general
    at = house.services.clock.now() - timedelta(minutes=minutes_ago)
    number = discord.utils.time_snowflake(at) + len(house.env.backend.messages[channel.id])
    raw = Message_(
        id=number, channel_id=channel.id, author_id=who.id, content=text, timestamp=at.isoformat(), **fields
    )
    house.env.backend.messages[channel.id][number] = raw
    here = house.bot.get_channel(channel.id)
    house.env.backend.channels[channel.id].last_message_id = number
    here.last_message_id = number  # type: ignore[union-attr]
    return number


async def absent(house: House, **span: float) -> None:
    """Let the bot have listened until then, and lose its session."""
    await house.bot.own.catching_up.look()
    house.bot.own.catching_up.lost()
    house.bot.own.catching_up.connected()
    until = house.services.clock.now() - timedelta(**span)
    await house.services.ledger.guilds.heard([house.guild.id], to_ms(until))


async def test_what_consenting_members_said_meanwhile_is_kept_once_each(house: House) -> None:
    house.services.clock.advance(hours=2)  # type: ignore[attr-defined]
    await absent(house, hours=1)
    for number in range(5):
        away(house, house.ann, f"while you were out {number}", minutes_ago=30 - number)
    away(house, house.ben, MARK)
    for _ in range(2):
        await house.bot.own.catching_up.look()
    assert await house.texts() == [f"while you were out {number}" for number in range(5)]
    assert not house.on_disk(MARK)


async def test_what_was_said_before_its_author_agreed_is_not_kept(house: House) -> None:
    house.services.clock.advance(hours=1)  # type: ignore[attr-defined]
    await absent(house, minutes=50)
    away(house, house.ben, MARK, minutes_ago=20)
    house.services.clock.advance(minutes=-10)  # type: ignore[attr-defined]
    await house.services.ledger.consent.opt_in(house.guild.id, house.ben.id)
    house.services.clock.advance(minutes=10)  # type: ignore[attr-defined]
    away(house, house.ben, "now you may", minutes_ago=5)
    await house.bot.own.catching_up.look()
    assert await house.texts() == ["now you may"]
    assert not house.on_disk(MARK)


async def test_an_ignored_channel_is_not_listened_to_late(house: House) -> None:
    house.services.clock.advance(hours=1)  # type: ignore[attr-defined]
    await house.boss.slash(house.general, "channel ignore")
    await absent(house, minutes=50)
    away(house, house.ann, MARK)
    await house.bot.own.catching_up.look()
    assert not house.on_disk(MARK)


async def test_the_bot_listens_back_to_a_limit(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.keeping.catching_up.MISSED", 3)
    house.services.clock.advance(days=20)  # type: ignore[attr-defined]
    await absent(house, days=15)
    away(house, house.ann, "two weeks ago", minutes_ago=14 * 24 * 60)
    for number in range(5):
        away(house, house.ann, f"lately {number}", minutes_ago=50 - number)
    await house.bot.own.catching_up.look()
    assert await house.texts() == ["lately 2", "lately 3", "lately 4"]


async def test_of_the_questions_meanwhile_the_newest_is_answered_if_it_is_minutes_old(
    house: House, engine: StandInEngine
) -> None:
    house.services.clock.advance(hours=1)  # type: ignore[attr-defined]
    await absent(house, minutes=50)
    me = house.bot.user
    assert me is not None
    mention: dict[str, Any] = {"mention_user_ids": [me.id]}
    away(house, house.ann, f"{house.me} first?", minutes_ago=9, **mention)
    newest = away(house, house.ben, f"{house.me} second?", minutes_ago=4, **mention)
    for _ in range(2):
        await house.bot.own.catching_up.look()
        await house.quiet()
    [answer] = house.last()
    assert answer.reference is not None
    assert answer.reference.message_id == newest
    house.bot.own.catching_up.lost()
    house.bot.own.catching_up.connected()
    house.services.clock.advance(minutes=30)  # type: ignore[attr-defined]
    away(house, house.ben, f"{house.me} third?", minutes_ago=20, **mention)
    await house.bot.own.catching_up.look()
    await house.quiet()
    assert len(house.last()) == 1


async def test_a_history_that_cannot_be_read_is_read_later(house: House) -> None:
    house.services.clock.advance(hours=1)  # type: ignore[attr-defined]
    await absent(house, minutes=50)
    away(house, house.ann, "wait for me")
    house.env.inject_error("GET", "/channels/*/messages", status=503, times=1)
    assert not await house.bot.own.catching_up.look()
    await house.bot.own.catching_up.note_heard()
    assert await house.bot.own.catching_up.look()
    assert await house.texts() == ["wait for me"]


async def test_while_the_connection_is_broken_nothing_counts_as_heard(house: House) -> None:
    guilds = house.services.ledger.guilds
    await house.bot.own.catching_up.look()
    before = await guilds.heard_until(house.guild.id)
    house.bot.own.catching_up.lost()
    house.services.clock.advance(hours=1)  # type: ignore[attr-defined]
    await house.bot.own.catching_up.note_heard()
    assert await guilds.heard_until(house.guild.id) == before
    house.bot.own.catching_up.resumed()
    await house.bot.own.catching_up.note_heard()
    assert await guilds.heard_until(house.guild.id) == to_ms(house.services.clock.now())


async def test_what_waits_in_memory_does_not_count_as_heard(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, ledger = house.bot.own, house.services.ledger
    await own.catching_up.look()
    before = await ledger.guilds.heard_until(house.guild.id)
    assert before is not None
    store = ledger.live_messages.store

    async def broken(batch: Sequence[Heard]) -> int:
        raise LedgerError("The database could not be written.")

    monkeypatch.setattr(ledger.live_messages, "store", broken)
    await house.ann.send(house.general, "a crash would lose this")
    house.services.clock.advance(minutes=1)  # type: ignore[attr-defined]
    await own.catching_up.note_heard()
    own.catching_up.lost()
    own.catching_up.connected()
    assert await own.catching_up.look()
    assert await ledger.guilds.heard_until(house.guild.id) == before
    monkeypatch.setattr(ledger.live_messages, "store", store)
    await own.recording.backlog._try()
    await own.catching_up.note_heard()
    assert await ledger.guilds.heard_until(house.guild.id) == to_ms(house.services.clock.now())
    assert await house.texts() == ["a crash would lose this"]


async def test_what_was_heard_while_the_mark_is_made_is_stored_first(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, ledger = house.bot.own, house.services.ledger
    await own.catching_up.look()
    await house.ann.send(house.general, "hello")
    order: list[str] = []
    store, heard = ledger.live_messages.store, ledger.guilds.heard

    async def slow(batch: Sequence[Heard]) -> int:
        await asyncio.sleep(0.02)
        order.append("stored")
        return await store(batch)

    async def noted(guild_ids: Collection[int], until: int) -> None:
        order.append("noted")
        await heard(guild_ids, until)

    monkeypatch.setattr(ledger.live_messages, "store", slow)
    monkeypatch.setattr(ledger.guilds, "heard", noted)
    house.env.backend.create_message(house.general.id, house.ann.id, "just now")
    await asyncio.sleep(0.005)
    await own.catching_up.note_heard()
    assert order == ["stored", "noted"]


async def test_what_was_said_where_the_bot_did_not_listen_then_stays_there(house: House) -> None:
    house.services.clock.advance(hours=1)  # type: ignore[attr-defined]
    hidden = discord.PermissionOverwrite(view_channel=False)
    shown = discord.PermissionOverwrite(view_channel=True)
    cellar = house.guild.create_text_channel(
        "cellar", overwrites={house.guild.default_role: hidden, house.user: shown}
    )
    await absent(house, minutes=50)
    away(house, house.ann, MARK, channel=cellar)
    await house.services.ledger.channels.set_mode(404, house.guild.id, "elsewhere", "listen")
    house.env.backend.channels[cellar.id].overwrites = []
    here = house.bot.get_channel(cellar.id)
    here._overwrites.clear()  # type: ignore[union-attr]  # opened while the bot was away
    await house.bot.own.catching_up.look()
    assert not house.on_disk(MARK)


async def test_a_break_while_the_bot_catches_up_leaves_nothing_as_heard(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.services.clock.advance(hours=1)  # type: ignore[attr-defined]
    await absent(house, minutes=50)
    away(house, house.ann, "before the break")
    catching_up, missed = house.bot.own.catching_up, house.bot.own.catching_up._missed

    async def broken(channel: Any, since: Any) -> Any:
        found = await missed(channel, since)
        catching_up.lost()
        return found

    monkeypatch.setattr(catching_up, "_missed", broken)
    before = await house.services.ledger.guilds.heard_until(house.guild.id)
    assert not await catching_up.look()
    await catching_up.note_heard()
    assert await house.services.ledger.guilds.heard_until(house.guild.id) == before
    assert not await catching_up.look()  # not while the connection is broken


async def long_ago(house: House, text: str, *, days: float) -> int:
    """Have a message there that was heard so many days ago; return its id."""
    number = away(house, house.ann, text, minutes_ago=days * 24 * 60)
    ledger, at = house.services.ledger, to_ms(discord.utils.snowflake_time(number))
    await ledger.channels.ensure(house.general.id, house.guild.id, "general")
    await ledger.messages.add(
        Message(number, house.guild.id, house.general.id, house.ann.id, "ann", text, at)
    )
    await ledger.guilds.heard([house.guild.id], to_ms(house.services.clock.now()))
    return number


def asked_from(monkeypatch: pytest.MonkeyPatch, *, breaks_at: int = -1) -> list[int]:
    """Return a list that gets the message from which each page of a comparison was asked for, newest first.

    The connection breaks at one of them.
    """
    read = discord.TextChannel.history
    tops: list[int] = []

    def history(channel: discord.TextChannel, **options: Any) -> AsyncIterator[discord.Message]:
        if "before" in options:
            tops.append(options["before"].id - 1)
            if len(tops) == breaks_at:
                raise aiohttp.ClientConnectionError
        return read(channel, **options)

    monkeypatch.setattr(discord.TextChannel, "history", history)
    return tops


async def test_a_comparison_that_was_broken_off_goes_on_where_it_was(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second session compares what the first did not reach, before it begins above again."""
    monkeypatch.setattr("bot.keeping.catching_up.PAGE", 4)
    ids = [await long_ago(house, f"old {number}", days=30 - number) for number in range(12)]
    tops = asked_from(monkeypatch, breaks_at=3)
    catching_up = house.bot.own.catching_up
    assert not await catching_up.look()
    catching_up.connected()
    del house.env.backend.messages[house.general.id][ids[9]]
    assert await catching_up.look()
    # A mark is a time and no number: the last that was reached is compared again. One is gone.
    assert tops == [ids[at] for at in (11, 7, 3, 4, 0, 11, 6)]
    assert await house.texts() == [f"old {number}" for number in range(12) if number != 9]
    assert await house.services.ledger.comparisons.due(house.guild.id) == {}


async def test_the_last_week_is_compared_first_in_every_session_and_once(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """People take back what they just said, while a long history takes hours."""
    old, new = await long_ago(house, "old", days=8), await long_ago(house, "new", days=1)
    tops = asked_from(monkeypatch)
    for _ in range(2):
        house.bot.own.catching_up.connected()
        for _ in range(2):
            await house.bot.own.catching_up.look()
    assert tops == [new, old] * 2
