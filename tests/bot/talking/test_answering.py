"""From a question to an answer: pace, queue, cooldown and retries, against an injected clock."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import aiohttp
import pytest

from bot.serving.engine_client import Address, AnswerSampling, EngineClient
from bot.serving.served_versions import ServedVersions
from bot.talking.answering import (
    BROKEN,
    BUSY,
    DOWN,
    INTERRUPTED,
    RESTARTING,
    SPEECHLESS,
    WAKING,
    Answering,
    Prompt,
    Question,
)
from bot.talking.asides import MARK, aside
from bot.talking.scribe import Scribes
from ledger.errors import EngineLoading
from ledger.store import Ledger
from ledger.talk.prompts import Turn
from tests.bot.house import BASE, RealEngine, StandInEngine, until

SAMPLING = AnswerSampling(max_tokens=16, temperature=0.0, top_p=1.0)
TURNS: list[Turn] = [
    {"role": "system", "content": "You are Nightschool."},
    {"role": "user", "content": "ann: hello"},
]


CHANNELS = itertools.count(1)


class Ticks:
    """A clock for the pace: it moves when a test moves it, or when somebody sleeps."""

    def __init__(self) -> None:
        self.time = 0.0

    def __call__(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds


class Paper:
    """A destination that keeps what was written, and when."""

    def __init__(self, ticks: Ticks, *, fails: bool = False) -> None:
        self.shown: list[tuple[float, str]] = []
        self._ticks = ticks
        self._fails = fails
        self.channel = next(CHANNELS)
        self.signals = 0
        self.withdrawn = False

    async def signal(self) -> None:
        self.signals += 1

    async def withdraw(self) -> None:
        self.withdrawn = True

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
        number: int = 0,
    ) -> Paper:
        paper = Paper(self.ticks, fails=fails)

        async def prompt() -> Prompt:
            return Prompt(TURNS if turns is None else await turns(), {"Nightschool", "ann", "ben"})

        async def note(text: str, version: str | None) -> None:
            self.answered.append((text, version))

        assert self.answering.ask(Question(guild, asker, prompt, paper, note, number)) is None
        return paper

    def refused(self, asker: int, *, channel: int | None = None) -> str:
        """Ask what is not taken; return what is said to that."""
        paper = Paper(self.ticks)
        paper.channel = paper.channel if channel is None else channel

        async def never(*_: object) -> Prompt:
            raise AssertionError("it was not to be taken")

        declined = self.answering.ask(Question(None, asker, never, paper, never))  # type: ignore[arg-type]
        assert declined is not None
        return declined.text


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
        **options,
    }
    async with aiohttp.ClientSession() as session:
        client = EngineClient(session, lambda: Address(url, key, base))
        async with (
            ServedVersions(ledger, client) as serving,
            Scribes(interval_seconds=1.0, monotonic=ticks, sleep=ticks.sleep) as scribes,
            Answering(
                client,
                serving,
                scribes,
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


@pytest.mark.parametrize("pieces", [[], [""], [" ", "\n\n"]])
async def test_an_answer_without_a_word_says_so(desk: Desk, engine: StandInEngine, pieces: list[str]) -> None:
    engine.pieces = lambda body: pieces
    paper = desk.ask()
    await desk.answering.drained()
    assert paper.text == aside(SPEECHLESS)
    assert len(engine.asked) == 2
    assert desk.answered == []


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


async def test_who_asks_while_the_engine_loads_is_answered_once_it_serves(
    desk: Desk, engine: StandInEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    serving = desk.answering._engine._address
    loads = iter([True, True, True])

    def address() -> Address:
        if next(loads, False):
            raise EngineLoading("The engine is not up: it is still loading the model.")
        return serving()

    monkeypatch.setattr(desk.answering._engine, "_address", address)
    paper = desk.ask()
    await desk.answering.drained()
    assert paper.text == "Good evening."
    assert paper.shown[0][1] == aside(WAKING)


async def test_an_engine_that_loads_for_too_long_is_reported(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def address() -> Address:
        raise EngineLoading("The engine is not up: it is still loading the model.")

    monkeypatch.setattr(desk.answering._engine, "_address", address)
    paper = desk.ask()
    await desk.answering.drained()
    assert paper.text == aside(DOWN)
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
