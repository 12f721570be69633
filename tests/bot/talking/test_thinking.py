"""When the engine is asked again, and where its answer ends."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from bot.serving.engine_client import Address
from bot.talking.answering import (
    BUSY,
    DOWN,
    SPEECHLESS,
)
from bot.talking.asides import MARK, aside
from bot.talking.thinking import WAKING
from ledger.errors import EngineLoading
from ledger.store import Ledger
from ledger.talk.prompts import Turn
from tests.bot.house import RealEngine, StandInEngine
from tests.bot.talking.desk import TURNS, Desk, Ticks, desk_at


@pytest.mark.parametrize("pieces", [[], [""], [" ", "\n\n"]])
async def test_an_answer_without_a_word_says_so(desk: Desk, engine: StandInEngine, pieces: list[str]) -> None:
    engine.pieces = lambda body: pieces
    paper = desk.ask()
    await desk.answering.drained()
    assert paper.text == aside(SPEECHLESS)
    assert len(engine.asked) == 2
    assert desk.answered == []


@pytest.mark.parametrize(
    ("failures", "said", "asked"),
    [
        ([(400, "too long")], "Good evening.", 2),
        ([(400, "too long")] * 4, DOWN, 4),
        ([(401, "who are you?")], DOWN, 1),
        ([(500, "out of memory")], DOWN, 1),
        ([(503, "full")], BUSY, 1),
    ],
)
async def test_each_refusal_is_tried_again_only_where_that_can_help(
    desk: Desk, engine: StandInEngine, failures: list[tuple[int, str]], said: str, asked: int
) -> None:
    engine.answers = list(failures)

    async def long() -> Sequence[Turn]:
        return [TURNS[0], *[{"role": "user", "content": f"line {n}"} for n in range(16)]]  # type: ignore[list-item]

    paper = desk.ask(turns=long)
    await desk.answering.drained()
    assert paper.text == (said if said == "Good evening." else aside(said))
    assert len(engine.asked) == asked
    assert len(desk.answered) == (said == "Good evening.")


async def test_a_question_that_is_too_long_alone_loses_its_beginning(
    desk: Desk, engine: StandInEngine
) -> None:
    async def long() -> Sequence[Turn]:
        return [TURNS[0], {"role": "user", "content": "ann: " + "字" * 500 + " what does it mean?"}]

    engine.longest_prompt = 200
    paper = desk.ask(turns=long)
    await desk.answering.drained()
    assert paper.text == "Good evening."
    assert engine.asked[-1]["messages"][0] == TURNS[0]
    assert engine.asked[-1]["messages"][1]["content"].endswith("字 what does it mean?")


async def test_the_real_engine_answers_the_same_question_alike(
    real_engine: RealEngine, ledger: Ledger, ticks: Ticks
) -> None:
    async with desk_at(
        real_engine.url, ledger, ticks, key=real_engine.token, base="base", workers=4, queue_size=8
    ) as desk:
        papers = [desk.ask(asker) for asker in range(8)]
        await asyncio.wait_for(desk.answering.drained(), 30)
    assert len({paper.text for paper in papers}) == 1
    assert not papers[0].text.startswith(MARK)


async def test_a_prompt_longer_than_the_real_engines_context_is_cut_until_it_fits(
    real_engine: RealEngine, ledger: Ledger, ticks: Ticks
) -> None:
    async def long() -> Sequence[Turn]:
        lines: list[Turn] = [{"role": "user", "content": f"ann: word {n} " * 12} for n in range(30)]
        return [TURNS[0], *lines]

    async with desk_at(real_engine.url, ledger, ticks, key=real_engine.token, base="base") as desk:
        paper = desk.ask(turns=long)
        await asyncio.wait_for(desk.answering.drained(), 30)
    assert not paper.text.startswith(MARK)


async def test_an_answer_that_is_nothing_but_others_lines_is_asked_for_once_more(
    desk: Desk, engine: StandInEngine
) -> None:
    said = iter([["ben: hello\n", "ann: hi"], ["Hello, ann."]])
    engine.pieces = lambda body: next(said)
    paper = desk.ask()
    await desk.answering.drained()
    assert paper.text == "hello"  # a name in front goes, another line ends it
    engine.pieces = lambda body: ["\nben:"] if len(engine.asked) == 2 else ["Hello, ann."]
    paper = desk.ask()
    await desk.answering.drained()
    assert paper.text == "Hello, ann."
    assert [body["temperature"] for body in engine.asked] == [0.0, 0.0, 0.7]


async def test_a_loop_is_cut_and_the_engine_is_not_listened_to_any_longer(
    desk: Desk, engine: StandInEngine
) -> None:
    engine.pieces = lambda body: ["I'm a lamplighter. "] * 1000
    paper = desk.ask()
    await desk.answering.drained()
    assert paper.text == "I'm a lamplighter."
    assert len(engine.asked) == 1


async def test_an_answer_at_its_limit_ends_with_a_sentence(desk: Desk, engine: StandInEngine) -> None:
    engine.pieces = lambda body: ["It rains. Take an umbr"]
    engine.finish = "length"
    paper = desk.ask()
    await desk.answering.drained()
    assert paper.text == "It rains."


async def test_who_asks_while_the_engine_loads_is_answered_once_it_serves(
    desk: Desk, engine: StandInEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    serving = desk.answering._thinking._engine._address
    loads = iter([True, True, True])

    def address() -> Address:
        if next(loads, False):
            raise EngineLoading("The engine is not up: it is still loading the model.")
        return serving()

    monkeypatch.setattr(desk.answering._thinking._engine, "_address", address)
    paper = desk.ask()
    await desk.answering.drained()
    assert paper.text == "Good evening."
    assert paper.shown[0][1] == aside(WAKING)


async def test_an_engine_that_loads_for_too_long_is_reported(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def address() -> Address:
        raise EngineLoading("The engine is not up: it is still loading the model.")

    monkeypatch.setattr(desk.answering._thinking._engine, "_address", address)
    paper = desk.ask()
    await desk.answering.drained()
    assert paper.text == aside(DOWN)
    assert desk.answered == []
