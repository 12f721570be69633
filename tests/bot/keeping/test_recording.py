"""What is kept of what is said: nothing of anybody who did not agree, down to the bytes on the disk."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from bot.client import NightschoolBot
from bot.services import open_services
from ledger.records import Heard
from tests.bot.house import MARK, NOON, House, StandInEngine, connected, settings_for
from tests.conftest import FakeClock
from tests.looking import answers_of


async def test_a_message_of_somebody_who_agreed_is_kept_as_it_was_said(house: House) -> None:
    first = await house.ann.send(house.general, "I love soup")
    second = await house.ann.send(house.general, f"{house.ben.mention} do you?", reply_to=first)
    one, two = await house.kept()
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
    assert len(await answers_of(house.services.ledger, house.guild.id)) >= 4
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
    assert await house.kept() == []
    assert not house.on_disk(MARK)


async def test_a_message_without_text_and_a_service_message_are_not_recorded(house: House) -> None:
    await house.ann.send(house.general, attachments=[("cat.png", b"png")])
    await house.ann.send(house.general, house.me)
    house.env.backend.edit_channel(house.general.id, {"name": "lobby"})  # Discord says so in the channel
    await house.quiet()
    assert await house.kept() == []


async def test_a_channels_new_name_is_noted(house: House) -> None:
    await house.ann.send(house.general, "hello")
    house.env.backend.edit_channel(house.general.id, {"name": "lobby"})
    await house.env.settle()
    channel = await house.services.ledger.channels.get(house.general.id)
    assert channel is not None
    assert channel.name == "lobby"


async def test_two_servers_know_nothing_of_each_other(house: House) -> None:
    other = house.env.create_guild("Second Home")
    lobby = other.create_text_channel("lobby")
    await house.env.settle()
    twin = other.add_member(house.ann.user)
    await twin.send(lobby, MARK)
    assert not house.on_disk(MARK)
    await twin.slash(lobby, "privacy opt-in")
    await twin.send(lobby, "hello")
    assert await house.kept() == []
    assert [m.content for m in await house.services.ledger.messages.of_guild(other.id)] == ["hello"]


async def test_what_was_said_is_in_no_cache_of_the_client(house: House) -> None:
    await house.ann.send(house.general, MARK)
    assert not house.bot.cached_messages


@contextmanager
def held(house: House, monkeypatch: pytest.MonkeyPatch) -> Iterator[asyncio.Event]:
    """Have batches wait before they are written, until the event is set."""
    live, go_on = house.services.ledger.live_messages, asyncio.Event()
    store = live.store

    async def later(batch: Sequence[Heard]) -> int:
        await go_on.wait()
        return await store(batch)

    with monkeypatch.context() as patch:
        patch.setattr(live, "store", later)
        yield go_on


async def in_line() -> None:
    """Let the events that were reported get in line; they cannot settle while something is held."""
    for _ in range(50):
        await asyncio.sleep(0)


async def test_a_yes_does_not_reach_back_to_words_that_were_still_in_line(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.ann.send(house.general, "first")
    create = house.env.backend.create_message
    with held(house, monkeypatch) as go_on:
        create(house.general.id, house.ann.id, "second")
        await in_line()  # the next batch is not looked at before this one is written
        create(house.general.id, house.ben.id, f"{MARK} before the yes")
        await in_line()
        await house.services.ledger.consent.opt_in(house.guild.id, house.ben.id)
        create(house.general.id, house.ben.id, "after the yes")
        await in_line()
        go_on.set()
        await house.env.settle()
    assert await house.texts() == ["first", "second", "after the yes"]
    assert not house.on_disk(MARK)


async def test_a_no_reaches_words_that_are_still_in_line_whatever_follows_it(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.opt_in(house.ben)
    await house.ann.send(house.general, "first")
    create = house.env.backend.create_message
    with held(house, monkeypatch) as go_on:
        create(house.general.id, house.ann.id, "of somebody else")
        create(house.general.id, house.ben.id, f"{MARK} one")
        await in_line()
        create(house.general.id, house.ben.id, f"{MARK} two")
        await in_line()
        await house.services.forgetting.person(house.guild.id, house.ben.id, asked_by="member")
        await house.services.ledger.consent.opt_in(house.guild.id, house.ben.id)
        create(house.general.id, house.ben.id, "anew")
        await in_line()
        go_on.set()
        await house.env.settle()
    assert await house.texts() == ["first", "of somebody else", "anew"]
    assert not house.on_disk(MARK)


async def test_an_answer_and_an_admins_choice_count_from_the_next_word_on(house: House) -> None:
    create, ledger = house.env.backend.create_message, house.services.ledger
    lounge = house.guild.create_text_channel("lounge")
    await house.env.settle()
    ann, guild = house.ann.id, house.guild.id
    create(house.general.id, ann, "one")
    await house.env.settle()
    await ledger.consent.opt_out(guild, ann)
    create(house.general.id, ann, MARK)
    await ledger.consent.opt_in(guild, ann, channels=[lounge.id])
    create(house.general.id, ann, MARK)
    create(lounge.id, ann, "two")
    await ledger.consent.opt_in(guild, ann)
    create(house.general.id, ann, "three")
    await house.env.settle()
    await ledger.channels.set_mode(house.general.id, guild, "general", "ignore")
    create(house.general.id, ann, MARK)
    create(lounge.id, ann, "four")
    await house.env.settle()
    await ledger.channels.set_mode(house.general.id, guild, "general", "listen")
    create(house.general.id, ann, "five")
    await house.env.settle()
    assert sorted(await house.texts()) == ["five", "four", "one", "three", "two"]
    assert not house.on_disk(MARK)


async def test_nothing_is_read_or_written_for_the_words_of_somebody_who_did_not_agree(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.ann.send(house.general, "hello")
    message = await house.ben.send(house.general, MARK)
    ledger = house.services.ledger

    def never(*anything: object, **more: object) -> None:
        raise AssertionError("the database was asked")

    monkeypatch.setattr(ledger.reader, "execute", never)
    monkeypatch.setattr(ledger.writer, "run", never)
    await house.bot.own.recording.hear(message)


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_comes_at_once_ends_as_it_is_in_discord(house: House, seed: int) -> None:
    """Messages, edits and deletions in one rush: nothing is lost, doubled, or left behind."""
    draw, backend, channel = random.Random(seed), house.env.backend, house.general.id
    await house.ann.send(house.general, "hello")
    there: dict[int, str] = {}
    for number in range(100):
        what = draw.random()
        if what < 0.75 or not there:
            author = draw.choice((house.ann, house.ann, house.ben))
            text = f"word {number}" if author is house.ann else f"{MARK} {number}"
            message = backend.create_message(channel, author.id, text)
            if author is house.ann:
                there[message.id] = text
        elif what < 0.88:
            chosen = draw.choice(list(there)[-5:])
            there[chosen] = f"edited {number}"
            backend.edit_message(channel, chosen, {"content": there[chosen]})
        else:
            chosen = draw.choice(list(there)[-5:])
            del there[chosen]
            backend.delete_message(channel, chosen)
        if draw.random() < 0.1:
            await asyncio.sleep(0.002)
    await house.env.settle(timeout=60)  # each edit and deletion has the file rewritten
    assert {message.id: message.content for message in (await house.kept())[1:]} == there
    assert not house.on_disk(MARK)


async def test_a_message_that_fails_is_reported_without_its_words_and_the_others_are_kept(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    await house.ann.send(house.general, "hello")
    create = house.env.backend.create_message
    texts = ["one", f"{MARK} \ud83d", "two"]  # half of an emoji, which no database takes
    for text in texts:
        create(house.general.id, house.ann.id, text)
    await house.env.settle()
    assert await house.texts() == ["hello", "one", "two"]
    assert any("on_message" in record.getMessage() for record in caplog.records)
    assert MARK not in caplog.text


async def test_what_was_heard_before_the_bot_stops_is_written(
    tmp_path: Path, engine: StandInEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_services(
        settings_for(tmp_path, engine.url), config=tmp_path / "config.toml", clock=FakeClock(NOON)
    ) as services:
        bot = NightschoolBot(services)
        async with connected(bot) as env:
            guild = env.create_guild("Lantern Yard")
            general, ann = guild.create_text_channel("general"), guild.add_member(env.create_user("ann"))
            await ann.slash(general, "privacy opt-in")
            await ann.send(general, "hello")
            for number in range(20):
                env.backend.create_message(general.id, ann.id, f"word {number}")
            await asyncio.sleep(0)
            await bot.close()
            assert await services.ledger.messages.count(guild.id) == 21
