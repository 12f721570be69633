"""When what is written: pace, precedence, and what becomes of an answer that Discord does not take."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import aiohttp
import discord
import pytest

from bot.talking.asides import aside
from bot.talking.destinations import Destination
from bot.talking.scribe import BACK_OFF, BLOCKED, REFUSED, Scribes


class Clock:
    """Time that passes when somebody sleeps, and lets everybody else go first."""

    def __init__(self) -> None:
        self.time = 0.0

    def __call__(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        until = self.time + seconds
        for _ in range(10):
            await asyncio.sleep(0)
        self.time = max(self.time, until)


class Paper:
    """A destination that keeps what was written and when, and fails as it is told to."""

    def __init__(self, clock: Clock, channel: int, log: list[tuple[float, str]]) -> None:
        self.channel = channel
        self.shown: list[str] = []
        self.errors: list[Exception] = []
        self.signals = 0
        self.withdrawn = False
        self._clock = clock
        self._log = log

    async def show(self, text: str) -> None:
        self._log.append((self._clock.time, text))
        if self.errors:
            raise self.errors.pop(0)
        self.shown.append(text)

    async def signal(self) -> None:
        self.signals += 1
        raise discord.Forbidden(response(403), "no")

    async def withdraw(self) -> None:
        self.withdrawn = True


def response(status: int) -> Any:
    return SimpleNamespace(status=status, reason="")


def answer(status: int, code: int = 0) -> discord.HTTPException:
    kind = {403: discord.Forbidden, 404: discord.NotFound}.get(status, discord.HTTPException)
    kind = discord.DiscordServerError if status >= 500 else kind
    return kind(response(status), {"code": code, "message": "secret words"})


class Desk:
    def __init__(self, scribes: Scribes, clock: Clock) -> None:
        self.scribes = scribes
        self.clock = clock
        self.log: list[tuple[float, str]] = []
        self.refused: list[Exception] = []

    def paper(self, channel: int = 1) -> Paper:
        return Paper(self.clock, channel, self.log)


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    clock = Clock()
    async with Scribes(interval_seconds=1.0, monotonic=clock, sleep=clock.sleep) as scribes:
        desk = Desk(scribes, clock)

        def refused(destination: Destination, error: Exception) -> None:
            desk.refused.append(error)

        scribes.refused = refused
        yield desk


async def rounds(number: int = 20) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


async def test_first_words_are_shown_at_once_and_finished_ones_do_not_wait(desk: Desk) -> None:
    paper = desk.paper()
    draft = desk.scribes.draft(paper)
    await rounds()
    assert paper.signals == 1
    draft.grow("Good")
    await rounds()
    assert desk.log == [(0.0, "Good")]
    assert await draft.finish("Good evening.")
    assert desk.log == [(0.0, "Good"), (0.0, "Good evening.")]


async def test_half_written_answers_share_what_a_channel_allows(desk: Desk) -> None:
    drafts = [desk.scribes.draft(desk.paper()) for _ in range(8)]
    for step in range(4):
        for number, draft in enumerate(drafts):
            draft.grow(f"{number}: " + "word " * (step + 1))
    while desk.clock.time < 20:
        await rounds(1)
        await desk.clock.sleep(0.1)
    times = [time for time, _ in desk.log]
    assert [text[0] for _, text in desk.log] == list("01234567")  # each has its first words once
    assert all(later - earlier >= 1.6 - 1e-9 for earlier, later in itertools.pairwise(times))
    await asyncio.gather(*(draft.finish(f"{number} done") for number, draft in enumerate(drafts)))


async def test_finished_answers_go_before_half_written_ones(desk: Desk) -> None:
    half, done = desk.scribes.draft(desk.paper()), desk.scribes.draft(desk.paper())
    finishing = asyncio.create_task(done.finish("Done."))
    await rounds(1)
    half.grow("still thin")
    assert await finishing
    assert desk.log[0][1] == "Done."
    await half.finish("still thinking.")


async def test_other_channels_wait_for_nobody(desk: Desk) -> None:
    slow = desk.paper(1)
    slow.errors = [answer(503)] * 3
    waiting = asyncio.create_task(desk.scribes.draft(slow).finish("slow"))
    assert await desk.scribes.draft(desk.paper(2)).finish("quick")
    assert await waiting


@pytest.mark.parametrize(
    "error",
    [answer(503), answer(500), answer(429), aiohttp.ServerDisconnectedError(), ConnectionResetError()],
)
async def test_what_passes_is_tried_again_with_growing_pauses(desk: Desk, error: Exception) -> None:
    paper = desk.paper()
    paper.errors = [error] * 4
    assert await desk.scribes.draft(paper).finish("Good evening.")
    assert paper.shown == ["Good evening."]
    times = [time for time, _ in desk.log]
    pauses = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert pauses == pytest.approx(BACK_OFF[:4])
    assert desk.refused == []


async def test_another_answer_in_the_channel_does_not_wait_for_a_second_attempt(desk: Desk) -> None:
    unlucky = desk.paper()
    unlucky.errors = [answer(503)]
    waiting = asyncio.create_task(desk.scribes.draft(unlucky).finish("unlucky"))
    await rounds(2)
    assert await desk.scribes.draft(desk.paper()).finish("lucky")
    assert await waiting
    assert [text for _, text in desk.log] == ["unlucky", "lucky", "unlucky"]


async def test_an_outage_without_an_end_is_given_up_and_logged_without_a_word(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    paper = desk.paper()
    paper.errors = [answer(503)] * 50
    assert not await desk.scribes.draft(paper).finish("private words")
    assert len(desk.log) == len(BACK_OFF) + 1
    assert "DiscordServerError 503" in caplog.text
    assert "private words" not in caplog.text
    assert "secret words" not in caplog.text


@pytest.mark.parametrize(("code", "sentence"), [(200_000, BLOCKED), (50_035, REFUSED)])
async def test_what_discord_does_not_take_is_said_in_a_sentence(desk: Desk, code: int, sentence: str) -> None:
    paper = desk.paper()
    paper.errors = [answer(400, code)]
    assert not await desk.scribes.draft(paper).finish("bad words")
    assert paper.shown == [aside(sentence)]


async def test_what_stood_already_stays_where_the_rest_is_not_taken(desk: Desk) -> None:
    paper = desk.paper()
    draft = desk.scribes.draft(paper)
    draft.grow("Good")
    await rounds()
    paper.errors = [answer(400, 200_000)]
    assert not await draft.finish("Good bad words")
    assert paper.shown == ["Good"]
    assert draft.shown == "Good"


async def test_a_missing_permission_is_reported_to_whoever_can_give_it(desk: Desk) -> None:
    paper = desk.paper()
    paper.errors = [answer(403, 50_013)] * 2
    assert not await desk.scribes.draft(paper).finish("Good evening.")
    assert [type(error) for error in desk.refused] == [discord.Forbidden]


async def test_half_an_answer_that_fails_is_made_up_for_by_the_whole(desk: Desk) -> None:
    paper = desk.paper()
    paper.errors = [answer(503)]
    draft = desk.scribes.draft(paper)
    draft.grow("Good")
    await rounds()
    assert await draft.finish("Good evening.")
    assert paper.shown[-1] == "Good evening."


async def test_a_dropped_answer_is_taken_back(desk: Desk) -> None:
    paper = desk.paper()
    draft = desk.scribes.draft(paper)
    draft.grow("Good")
    await rounds()
    await draft.drop()
    assert paper.withdrawn


async def test_an_answer_that_is_ready_as_its_channels_writer_ends_is_written_all_the_same(
    desk: Desk,
) -> None:
    for number in range(6):
        first = desk.scribes.draft(desk.paper())
        finishing = asyncio.create_task(first.finish("one"))
        await rounds(number)
        late = desk.paper()
        async with asyncio.timeout(5):
            assert await desk.scribes.draft(late).finish("two")
            assert await finishing
        assert late.shown == ["two"]
        await rounds()


async def test_what_goes_while_its_last_word_is_written_is_taken_back(desk: Desk) -> None:
    paper = desk.paper()
    draft = desk.scribes.draft(paper)
    finishing = asyncio.create_task(draft.finish("Good evening."))
    await rounds(1)
    await draft.drop()
    await finishing
    assert paper.withdrawn
