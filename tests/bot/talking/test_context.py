"""What the bot reads before it answers: the conversation around a message, and nothing beside it."""

from __future__ import annotations

import discord
import pytest

from bot.talking.answering import BUSY, DOWN
from bot.talking.asides import aside
from tests.bot.house import (
    House,
    StandInEngine,
    last_prompt,
)


async def test_the_prompt_follows_the_reply_chain_and_leaves_another_conversation_out(
    house: House, engine: StandInEngine
) -> None:
    soup = await house.ann.send(house.general, "the soup needs salt")
    await house.env.advance_time(20 * 60)
    bike = await house.ben.send(house.general, "my bicycle has a flat tyre")
    salt = await house.boss.send(house.general, "how much salt?", reply_to=soup)
    await house.boss.send(house.general, "front or back wheel?", reply_to=bike)
    await house.ask(house.ann, "what do you say?", reply_to=salt)
    assert last_prompt(engine) == "ann: the soup needs salt\nboss: how much salt?\nann: what do you say?"


async def test_a_mention_of_the_bot_does_not_bring_back_what_it_told_somebody_else_before(
    house: House, engine: StandInEngine
) -> None:
    await house.ask(house.ann, "what is in the shed?")
    await house.env.advance_time(30 * 60)
    await house.ask(house.ben, "is it raining?")
    assert last_prompt(engine) == "is it raining?"


async def test_two_who_talk_with_the_bot_by_turns_each_go_on_with_their_own(
    house: House, engine: StandInEngine
) -> None:
    await house.ask(house.ann, "what is in the shed?")
    await house.env.advance_time(20 * 60)
    await house.ask(house.ben, "is it raining?")
    to_ann, to_ben = house.last()
    await house.ask(house.ann, "and behind it?", reply_to=to_ann)
    assert "raining" not in last_prompt(engine)
    assert "shed" in last_prompt(engine)
    await house.ask(house.ben, "and tomorrow?", reply_to=to_ben)
    assert "raining" in last_prompt(engine)
    assert "shed" not in last_prompt(engine)


async def test_a_reply_chain_reaches_beyond_the_recent_messages(house: House, engine: StandInEngine) -> None:
    old = await house.ann.send(house.general, "the shed is painted green")
    await house.env.advance_time(20 * 60)
    for number in range(65):
        house.env.backend.create_message(house.general.id, house.ben.id, f"chatter {number}")
    await house.env.settle()
    await house.ask(house.boss, "which colour?", reply_to=old)
    assert last_prompt(engine).startswith("ann: the shed is painted green\n")


async def test_a_line_about_the_bot_itself_is_never_read_back(house: House, engine: StandInEngine) -> None:
    engine.answers = [(503, "full")]
    await house.ask(house.ann, "hello")
    assert house.said() == [aside(BUSY)]
    await house.bot.get_channel(house.general.id).send(DOWN)  # type: ignore[union-attr]  # from before asides
    await house.ask(house.ann, "and now?")
    assert last_prompt(engine) == "hello\nand now?"


@pytest.mark.parametrize(
    ("file", "line"), [("kettle.png", "(shows a picture)"), ("list.pdf", "(sends a file)")]
)
async def test_a_picture_without_a_word_has_a_line_of_its_own(
    house: House, engine: StandInEngine, file: str, line: str
) -> None:
    await house.ann.send(house.general, house.me, attachments=[(file, b"\x89PNG")])
    await house.quiet()
    assert engine.asked[-1]["messages"][1:] == [{"role": "user", "content": line}]
    await house.ann.send(house.general, house.me, attachments=[(file, b"\x89PNG")])
    await house.quiet()
    assert [turn["content"] for turn in engine.asked[-1]["messages"][1:]] == [
        line,
        "Good evening.",
        line,
    ]


async def test_a_bare_mention_asks_about_what_was_said_before(house: House, engine: StandInEngine) -> None:
    await house.ben.send(house.general, "what is the capital of the shed?")
    await house.ann.send(house.general, house.me)
    await house.quiet()
    assert last_prompt(engine) == "what is the capital of the shed?"
    await house.ann.send(house.general, house.me)
    await house.quiet()
    assert engine.asked[-1]["messages"][-1] == {"role": "user", "content": "ann: Nightschool?"}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/channels/*/typing"),
        ("GET", "/channels/*/messages"),
        ("GET", "/channels/*/messages/*"),
    ],
)
async def test_typing_and_history_are_optional(
    house: House, engine: StandInEngine, method: str, path: str
) -> None:
    house.env.inject_error(method, path, status=503, times=None)
    await house.ask(house.ann, "hello there")
    assert house.said() == ["Good evening."]
    assert last_prompt(engine) == "hello there"


async def test_where_the_bot_may_not_read_the_history_it_answers_the_message_alone(
    house: House, engine: StandInEngine
) -> None:
    blind = discord.PermissionOverwrite(read_message_history=False)
    room = house.guild.create_text_channel("room", overwrites={house.user: blind})
    await house.ann.send(room, "earlier")
    await house.ask(house.ann, "hello", channel=room)
    assert house.said(room) == ["Good evening."]
    assert last_prompt(engine) == "hello"
