"""What is kept of the bot's own answers: the version always, the text only where everybody agreed."""

from __future__ import annotations

import asyncio

from tests.bot.house import MARK, House, StandInEngine, until
from tests.looking import answers_of


async def test_the_answer_to_somebody_who_agreed_is_kept_with_its_version(house: House) -> None:
    version = await house.promoted()
    question = await house.ask(house.ann, "hello")
    [reply] = await answers_of(house.services.ledger, house.guild.id)
    assert (reply.content, reply.adapter_version) == ("Good evening.", version)
    assert (reply.asked_by, reply.in_reply_to) == (house.ann.id, question.id)
    assert reply.message_id == house.last()[0].id


async def test_the_answer_to_somebody_who_did_not_agree_is_kept_without_its_text(house: House) -> None:
    await house.ask(house.ben, "hello")
    [reply] = await answers_of(house.services.ledger, house.guild.id)
    assert (reply.content, reply.asked_by) == ("", house.ben.id)


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
    replies = await answers_of(house.services.ledger, house.guild.id)
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
    assert [reply.content for reply in await answers_of(house.services.ledger, house.guild.id)] == [""]
    assert not house.on_disk(MARK)
