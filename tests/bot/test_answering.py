"""From a question to an answer: pace, queue, cooldown and retries, against an injected clock."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext

import aiohttp
import pytest

from bot.answering import BROKEN, BUSY, DOWN, SPEECHLESS, Answering, Question
from bot.engine_client import Address, EngineClient, Sampling
from bot.serving import Serving
from ledger.prompts import Turn
from ledger.store import Ledger
from tests.bot.house import BASE, RealEngine, StandInEngine, until

SAMPLING = Sampling(max_tokens=16, temperature=0.0, top_p=1.0)
TURNS: list[Turn] = [
    {"role": "system", "content": "You are Nightschool."},
    {"role": "user", "content": "ann: hello"},
]


class Ticks:
    """A clock for the pace: it moves when a test moves it, or when somebody sleeps."""

    def __init__(self) -> None:
        self.time = 0.0

    def __call__(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds


class Paper:
    """A place that keeps what was written, and when."""

    def __init__(self, ticks: Ticks, *, fails: bool = False) -> None:
        self.shown: list[tuple[float, str]] = []
        self._ticks = ticks
        self._fails = fails

    def typing(self) -> AbstractAsyncContextManager[None]:
        return nullcontext()

    async def show(self, text: str) -> None:
        if self._fails:
            raise RuntimeError("no paper")
        self.shown.append((self._ticks.time, text))

    @property
    def text(self) -> str:
        return self.shown[-1][1]


class Desk:
    """Asks questions and notes what became of them."""

    def __init__(self, answering: Answering, ticks: Ticks) -> None:
        self.answering = answering
        self.ticks = ticks
        self.answered: list[tuple[str, str | None]] = []

    def ask(
        self,
        asker: int = 1,
        *,
        turns: Callable[[], Awaitable[Sequence[Turn]]] | None = None,
        fails: bool = False,
        guild: int | None = None,
    ) -> Paper:
        paper = Paper(self.ticks, fails=fails)

        async def given() -> Sequence[Turn]:
            return TURNS

        async def note(text: str, version: str | None) -> None:
            self.answered.append((text, version))

        assert self.answering.ask(Question(guild, asker, turns or given, paper, note)) is None
        return paper


@pytest.fixture
def ticks() -> Ticks:
    return Ticks()


@asynccontextmanager
async def desk_at(
    url: str, ledger: Ledger, ticks: Ticks, *, key: str = "", base: str = BASE, **options: float
) -> AsyncIterator[Desk]:
    settings = {
        "workers": 1,
        "queue_size": 4,
        "cooldown_seconds": 0.0,
        "edit_interval_seconds": 1.0,
        **options,
    }
    async with aiohttp.ClientSession() as session:
        client = EngineClient(session, lambda: Address(url, key, base))
        async with (
            Serving(ledger, client) as serving,
            Answering(
                client,
                serving,
                sampling=SAMPLING,
                monotonic=ticks,
                sleep=ticks.sleep,
                **settings,  # type: ignore[arg-type]
            ) as answering,
        ):
            yield Desk(answering, ticks)


@pytest.fixture
async def desk(engine: StandInEngine, ledger: Ledger, ticks: Ticks) -> AsyncIterator[Desk]:
    async with desk_at(engine.url, ledger, ticks) as opened:
        yield opened


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
    assert all(later - earlier >= 1.0 - 1e-9 for earlier, later in itertools.pairwise(times))
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


@pytest.mark.parametrize("pieces", [[], [""], [" ", "\n\n"]])
async def test_an_answer_without_a_word_says_so(desk: Desk, engine: StandInEngine, pieces: list[str]) -> None:
    engine.pieces = lambda body: pieces
    paper = desk.ask()
    await desk.answering.drained()
    assert paper.text == SPEECHLESS


async def test_the_queue_is_bounded_and_a_full_one_is_told_to_be_busy(
    desk: Desk, engine: StandInEngine
) -> None:
    engine.step = asyncio.Semaphore(0)
    desk.ask(0)
    await until(lambda: engine.asked)
    papers = [desk.ask(asker) for asker in range(1, 5)]
    assert desk.answering.waiting == 4
    refusal = desk.answering.refusal(9)
    assert refusal is not None
    assert refusal.text == BUSY
    for _ in range(10):
        engine.step.release()
    await desk.answering.drained()
    assert [paper.text for paper in papers] == ["Good evening."] * 4
    assert desk.answering.refusal(9) is None


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


async def test_the_cooldown_is_each_persons_own_and_told_in_seconds(
    engine: StandInEngine, ledger: Ledger, ticks: Ticks
) -> None:
    async with desk_at(engine.url, ledger, ticks, cooldown_seconds=10.0) as desk:
        desk.ask(1)
        ticks.time = 3.0
        refusal = desk.answering.refusal(1)
        assert refusal is not None
        assert refusal.text == "One at a time! Ask me again in 7 s."
        desk.ask(2)
        ticks.time = 9.5
        refusal = desk.answering.refusal(1)
        assert refusal is not None
        assert refusal.text == ""
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
            desk.answering._last_asked[asker] = ticks.time
        desk.ask(9999)
        assert len(desk.answering._last_asked) < 20
        await desk.answering.drained()


async def test_a_refused_question_is_not_counted_for_the_cooldown(
    engine: StandInEngine, ledger: Ledger, ticks: Ticks
) -> None:
    engine.step = asyncio.Semaphore(0)
    async with desk_at(engine.url, ledger, ticks, cooldown_seconds=10.0, queue_size=1) as desk:
        desk.ask(1)
        await until(lambda: engine.asked)
        desk.ask(2)
        assert desk.answering.refusal(3) is not None
        for _ in range(4):
            engine.step.release()
        await desk.answering.drained()
        assert desk.answering.refusal(3) is None


async def test_a_failure_leaves_the_worker_at_its_desk(
    desk: Desk, engine: StandInEngine, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken() -> Sequence[Turn]:
        raise RuntimeError("no history")

    first = desk.ask(1, turns=broken)
    desk.ask(2, fails=True)
    last = desk.ask(3)
    await desk.answering.drained()
    assert first.text == BROKEN
    assert last.text == "Good evening."
    assert "no history" in caplog.text
    assert "no paper" in caplog.text
    assert len(desk.answered) == 1


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
    assert paper.text == said
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
    assert papers[0].text not in (DOWN, BUSY, BROKEN)


async def test_a_prompt_longer_than_the_real_engines_context_is_cut_until_it_fits(
    real_engine: RealEngine, ledger: Ledger, ticks: Ticks
) -> None:
    async def long() -> Sequence[Turn]:
        lines: list[Turn] = [{"role": "user", "content": f"ann: word {n} " * 12} for n in range(30)]
        return [TURNS[0], *lines]

    async with desk_at(real_engine.url, ledger, ticks, key=real_engine.token, base="base") as desk:
        paper = desk.ask(turns=long)
        await asyncio.wait_for(desk.answering.drained(), 30)
    assert paper.text not in (DOWN, BUSY, BROKEN)
