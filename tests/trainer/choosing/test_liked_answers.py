"""Answers that people marked 👍 become pairs, with their conversation, by the rules."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ledger.clock import to_ms
from ledger.people.quarantine import Detained
from ledger.records import BotAnswer, Message
from ledger.store import Ledger
from trainer.choosing.liked_answers import LikedAnswer, liked_answers
from trainer.preparing.selection import Rules

GUILD, CHANNEL, BOT = 1, 100, 55
ANN, BEN, CLEO = 7, 8, 9
MINUTE = 60_000


def said(number: int, author: int, text: str, minute: int) -> Message:
    at = 1_772_000_000_000 + minute * MINUTE
    return Message(number, GUILD, CHANNEL, author, f"member {author}", text, at, source="local")


@pytest.fixture
async def talk(ledger: Ledger) -> Ledger:
    """Ben and Ann talk; Ann asks the bot, likes its answer, and talks on; an hour before, Cleo spoke."""
    await ledger.guilds.ensure(GUILD, "Lantern Yard")
    await ledger.channels.ensure(CHANNEL, GUILD, "lounge")
    for person in (ANN, BEN, CLEO):
        await ledger.consent.opt_in(GUILD, person)
    await ledger.messages.add_many(
        [
            said(1, CLEO, "the choir sings on Friday", 0),
            said(2, BEN, "where is the umbrella?", 70),
            said(3, ANN, "no idea, let us ask", 71),
            said(4, ANN, f"<@{BOT}> where is the umbrella?", 72),
            said(6, BEN, "told you", 74),
        ]
    )
    await ledger.answers.add(
        BotAnswer(5, GUILD, CHANNEL, ANN, 4, "The owl has it.", None, said(4, 1, "", 73).created_at)
    )
    await ledger.answers.add(BotAnswer(50, GUILD, CHANNEL, ANN, 4, "", None, 0, part_of=5))
    await ledger.answers.react(5, BEN, "👍")
    return ledger


async def found(
    ledger: Ledger, *, limit: int = 16, held: Detained | None = None, **rules: object
) -> list[LikedAnswer]:
    await ledger.conversations.sort(GUILD, gap_ms=15 * MINUTE)
    return await liked_answers(
        ledger,
        GUILD,
        Rules(await ledger.consent.in_force(GUILD), {BOT: "Nightschool"}, **rules),  # type: ignore[arg-type]
        limit=limit,
        held={held.user_id: held} if held else None,
    )


async def test_a_liked_answer_comes_with_the_conversation_that_it_answered(talk: Ledger) -> None:
    [pair] = await found(talk)
    assert [message.id for message in pair.context] == [2, 3, 4]
    assert (pair.question.id, pair.answer.content) == (4, "The owl has it.")
    assert pair.learned_from == ((2, BEN), (3, ANN), (4, ANN), (5, ANN), (50, ANN))
    [short] = await found(talk, limit=2)
    assert [message.id for message in short.context] == [3, 4]


async def test_an_answer_that_nobody_liked_any_more_is_none(talk: Ledger) -> None:
    await talk.answers.unreact(5, BEN, "👍")
    assert await found(talk) == []


async def test_a_run_that_lists_it_finds_everything_stored_and_goes_with_the_answer(talk: Ledger) -> None:
    [pair] = await found(talk)
    run = await talk.runs.create(GUILD, "night")
    assert await talk.runs.learned_from(run.id, pair.learned_from) == 0
    receipt = await talk.deletions.begin(GUILD, "messages", [5], asked_by="Discord", keep_ms=0)
    assert await talk.deletions.runs_touched(receipt.id) == [run.id]
    assert await found(talk) == []


async def test_what_the_rules_refuse_is_neither_question_nor_context(talk: Ledger) -> None:
    await talk.consent.opt_out(GUILD, BEN)
    await talk.answers.react(5, CLEO, "👍")
    [pair] = await found(talk)
    assert [message.id for message in pair.context] == [3, 4]
    assert await found(talk, ignored_channels=[CHANNEL]) == []
    assert await found(talk, without=[ANN]) == []


async def test_whose_words_wait_teaches_nothing_by_asking(talk: Ledger) -> None:
    assert await found(talk, held=Detained(GUILD, ANN, 0, to_ms(talk.clock.now()), ("abuse",))) == []
    [pair] = await found(talk, held=Detained(GUILD, BEN, 0, 2**62, ("abuse",)))
    assert [message.id for message in pair.context] == [3, 4]


async def test_the_policy_lock_and_forgotten_questions_hold_for_answers_too(talk: Ledger) -> None:
    locked = replace(said(20, ANN, "who feeds it?", 200), source="discord")
    await talk.messages.add(locked)
    at = locked.created_at + 1
    await talk.answers.add(BotAnswer(21, GUILD, CHANNEL, ANN, 20, "The choir.", None, at))
    await talk.answers.add(BotAnswer(22, GUILD, CHANNEL, ANN, None, "An answer to /ask.", None, at))
    for number in (21, 22):
        await talk.answers.react(number, BEN, "👍")
    assert [pair.answer.message_id for pair in await found(talk)] == [5]
    opened = await found(talk, discord_permission="granted")
    assert [pair.answer.message_id for pair in opened] == [5, 21]
    await talk.deletions.begin(GUILD, "messages", [20], asked_by="Discord", keep_ms=0)
    assert [pair.answer.message_id for pair in await found(talk, discord_permission="granted")] == [5]
