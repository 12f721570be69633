"""When the bot answers, whom, by whose version, and what it says where it does not."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import discord
import pytest

from bot.talking.answering import BROKEN, BUSY
from bot.talking.asides import aside
from tests.bot.house import (
    BASE,
    House,
    StandInEngine,
    open_house,
    settings_for,
    text_of,
    until,
)


async def test_a_mention_is_answered_with_a_reply_to_it(house: House, engine: StandInEngine) -> None:
    question = await house.ask(house.ann, "hello there")
    [answer] = house.last()
    assert answer.content == "Good evening."
    assert answer.reference is not None
    assert answer.reference.message_id == question.id
    assert engine.asked[0]["messages"][-1] == {"role": "user", "content": "hello there"}


async def test_a_reply_to_the_bot_is_answered_without_a_mention(house: House, engine: StandInEngine) -> None:
    await house.ask(house.ann, "hello")
    await house.ben.send(house.general, "and a good one to you", reply_to=house.last()[0])
    await house.quiet()
    assert len(house.said()) == 2
    assert [turn["role"] for turn in engine.asked[-1]["messages"]] == ["system", "user", "assistant", "user"]


async def test_what_is_said_to_others_is_left_alone(house: House) -> None:
    first = await house.ann.send(house.general, "does anyone have the key?")
    await house.ben.send(house.general, f"{house.ann.mention} under the frog", reply_to=first)
    await house.quiet()
    assert house.said() == []


async def test_a_direct_message_is_answered(house: House) -> None:
    await house.ann.send_dm("are you there?")
    await house.quiet()
    assert house.said(house.ann.user.dm_channel) == ["Good evening."]


async def test_a_direct_message_is_answered_by_the_version_of_the_only_server_where_both_are(
    house: House, engine: StandInEngine
) -> None:
    version = await house.promoted()
    await house.ann.send_dm("one")
    await house.quiet()
    await house.ann.slash(house.general, "privacy opt-in")
    await house.ann.send_dm("two")
    await house.quiet()
    assert [asked["model"] for asked in engine.asked] == [BASE, version]


async def test_everything_is_answered_in_an_answer_channel(house: House) -> None:
    await house.boss.slash(house.general, "channel answer")
    await house.ann.send(house.general, "nobody in particular")
    await house.quiet()
    assert house.said() == ["Good evening."]


async def test_a_mention_in_an_ignored_channel_stays_unanswered(house: House, engine: StandInEngine) -> None:
    await house.boss.slash(house.general, "channel ignore")
    await house.ask(house.ann, "hello?")
    assert house.said() == []
    assert engine.asked == []


async def test_a_private_channel_is_ignored_until_an_admin_says_otherwise(house: House) -> None:
    hidden = discord.PermissionOverwrite(view_channel=False)
    shown = discord.PermissionOverwrite(view_channel=True)
    cellar = house.guild.create_text_channel(
        "cellar", overwrites={house.guild.default_role: hidden, house.boss: shown, house.user: shown}
    )
    await house.ask(house.boss, "psst", channel=cellar)
    assert house.said(cellar) == []
    await house.boss.slash(cellar, "channel listen")
    await house.ask(house.boss, "psst", channel=cellar)
    assert house.said(cellar) == ["Good evening."]


async def test_ask_is_not_answered_in_an_ignored_channel(house: House, engine: StandInEngine) -> None:
    await house.boss.slash(house.general, "channel ignore")
    result = await house.ann.slash(house.general, "ask", question="where is the key?")
    await house.quiet()
    assert engine.asked == []
    assert result.ephemeral
    assert "quiet" in text_of(result)


async def test_another_bot_and_a_webhook_get_no_answer(house: House, engine: StandInEngine) -> None:
    robot = house.guild.add_member(house.env.create_user("robot", bot=True))
    hook = house.guild.create_webhook(house.general, "news")
    await house.boss.slash(house.general, "channel answer")
    await robot.send(house.general, f"{house.me} hello")
    await hook.send(f"{house.me} hello")
    await house.quiet()
    assert engine.asked == []


async def test_a_second_question_within_the_cooldown_is_put_off(
    tmp_path: Path, engine: StandInEngine
) -> None:
    async with open_house(settings_for(tmp_path, engine.url, cooldown_seconds=30.0)) as house:
        await house.ask(house.ann, "one")
        await house.ask(house.ann, "two")
        await house.ask(house.ben, "three")
        result = await house.ann.slash(house.general, "ask", question="four")
    assert len(engine.asked) == 2
    assert house.said()[1] == aside("One at a time! Ask me again in 30 s.")
    assert result.ephemeral
    assert text_of(result).startswith("One at a time!")


async def test_a_full_queue_gets_a_friendly_line(tmp_path: Path, engine: StandInEngine) -> None:
    engine.step = asyncio.Semaphore(0)
    async with open_house(settings_for(tmp_path, engine.url, max_batch=1, queue_size=1)) as house:
        await house.ann.send(house.general, f"{house.me} one")
        await until(lambda: engine.asked)
        await house.ben.send(house.general, f"{house.me} two")
        await house.boss.send(house.general, f"{house.me} three")
        assert house.said() == [aside(BUSY)]
        result = await house.boss.slash(house.general, "ask", question="three")
        assert text_of(result) == BUSY
        assert result.ephemeral
        for _ in range(4):
            engine.step.release()
        await house.quiet()
        assert house.said() == [aside(BUSY), "Good evening.", "Good evening."]


async def test_an_answer_that_is_forwarded_is_not_replied_to(house: House, engine: StandInEngine) -> None:
    await house.ask(house.ann, "hello there")
    elsewhere = house.guild.create_text_channel("elsewhere")
    await house.ben.forward(house.last()[0], elsewhere)
    await house.quiet()
    assert house.said(elsewhere) == []
    assert len(engine.asked) == 1


async def test_ask_quotes_every_line_of_its_question(house: House, engine: StandInEngine) -> None:
    result = await house.ann.slash(house.general, "ask", question="one\ntwo\n> three")
    await house.quiet()
    assert text_of(result) == "> one\n> two\n> \\> three\nGood evening."
    await house.ann.send(house.general, "thanks", reply_to=house.last()[0])
    await house.quiet()
    assert engine.asked[-1]["messages"][1]["content"] == "Nightschool: Good evening.\nthanks"


async def test_an_unforeseen_failure_is_admitted_and_logged(
    house: House, engine: StandInEngine, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(body: dict[str, Any]) -> list[str]:
        raise RuntimeError("nobody foresaw this")

    monkeypatch.setattr("bot.talking.prompting.prompt_turns", broken)
    await house.ask(house.ann, "hello")
    assert house.said() == [aside(BROKEN)]
    assert "an answer failed" in caplog.text
    monkeypatch.undo()
    await house.ask(house.ann, "hello")
    assert house.said() == [aside(BROKEN), "Good evening."]
