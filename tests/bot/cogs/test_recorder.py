"""What is kept of what is said: nothing of anybody who did not agree, down to the bytes on the disk."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import discord
import pytest
import simcord

from ledger.errors import LedgerError
from ledger.forgetting.deletions import Deletion
from ledger.records import Message
from tests.bot.house import House, StandInEngine, open_house, settings_for, until

MARK = "zebrafish-marzipan"


@pytest.fixture
async def house(tmp_path: Path, engine: StandInEngine) -> AsyncIterator[House]:
    """A house in which ann has opted in, and ben and the boss have not."""
    async with open_house(settings_for(tmp_path, engine.url)) as opened:
        await opened.ann.slash(opened.general, "privacy opt-in")
        yield opened


async def kept(house: House) -> list[Message]:
    return await house.services.ledger.messages.of_guild(house.guild.id)


async def texts(house: House) -> list[str]:
    return [message.content for message in await kept(house)]


def hidden_from_members(house: House) -> simcord.ChannelHandle:
    hidden = discord.PermissionOverwrite(view_channel=False)
    shown = discord.PermissionOverwrite(view_channel=True)
    return house.guild.create_text_channel(
        "cellar", overwrites={house.guild.default_role: hidden, house.ann: shown, house.bot.user: shown}
    )


async def test_a_message_of_somebody_who_agreed_is_kept_as_it_was_said(house: House) -> None:
    first = await house.ann.send(house.general, "I love soup")
    second = await house.ann.send(house.general, f"{house.ben.mention} do you?", reply_to=first)
    one, two = await kept(house)
    assert (one.content, one.author_name) == ("I love soup", "ann")
    assert (one.source, one.basis) == ("discord", "opt-in")
    assert (two.id, two.reply_to) == (second.id, first.id)
    assert house.ben.id in two.mentions
    assert two.channel_id == house.general.id


async def test_nothing_of_somebody_who_did_not_agree_reaches_the_disk(
    house: House, engine: StandInEngine
) -> None:
    # The model repeats word for word what it read: the worst that it can do.
    engine.pieces = lambda body: [turn["content"] for turn in body["messages"][1:]]
    mine = await house.ben.send(house.general, f"my secret is {MARK}")
    await house.ben.edit(mine, f"my secret was {MARK}")
    await house.ask(house.ben, f"what do you think of {MARK}?")
    await house.ben.slash(house.general, "ask", question=f"and what is {MARK}?")
    await house.quiet()
    await house.ask(house.ann, "what did ben say?", reply_to=mine)
    await house.ask(house.ann, "and what did you say to ben?", reply_to=house.last()[0])
    await house.ben.react(house.last()[0], "👍")
    thread = house.env.backend.create_thread(house.general.id, "side talk", owner_id=house.ben.id)
    await house.env.settle()
    side = next(each for each in house.general.threads if each.id == thread.id)
    await house.ben.send(side, MARK)
    await house.ben.delete(mine)
    await house.ben.slash(house.general, "privacy opt-in")
    await house.ben.slash(house.general, "privacy opt-out")
    await house.ben.send(house.general, MARK)
    assert any(MARK in said for said in house.said())
    assert len(await house.services.ledger.replies.of_guild(house.guild.id)) >= 4
    assert not house.on_disk(MARK)


async def test_what_somebody_wrote_before_they_agreed_is_not_kept_when_they_edit_it_later(
    house: House,
) -> None:
    early = await house.ben.send(house.general, "too early")
    await house.ben.slash(house.general, "privacy opt-in")
    await house.ben.edit(early, f"still too early {MARK}")
    assert await texts(house) == []
    assert not house.on_disk(MARK)


async def test_the_answer_to_somebody_who_agreed_is_kept_with_its_version(house: House) -> None:
    version = await house.promoted()
    question = await house.ask(house.ann, "hello")
    [reply] = await house.services.ledger.replies.of_guild(house.guild.id)
    assert (reply.content, reply.adapter_version) == ("Good evening.", version)
    assert (reply.asked_by, reply.in_reply_to) == (house.ann.id, question.id)
    assert reply.message_id == house.last()[0].id


async def test_the_answer_to_somebody_who_did_not_agree_is_kept_without_its_text(house: House) -> None:
    await house.ask(house.ben, "hello")
    [reply] = await house.services.ledger.replies.of_guild(house.guild.id)
    assert (reply.content, reply.asked_by) == ("", house.ben.id)


async def test_an_edit_replaces_the_text_and_its_old_words_leave_the_disk(house: House) -> None:
    message = await house.ann.send(house.general, f"I hate {MARK}")
    await house.ann.edit(message, "I love soup")
    [stored] = await kept(house)
    assert stored.content == "I love soup"
    assert stored.edited_at is not None
    assert not house.on_disk(MARK)


async def test_a_pin_or_a_preview_is_no_edit(house: House) -> None:
    message = await house.ann.send(house.general, "I love soup")
    await house.ann.edit(message, "I love stew")
    before = await house.services.ledger.deletions.of_guild(house.guild.id)
    house.env.backend.set_pinned(house.general.id, message.id, True, actor_id=house.boss.id)
    house.env.backend.edit_message(house.general.id, message.id, {"embeds": [{"title": "a page"}]})
    await house.env.settle()
    assert await house.services.ledger.deletions.of_guild(house.guild.id) == before
    assert await texts(house) == ["I love stew"]


async def test_an_edit_to_nothing_and_an_edit_after_opting_out_remove_the_message(house: House) -> None:
    one = await house.ann.send(house.general, f"one {MARK}")
    two = await house.ann.send(house.general, f"two {MARK}")
    house.env.backend.edit_message(house.general.id, one.id, {"content": ""})
    await house.env.settle()
    await house.ann.slash(house.general, "privacy opt-out")
    await house.ann.edit(two, "three")
    assert await texts(house) == []
    assert not house.on_disk(MARK)


async def test_deleted_messages_leave_the_disk_one_by_one_and_in_bulk(house: House) -> None:
    sent = [await house.ann.send(house.general, f"{MARK} {number}") for number in range(4)]
    await house.ann.delete(sent[0])
    assert len(await kept(house)) == 3
    house.env.backend.bulk_delete_messages(house.general.id, [message.id for message in sent[1:]])
    await house.env.settle()
    assert await kept(house) == []
    assert not house.on_disk(MARK)


async def test_a_message_that_is_deleted_the_moment_it_is_sent_is_not_kept(house: House) -> None:
    for number in range(10):
        message = house.env.backend.create_message(house.general.id, house.ann.id, f"{MARK} {number}")
        house.env.backend.delete_message(house.general.id, message.id)
        await house.env.settle()
    assert await kept(house) == []
    assert not house.on_disk(MARK)


async def test_a_channel_that_is_deleted_the_moment_something_is_said_in_it_is_not_kept(house: House) -> None:
    for number in range(5):
        room = house.guild.create_text_channel(f"room-{number}")
        await house.env.settle()
        house.env.backend.create_message(room.id, house.ann.id, MARK)
        house.env.backend.delete_channel(room.id)
        await house.env.settle()
    assert await kept(house) == []
    assert not house.on_disk(MARK)


async def test_a_deleted_answer_is_deleted_here(house: House) -> None:
    await house.ask(house.ann, "hello")
    house.env.backend.delete_message(house.general.id, house.last()[0].id)
    await house.env.settle()
    assert await house.services.ledger.replies.of_guild(house.guild.id) == []


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
    assert len(await kept(house)) == 4
    house.env.backend.delete_channel(room.id)
    await house.env.settle()
    assert await texts(house) == ["this stays"]
    assert await house.services.ledger.replies.of_guild(house.guild.id) == []
    assert not house.on_disk(MARK)


async def test_a_thread_follows_its_channel_and_a_deleted_thread_is_forgotten(house: House) -> None:
    thread = house.env.backend.create_thread(house.general.id, "side talk", owner_id=house.ann.id)
    await house.env.settle()
    [side] = house.general.threads
    await house.ann.send(side, f"in the thread {MARK}")
    assert [message.channel_id for message in await kept(house)] == [thread.id]
    house.env.backend.delete_channel(thread.id)
    await house.env.settle()
    assert await kept(house) == []
    assert not house.on_disk(MARK)


async def test_a_thread_falls_silent_together_with_its_channel(house: House) -> None:
    house.env.backend.create_thread(house.general.id, "side talk", owner_id=house.ann.id)
    await house.env.settle()
    [side] = house.general.threads
    await house.ann.send(side, "before")
    await house.boss.slash(house.general, "channel ignore")
    await house.ann.send(side, "after")
    await house.ask(house.ann, "anyone?", channel=side)
    assert await texts(house) == ["before"]
    assert house.said(side) == []


async def test_an_ignored_channel_is_not_recorded(house: House) -> None:
    await house.boss.slash(house.general, "channel ignore")
    await house.ann.send(house.general, MARK)
    assert not house.on_disk(MARK)


async def test_a_private_channel_is_not_recorded_unless_an_admin_says_so(house: House) -> None:
    cellar = hidden_from_members(house)
    await house.ann.send(cellar, MARK)
    assert not house.on_disk(MARK)
    await house.services.ledger.channels.set_mode(cellar.id, house.guild.id, "cellar", "listen")
    await house.ann.send(cellar, "now it is fine")
    assert await texts(house) == ["now it is fine"]


async def test_a_channel_that_becomes_private_is_not_recorded_any_more(house: House) -> None:
    await house.ann.send(house.general, "still public")
    hidden = simcord.backend.models.Overwrite(
        target_id=house.guild.id,
        type=0,
        allow=0,
        deny=discord.Permissions(view_channel=True).value,
    )
    shown = simcord.backend.models.Overwrite(
        target_id=house.ann.id, type=1, allow=discord.Permissions(view_channel=True).value, deny=0
    )
    house.env.backend.edit_channel(house.general.id, {}, overwrites=[hidden, shown])
    await house.env.settle()
    await house.ann.send(house.general, MARK)
    assert await texts(house) == ["still public"]
    assert not house.on_disk(MARK)


async def test_bots_webhooks_and_direct_messages_are_never_recorded(house: House) -> None:
    robot = house.guild.add_member(house.env.create_user("robot", bot=True))
    await house.services.ledger.consent.opt_in(house.guild.id, robot.id)
    await robot.send(house.general, f"{MARK} from a bot")
    hook = house.guild.create_webhook(house.general, "news")
    await hook.send(f"{MARK} from a webhook")
    await house.ann.send_dm(f"{MARK} in private")
    await house.quiet()
    await house.ann.slash(house.general, "ask", question=f"{MARK} as a command")
    await house.quiet()
    assert await kept(house) == []
    assert not house.on_disk(MARK)


async def test_a_message_without_text_and_a_service_message_are_not_recorded(house: House) -> None:
    await house.ann.send(house.general, attachments=[("cat.png", b"png")])
    await house.ann.send(house.general, house.me)
    house.env.backend.edit_channel(house.general.id, {"name": "lobby"})  # Discord says so in the channel
    await house.quiet()
    assert await kept(house) == []


async def test_reactions_of_those_who_agreed_are_kept_with_the_answer_and_taken_back(house: House) -> None:
    await house.ask(house.ann, "hello")
    [answer] = house.last()
    replies = house.services.ledger.replies
    await house.ann.react(answer, "👍")
    await house.ben.react(answer, "👎")
    assert await replies.reactions(answer.id) == {"👍": 1}
    await house.ann.unreact(answer, "👍")
    assert await replies.reactions(answer.id) == {}


async def test_reactions_to_what_members_say_are_nobodys_business(house: House) -> None:
    message = await house.ann.send(house.general, "I love soup")
    await house.ann.react(message, "👍")
    assert await house.services.ledger.replies.reactions(message.id) == {}


async def test_a_channels_new_name_is_noted(house: House) -> None:
    await house.ann.send(house.general, "hello")
    house.env.backend.edit_channel(house.general.id, {"name": "lobby"})
    await house.env.settle()
    channel = await house.services.ledger.channels.get(house.general.id)
    assert channel is not None
    assert channel.name == "lobby"


async def test_a_server_that_removes_the_bot_is_forgotten(house: House) -> None:
    await house.ann.send(house.general, MARK)
    version = await house.promoted()
    house.env.backend.remove_guild(house.guild.id)
    await house.env.settle()
    assert not house.on_disk(MARK)
    adapters = house.services.ledger.adapters
    assert await adapters.champion(house.guild.id) is None
    assert (await adapters.require(house.guild.id, version)).state == "deleted"


async def test_two_servers_know_nothing_of_each_other(house: House) -> None:
    other = house.env.create_guild("Second Home")
    lobby = other.create_text_channel("lobby")
    await house.env.settle()
    twin = other.add_member(house.ann.user)
    await twin.send(lobby, MARK)
    assert not house.on_disk(MARK)
    await twin.slash(lobby, "privacy opt-in")
    await twin.send(lobby, "hello")
    assert await kept(house) == []
    assert [m.content for m in await house.services.ledger.messages.of_guild(other.id)] == ["hello"]


async def test_what_the_bot_quotes_of_somebody_who_did_not_agree_is_in_no_later_answer(
    house: House, engine: StandInEngine
) -> None:
    engine.pieces = lambda body: [turn["content"] for turn in body["messages"][1:]]
    await house.ben.slash(house.general, "ask", question=f"what is {MARK}?")
    await house.quiet()
    await house.ask(house.ann, "what was that about?", reply_to=house.last()[0])
    gone = await house.ask(house.ben, f"and who is {MARK}?")
    await house.ben.delete(gone)
    await house.ask(house.ann, "and that?", reply_to=house.last()[-1])
    assert MARK in house.said()[-1], "the model repeats what it read"
    # The answer to what was deleted is gone; the other three stand without their text.
    replies = await house.services.ledger.replies.of_guild(house.guild.id)
    assert [reply.content for reply in replies] == ["", "", ""]
    assert not house.on_disk(MARK)


async def test_an_answer_whose_context_is_deleted_while_it_is_written_is_kept_without_its_text(
    house: House, engine: StandInEngine
) -> None:
    engine.pieces = lambda body: [turn["content"] for turn in body["messages"][1:]]
    engine.step = asyncio.Semaphore(0)
    before = await house.ann.send(house.general, f"I like {MARK}")
    await house.ann.send(house.general, f"{house.me} do you?")
    await until(lambda: engine.asked)
    await house.ann.delete(before)
    engine.step.release()
    await house.quiet()
    assert [reply.content for reply in await house.services.ledger.replies.of_guild(house.guild.id)] == [""]
    assert not house.on_disk(MARK)


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
    assert await kept(house) == []
    assert not house.on_disk(MARK)


async def test_a_threads_title_is_not_stored(house: House) -> None:
    house.env.backend.create_thread(house.general.id, f"all about {MARK}", owner_id=house.ben.id)
    await house.env.settle()
    [side] = house.general.threads
    await house.ann.send(side, "hello")
    channel = await house.services.ledger.channels.get(side.id)
    assert channel is not None
    assert (channel.name, channel.parent_id) == ("general", house.general.id)
    assert not house.on_disk(MARK)


async def test_an_edit_in_a_channel_that_is_ignored_now_removes_the_message(house: House) -> None:
    message = await house.ann.send(house.general, "hello")
    await house.boss.slash(house.general, "channel ignore")
    await house.ann.edit(message, f"hello {MARK}")
    assert await kept(house) == []
    assert not house.on_disk(MARK)


async def test_what_was_said_is_in_no_cache_of_the_client(house: House) -> None:
    await house.ann.send(house.general, MARK)
    assert not house.bot.cached_messages


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
        assert await texts(house) == [MARK, f"{MARK} again"]
        another.execute("ROLLBACK")
    async with asyncio.timeout(10):
        while await texts(house) != ["harmless"]:
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
    assert await texts(house) == ["third"]


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
    assert await texts(house) == ["hello"]


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
    assert await texts(house) == [MARK]
    async with asyncio.timeout(10):
        while house.guild.id not in await ledger.guilds.joined_by(me.id) or await texts(house):
            await asyncio.sleep(0.01)
    assert calls == 2
    assert len(await ledger.deletions.of_guild(house.guild.id)) == 1
