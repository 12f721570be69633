"""From a question to an answer: pace, queue, cooldown and the end, against an injected clock."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence

import aiohttp
import pytest

from bot.talking.answering import (
    BROKEN,
    BUSY,
    INTERRUPTED,
    RESTARTING,
)
from bot.talking.asides import aside
from ledger.store import Ledger
from ledger.talk.prompts import Turn
from tests.bot.house import StandInEngine, until
from tests.bot.talking.desk import Desk, Ticks, desk_at


async def test_a_quick_answer_is_written_once(desk: Desk) -> None:
    paper = desk.ask()
    await desk.answering.drained()
    assert paper.shown == [(0.0, "Good evening.")]
    assert desk.answered == [("Good evening.", None)]


async def test_a_slow_answer_is_written_at_most_once_a_second_to_the_end(
    desk: Desk, engine: StandInEngine, ticks: Ticks
) -> None:
    engine.step = asyncio.Semaphore(0)
    engine.pieces = lambda body: [f"{number} " for number in range(40)]
    paper = desk.ask()
    for _ in range(40):
        ticks.time += 0.1
        engine.step.release()
        # The piece has arrived once the engine waits for the next release.
        await until(lambda: engine.step is not None and engine.step.locked())
        await asyncio.sleep(0.002)
    await desk.answering.drained()
    times = [time for time, _ in paper.shown]
    assert len(times) >= 4
    # Only the finished answer does not wait.
    assert all(later - earlier >= 1.0 - 1e-9 for earlier, later in itertools.pairwise(times[:-1]))
    assert times[0] == pytest.approx(0.1)
    assert paper.text == " ".join(map(str, range(40)))
    texts = [text for _, text in paper.shown]
    assert all(longer.startswith(shorter.rstrip()) for shorter, longer in itertools.pairwise(texts))


async def test_blanks_in_front_of_an_answer_are_not_shown(
    desk: Desk, engine: StandInEngine, ticks: Ticks
) -> None:
    engine.pieces = lambda body: ["\n", "  ", "\n Hello", " there \n"]
    paper = desk.ask()
    await desk.answering.drained()
    assert paper.text == "Hello there"


async def test_the_queue_is_bounded_and_a_full_one_says_that_it_is_busy(
    desk: Desk, engine: StandInEngine
) -> None:
    engine.step = asyncio.Semaphore(0)
    desk.ask(0)
    await until(lambda: engine.asked)
    papers = [desk.ask(asker) for asker in range(1, 5)]
    assert desk.answering.waiting == 4
    declined = desk.answering.declines(9)
    assert declined is not None
    assert declined.text == BUSY
    for _ in range(10):
        engine.step.release()
    await desk.answering.drained()
    assert [paper.text for paper in papers] == ["Good evening."] * 4
    assert desk.answering.declines(9) is None


async def test_as_many_questions_as_workers_are_answered_side_by_side(
    engine: StandInEngine, ledger: Ledger, ticks: Ticks
) -> None:
    engine.step = asyncio.Semaphore(0)
    async with desk_at(engine.url, ledger, ticks, workers=3) as desk:
        for asker in range(3):
            desk.ask(asker)
        await until(lambda: len(engine.asked) == 3)
        for _ in range(6):
            engine.step.release()
        await desk.answering.drained()


async def test_everybody_has_a_cooldown_of_their_own_and_reads_it_in_seconds(
    engine: StandInEngine, ledger: Ledger, ticks: Ticks
) -> None:
    async with desk_at(engine.url, ledger, ticks, cooldown_seconds=10.0) as desk:
        desk.ask(1)
        ticks.time = 3.0
        declined = desk.answering.declines(1)
        assert declined is not None
        assert declined.text == "One at a time! Ask me again in 7 s."
        desk.ask(2)
        ticks.time = 9.5
        declined = desk.answering.declines(1)
        assert declined is not None
        assert declined.text == ""
        ticks.time = 10.0
        desk.ask(1)
        await desk.answering.drained()
    assert len(engine.asked) == 3


async def test_people_who_asked_long_ago_are_forgotten(
    engine: StandInEngine, ledger: Ledger, ticks: Ticks
) -> None:
    async with desk_at(engine.url, ledger, ticks, cooldown_seconds=1.0, queue_size=5000) as desk:
        for asker in range(1500):
            ticks.time += 0.1
            desk.answering._courtesy._asked[asker] = ticks.time
        desk.ask(9999)
        assert len(desk.answering._courtesy._asked) < 20
        await desk.answering.drained()


async def test_a_refused_question_is_not_counted_for_the_cooldown(
    engine: StandInEngine, ledger: Ledger, ticks: Ticks
) -> None:
    engine.step = asyncio.Semaphore(0)
    async with desk_at(engine.url, ledger, ticks, cooldown_seconds=10.0, queue_size=1) as desk:
        desk.ask(1)
        await until(lambda: engine.asked)
        desk.ask(2)
        assert desk.answering.declines(3) is not None
        for _ in range(4):
            engine.step.release()
        await desk.answering.drained()
        assert desk.answering.declines(3) is None


async def test_a_failure_leaves_the_worker_at_its_desk(
    desk: Desk, engine: StandInEngine, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken() -> Sequence[Turn]:
        raise RuntimeError("no history")

    first = desk.ask(1, turns=broken)
    desk.ask(2, fails=True)
    last = desk.ask(3)
    await desk.answering.drained()
    assert first.text == aside(BROKEN)
    assert last.text == "Good evening."
    assert "no history" in caplog.text
    assert "could not be written: RuntimeError" in caplog.text
    assert len(desk.answered) == 1


async def test_a_person_who_hurries_is_told_once_and_then_met_with_silence(
    engine: StandInEngine, ledger: Ledger, ticks: Ticks
) -> None:
    async with desk_at(engine.url, ledger, ticks, cooldown_seconds=20.0) as desk:
        desk.ask(1)
        told = [desk.refused(1) for _ in range(59)]
        assert [text for text in told if text] == ["One at a time! Ask me again in 20 s."]
        ticks.time += 61
        desk.ask(1)
        assert desk.refused(1) != ""


async def test_a_channel_that_asks_too_much_hears_so_once(desk: Desk, engine: StandInEngine) -> None:
    engine.step = asyncio.Semaphore(0)
    desk.ask(0)
    await until(lambda: engine.asked)
    for asker in range(1, 5):
        desk.ask(asker)
    told = [desk.refused(asker, channel=77) for asker in range(100, 176)]
    assert [text for text in told if text] == [BUSY]
    assert desk.refused(200, channel=78) == BUSY
    for _ in range(10):
        engine.step.release()
    await desk.answering.drained()


async def test_a_withdrawn_question_is_not_answered_and_what_stood_is_taken_back(
    desk: Desk, engine: StandInEngine
) -> None:
    engine.step = asyncio.Semaphore(1)
    under_way, waiting = desk.ask(1, number=11), desk.ask(2, number=22)
    await until(lambda: under_way.shown)
    desk.answering.withdraw({11, 22})
    engine.step.release()
    await desk.answering.drained()
    assert under_way.withdrawn
    assert waiting.withdrawn
    assert waiting.shown == []
    assert desk.answered == []
    assert len(engine.asked) == 1


async def test_a_question_that_goes_while_its_answer_waits_to_be_written_is_not_answered(
    desk: Desk, ticks: Ticks
) -> None:
    paper = desk.ask(number=11)
    down = True

    async def show(text: str) -> None:
        if down:
            desk.answering.withdraw({11})
            raise aiohttp.ClientConnectionError
        paper.shown.append((ticks.time, text))

    paper.show = show  # type: ignore[method-assign]
    await until(lambda: paper.withdrawn)
    down = False
    await desk.answering.drained()
    assert paper.shown == []
    assert desk.answered == []


async def test_winding_down_finishes_what_it_can_and_marks_the_rest(
    engine: StandInEngine, ledger: Ledger, ticks: Ticks
) -> None:
    async with desk_at(engine.url, ledger, ticks) as desk:
        engine.step = asyncio.Semaphore(1)
        half, waiting = desk.ask(1), desk.ask(2)
        await until(lambda: half.shown)
        await desk.answering.wind_down(seconds=0.1)
        assert half.text == f"Good\n{aside(INTERRUPTED)}"
        assert waiting.text == aside(RESTARTING)
        assert desk.refused(3) == RESTARTING
        assert [text for text, _ in desk.answered] == ["Good"]


async def test_winding_down_lets_an_answer_end_that_needs_a_moment(
    engine: StandInEngine, ledger: Ledger, ticks: Ticks
) -> None:
    async with desk_at(engine.url, ledger, ticks) as desk:
        engine.step = asyncio.Semaphore(1)
        paper = desk.ask(1)
        await until(lambda: paper.shown)
        winding_down = asyncio.create_task(desk.answering.wind_down(seconds=5.0))
        await asyncio.sleep(0)
        engine.step.release()
        await winding_down
        assert paper.text == "Good evening."
