"""What becomes of a question in Discord: /ask, answers that grow, break off, or are deleted."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

import pytest
from pydantic import SecretStr

from bot.talking.answering import BROKE_OFF, BUSY, DOWN
from bot.talking.asides import aside
from ledger.settings import PathsSection, Secrets
from tests.bot.house import (
    House,
    RealEngine,
    StandInEngine,
    content_of,
    last_prompt,
    open_house,
    settings_for,
    text_of,
    there,
    until,
)
from tests.looking import answers_of


async def test_ask_shows_the_question_and_the_answer_to_everybody(
    house: House, engine: StandInEngine
) -> None:
    result = await house.ann.slash(house.general, "ask", question="where is the *key*?")
    await house.quiet()
    assert text_of(result) == "> where is the \\*key\\*?\nGood evening."
    assert not result.ephemeral
    assert last_prompt(engine) == "where is the *key*?"


async def test_ask_works_in_direct_messages(house: House) -> None:
    result = await house.ann.user.slash("ask", question="are you there?")
    await house.quiet()
    assert "Good evening." in text_of(result)


async def test_nobody_is_ever_pinged_even_if_the_model_tries(house: House, engine: StandInEngine) -> None:
    mentions = f"@everyone @here {house.ben.mention} {house.guild.default_role.mention}"
    everyone = " ".join(f"{number} {mentions}" for number in range(60))
    engine.pieces = lambda body: [everyone]
    await house.ask(house.ann, "hello")
    await house.ann.slash(house.general, "ask", question="and @everyone now?")
    await house.quiet()
    await house.ann.send(house.general, "x", reply_to=house.last()[0])
    await house.quiet()
    sent = [
        r for r in house.env.http_requests if r.method in ("POST", "PATCH") and r.json and content_of(r.json)
    ]
    assert len(sent) >= 6
    for request in sent:
        body = there(request.json)
        pinged = (body.get("data") or body)["allowed_mentions"]
        assert pinged["parse"] == []
        assert not pinged.get("users")
        assert not pinged.get("replied_user")
    for message in house.env.backend.messages[house.general.id].values():
        if message.author_id == house.bot.user.id:
            assert not message.mention_everyone
            assert message.ping_user_ids == []


async def test_an_engine_that_is_down_gives_a_friendly_line(tmp_path: Path) -> None:
    async with open_house(settings_for(tmp_path, "http://127.0.0.1:9")) as house:
        await house.ask(house.ann, "hello")
        result = await house.ann.slash(house.general, "ask", question="hello")
        await house.quiet()
        assert house.said()[0] == aside(DOWN)
        assert DOWN in text_of(result)


async def test_a_busy_engine_gives_a_friendly_line(house: House, engine: StandInEngine) -> None:
    engine.answers = [(503, "full")]
    await house.ask(house.ann, "hello")
    assert house.said() == [aside(BUSY)]


async def test_an_answer_that_breaks_off_stays_is_marked_and_recorded_without_the_mark(
    house: House, engine: StandInEngine
) -> None:
    engine.breaks_off = True
    await house.ann.slash(house.general, "privacy opt-in")
    await house.ask(house.ann, "hello")
    assert house.said() == [f"Good evening.\n{aside(BROKE_OFF)}"]
    [reply] = await answers_of(house.services.ledger, house.guild.id)
    assert reply.content == "Good evening."
    engine.breaks_off = False
    await house.ask(house.ann, "and?")
    assert engine.asked[-1]["messages"][2] == {"role": "assistant", "content": "Good evening."}


async def test_a_version_that_the_engine_lost_in_a_restart_is_loaded_again(
    house: House, engine: StandInEngine
) -> None:
    version = await house.promoted()
    engine.loaded.clear()
    await house.ask(house.ann, "hello")
    assert house.said() == ["Good evening."]
    assert [asked["model"] for asked in engine.asked] == [version, version]
    [reply] = await answers_of(house.services.ledger, house.guild.id)
    assert reply.adapter_version == version


async def test_a_prompt_that_the_engine_finds_too_long_is_cut_and_sent_again(
    house: House, engine: StandInEngine
) -> None:
    for number in range(8):
        await house.ask(house.ann, f"question {number}, and a little more to read")
    engine.longest_prompt = 350
    await house.ask(house.ann, "the last one")
    assert house.said()[-1] == "Good evening."
    assert last_prompt(engine).endswith("the last one")
    assert engine.asked[-1]["messages"][0]["role"] == "system"
    assert engine.asked[-1]["messages"][1]["role"] == "user"


async def test_a_question_that_is_deleted_meanwhile_is_not_answered(
    house: House, engine: StandInEngine
) -> None:
    engine.step = asyncio.Semaphore(1)
    question = await house.ann.send(house.general, f"{house.me} hello")
    await until(lambda: house.said() == ["Good"])
    await house.ann.delete(question)
    engine.step.release()
    await house.quiet()
    assert house.said() == []
    assert await answers_of(house.services.ledger, house.guild.id) == []


async def test_what_others_say_is_never_in_the_bots_mouth(house: House, engine: StandInEngine) -> None:
    engine.pieces = lambda body: [
        "Nightschool: Sure",
        " thing.\n",
        "ben: and me?\n",
        "Nightschool: you, too!",
    ]
    await house.ben.send(house.general, "the soup is ready")
    await house.ask(house.ann, "hello there")
    assert house.said() == ["Sure thing."]
    shown = [content_of(r.json) for r in house.env.http_requests if r.json and content_of(r.json)]
    assert not any("ben" in text or "Nightschool" in text for text in shown)


async def test_an_answer_that_is_deleted_while_it_grows_is_given_up_and_not_recorded(
    tmp_path: Path, engine: StandInEngine, caplog: pytest.LogCaptureFixture
) -> None:
    engine.step = asyncio.Semaphore(1)
    async with open_house(settings_for(tmp_path, engine.url, edit_interval_seconds=0.0)) as house:
        await house.ann.send(house.general, f"{house.me} hello")
        await until(house.said)
        await house.boss.send(house.general, "away with it")
        house.env.backend.delete_message(house.general.id, house.last()[0].id)
        engine.step.release()
        await house.quiet()
        assert house.said() == []
        assert await answers_of(house.services.ledger, house.guild.id) == []
        assert "failed" not in caplog.text


def _says(house: House, word: str) -> bool:
    """Tell whether the bot's first message has come to a word."""
    return bool(house.said()) and word in house.said()[0]


