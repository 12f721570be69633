"""What is edited or deleted in Discord is edited or deleted here, down to the bytes on the disk."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from typing import Any

import pytest

from ledger.errors import LedgerError
from ledger.forgetting.deletions import Deletion
from tests.bot.house import MARK, House
from tests.looking import answers_of, deletions_of


async def test_what_somebody_wrote_before_they_agreed_is_not_kept_when_they_edit_it_later(
    house: House,
) -> None:
    early = await house.ben.send(house.general, "too early")
    await house.ben.slash(house.general, "privacy opt-in")
    await house.ben.edit(early, f"still too early {MARK}")
    assert await house.texts() == []
    assert not house.on_disk(MARK)


async def test_an_edit_replaces_the_text_and_its_old_words_leave_the_disk(house: House) -> None:
    message = await house.ann.send(house.general, f"I hate {MARK}")
    await house.ann.edit(message, "I love soup")
    [stored] = await house.kept()
    assert stored.content == "I love soup"
    assert stored.edited_at is not None
    assert not house.on_disk(MARK)


async def test_a_pin_or_a_preview_is_no_edit(house: House) -> None:
    message = await house.ann.send(house.general, "I love soup")
    await house.ann.edit(message, "I love stew")
    before = await deletions_of(house.services.ledger, house.guild.id)
    house.env.backend.set_pinned(house.general.id, message.id, True, actor_id=house.boss.id)
    house.env.backend.edit_message(house.general.id, message.id, {"embeds": [{"title": "a page"}]})
    await house.env.settle()
    assert await deletions_of(house.services.ledger, house.guild.id) == before
    assert await house.texts() == ["I love stew"]


async def test_an_edit_to_nothing_and_an_edit_after_opting_out_remove_the_message(house: House) -> None:
    one = await house.ann.send(house.general, f"one {MARK}")
    two = await house.ann.send(house.general, f"two {MARK}")
    house.env.backend.edit_message(house.general.id, one.id, {"content": ""})
    await house.env.settle()
    await house.ann.slash(house.general, "privacy opt-out")
    await house.ann.edit(two, "three")
    assert await house.texts() == []
    assert not house.on_disk(MARK)


async def test_deleted_messages_leave_the_disk_one_by_one_and_in_bulk(house: House) -> None:
    sent = [await house.ann.send(house.general, f"{MARK} {number}") for number in range(4)]
    await house.ann.delete(sent[0])
    assert len(await house.kept()) == 3
    house.env.backend.bulk_delete_messages(house.general.id, [message.id for message in sent[1:]])
    await house.env.settle()
    assert await house.kept() == []
    assert not house.on_disk(MARK)


async def test_a_message_that_is_deleted_the_moment_it_is_sent_is_not_kept(house: House) -> None:
    for number in range(10):
        message = house.env.backend.create_message(house.general.id, house.ann.id, f"{MARK} {number}")
        house.env.backend.delete_message(house.general.id, message.id)
        await house.env.settle()
    assert await house.kept() == []
    assert not house.on_disk(MARK)


async def test_a_channel_that_is_deleted_the_moment_something_is_said_in_it_is_not_kept(house: House) -> None:
    for number in range(5):
        room = house.guild.create_text_channel(f"room-{number}")
        await house.env.settle()
        house.env.backend.create_message(room.id, house.ann.id, MARK)
        house.env.backend.delete_channel(room.id)
        await house.env.settle()
    assert await house.kept() == []
    assert not house.on_disk(MARK)


async def test_a_deleted_answer_is_deleted_here(house: House) -> None:
    await house.ask(house.ann, "hello")
    house.env.backend.delete_message(house.general.id, house.last()[0].id)
    await house.env.settle()
    assert await answers_of(house.services.ledger, house.guild.id) == []


async def test_a_deleted_channel_takes_its_messages_threads_and_answers_with_it(house: House) -> None:
    room = house.guild.create_text_channel("room")
    await house.ann.send(room, f"here is {MARK}")
    thread = house.env.backend.create_thread(room.id, "side talk", owner_id=house.ann.id)
    await house.env.settle()
    [side] = room.threads
    assert side.id == thread.id
    await house.ann.send(side, f"and here {MARK}")
    await house.ask(house.ann, "hello", channel=room)
    await house.ann.send(house.general, "this stays")
    assert len(await house.kept()) == 4
    house.env.backend.delete_channel(room.id)
    await house.env.settle()
    assert await house.texts() == ["this stays"]
    assert await answers_of(house.services.ledger, house.guild.id) == []
    assert not house.on_disk(MARK)


async def test_a_thread_follows_its_channel_and_a_deleted_thread_is_forgotten(house: House) -> None:
    thread = house.env.backend.create_thread(house.general.id, "side talk", owner_id=house.ann.id)
    await house.env.settle()
    [side] = house.general.threads
    await house.ann.send(side, f"in the thread {MARK}")
    assert [message.channel_id for message in await house.kept()] == [thread.id]
    house.env.backend.delete_channel(thread.id)
    await house.env.settle()
    assert await house.kept() == []
    assert not house.on_disk(MARK)


async def test_a_server_that_removes_the_bot_is_forgotten(house: House) -> None:
    await house.ann.send(house.general, MARK)
    version = await house.promoted()
    house.env.backend.remove_guild(house.guild.id)
    await house.env.settle()
    assert not house.on_disk(MARK)
    adapters = house.services.ledger.adapters
    assert await adapters.champion(house.guild.id) is None
    assert (await adapters.require(house.guild.id, version)).state == "deleted"


async def test_a_deleted_channel_takes_its_archived_threads_with_it(house: House) -> None:
    room = house.guild.create_text_channel("room")
    thread = house.env.backend.create_thread(room.id, "side talk", owner_id=house.ann.id)
    await house.env.settle()
    [side] = room.threads
    await house.ann.send(side, f"here is {MARK}")
    # Discord drops an archived thread from what it tells a bot, and says nothing when its channel goes.
    guild = house.bot.get_guild(house.guild.id)
    assert guild is not None
    guild._threads.pop(thread.id)
    house.env.backend.delete_channel(room.id)
    await house.env.settle()
    assert await house.kept() == []
    assert not house.on_disk(MARK)


async def test_an_edit_in_a_channel_that_is_ignored_now_removes_the_message(house: House) -> None:
    message = await house.ann.send(house.general, "hello")
    await house.boss.slash(house.general, "channel ignore")
    await house.ann.edit(message, f"hello {MARK}")
    assert await house.kept() == []
    assert not house.on_disk(MARK)


async def test_what_was_deleted_while_the_database_was_locked_is_forgotten_as_soon_as_it_is_not(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("bot.keeping.following.RETRY_SECONDS", 0.02)
    ledger = house.services.ledger
    await ledger.writer.execute("PRAGMA busy_timeout = 1")
    said = await house.ann.send(house.general, MARK)
    meant = await house.ann.send(house.general, f"{MARK} again")
    with closing(sqlite3.connect(ledger.path, isolation_level=None)) as another:
        another.execute("BEGIN IMMEDIATE")
        await house.ann.delete(said)
        await house.ann.edit(meant, "harmless")
        await house.env.settle()
        assert await house.texts() == [MARK, f"{MARK} again"]
        another.execute("ROLLBACK")
    async with asyncio.timeout(10):
        while await house.texts() != ["harmless"]:
            await asyncio.sleep(0.005)
    assert not house.on_disk(MARK)
    assert "is tried again" in caplog.text
    assert MARK not in caplog.text


async def test_an_edit_that_comes_late_does_not_undo_a_later_one(house: House) -> None:
    said = await house.ann.send(house.general, "first")
    await house.ann.edit(said, "second")
    late = await house.bot.get_channel(house.general.id).fetch_message(said.id)  # type: ignore[union-attr]
    await house.env.advance_time(5.0)
    await house.ann.edit(said, "third")
    await house.bot.own.following.edited(late)
    assert await house.texts() == ["third"]


async def test_an_edit_back_is_not_undone_by_an_earlier_one_that_comes_late(house: House) -> None:
    said = await house.ann.send(house.general, "hello")
    await house.services.ledger.writer.execute("UPDATE messages SET content = 'hello', edited_at = NULL")
    await house.env.advance_time(5.0)
    raw = house.env.backend.messages[house.general.id][said.id]
    await house.ann.edit(said, MARK)
    late = await house.bot.get_channel(house.general.id).fetch_message(said.id)  # type: ignore[union-attr]
    # As if that edit could not be followed: what is stored is the text before it.
    await house.services.ledger.writer.execute("UPDATE messages SET content = 'hello', edited_at = NULL")
    await house.env.advance_time(5.0)
    await house.ann.edit(said, "hello")
    assert raw.content == "hello"
    await house.bot.own.following.edited(late)
    assert await house.texts() == ["hello"]


async def test_a_server_that_invites_the_bot_again_before_its_removal_was_followed_is_known(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.keeping.following.RETRY_SECONDS", 0.05)
    ledger, me = house.services.ledger, house.bot.user
    assert me is not None
    await house.ann.send(house.general, MARK)
    begin, calls = ledger.deletions.begin, 0

    async def failing_once(*arguments: Any, **options: Any) -> Deletion:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise LedgerError("The disk is full.")
        return await begin(*arguments, **options)

    monkeypatch.setattr(ledger.deletions, "begin", failing_once)
    await house.bot.own.following.guild_removed(house.guild.id)
    assert await house.texts() == [MARK]
    async with asyncio.timeout(10):
        while house.guild.id not in await ledger.guilds.joined_by(me.id) or await house.texts():
            await asyncio.sleep(0.01)
    assert calls == 2
    assert len(await deletions_of(ledger, house.guild.id)) == 1