async def test_an_answer_grows_while_it_is_written_and_the_event_loop_stays_free(
    tmp_path: Path, engine: StandInEngine
) -> None:
    engine.step = asyncio.Semaphore(0)
    engine.pieces = lambda body: [f"word{number} " for number in range(5)]
    async with open_house(settings_for(tmp_path, engine.url, edit_interval_seconds=0.0)) as house:
        await house.ann.send(house.general, f"{house.me} hello")
        seen = []

        def shown(word: str) -> bool:
            return bool(house.said()) and word in house.said()[0]

        for number in range(5):
            engine.step.release()
            await until(partial(_says, house, f"word{number}"))
            seen.append(house.said()[0])
            # Somebody else is served in between: the bot does not wait for the answer's end.
            result = await house.ben.slash(house.general, "privacy status")
            assert result.ephemeral
        await house.quiet()
    assert seen == sorted(seen, key=len)
    assert len(set(seen)) == 5


async def test_a_long_answer_is_split_and_its_code_block_stays_whole(
    house: House, engine: StandInEngine
) -> None:
    code = "\n".join(f"line_{number} = {number}" for number in range(300))
    engine.pieces = lambda body: ["Here:\n```python\n", code, "\n```\nThat is all."]
    await house.ask(house.ann, "write a program")
    pieces = house.said()
    assert len(pieces) > 1
    for piece in pieces:
        assert len(piece) < 2000
        assert piece.count("```") % 2 == 0
    assert pieces[1].startswith("```python\nline_")
    for number in range(300):
        assert sum(f"line_{number} = {number}\n" in piece for piece in pieces) == 1


async def test_a_channel_that_is_deleted_while_the_bot_answers_is_no_failure(
    house: House, engine: StandInEngine, caplog: pytest.LogCaptureFixture
) -> None:
    engine.step = asyncio.Semaphore(0)
    room = house.guild.create_text_channel("room")
    await house.ann.send(room, f"{house.me} hello")
    await until(lambda: engine.asked)
    house.env.backend.delete_channel(room.id)
    engine.step.release()
    engine.step.release()
    await house.quiet()
    assert "failed" not in caplog.text


async def test_the_real_engine_answers_two_people_in_discord_by_the_version_that_serves(
    tmp_path: Path, real_engine: RealEngine
) -> None:
    settings = settings_for(tmp_path, real_engine.url, base=str(real_engine.base), temperature=0.0)
    # The engine serves what lies in its own folder alone.
    settings = settings.model_copy(update={"paths": PathsSection(models=real_engine.adapters.parent)})
    async with open_house(settings, secrets=Secrets(engine_api_key=SecretStr(real_engine.token))) as house:
        await house.ask(house.ann, "did anyone feed the sourdough?")
        version = await house.candidate()
        real_engine.make_adapter(version, seed=5)
        result = await house.boss.slash(house.general, "adapter promote", version=version)
        assert "serves now" in text_of(result)
        await house.env.advance_time(20 * 60)
        await house.ask(house.ann, "did anyone feed the sourdough?")
        await house.env.advance_time(20 * 60)
        await house.ask(house.ann, "did anyone feed the sourdough?")
        before, after, again = house.said()
        versions = [r.adapter_version for r in await answers_of(house.services.ledger, house.guild.id)]
        await house.boss.slash(house.general, "adapter rollback")
    assert DOWN not in (before, after, again)
    assert before != after == again
    assert sorted(map(str, versions)) == sorted(["None", version, version])
