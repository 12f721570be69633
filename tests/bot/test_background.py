"""Work that outlives the event it was started by."""

from __future__ import annotations

import asyncio
import contextvars
import inspect

import pytest

from bot.background import Background
from tests.bot.house import until


async def test_work_runs_and_its_failure_is_logged_under_its_name(caplog: pytest.LogCaptureFixture) -> None:
    done: list[str] = []

    async def work() -> None:
        done.append("work")

    async def fails() -> None:
        raise RuntimeError("out of ink")

    async with Background() as background:
        background.run(fails(), name="report-7")
        background.run(work(), name="work")
        await until(lambda: done)
        await until(lambda: "out of ink" in caplog.text)
    assert "report-7 failed" in caplog.text


async def test_work_is_cancelled_and_may_clean_up_when_the_bot_stops() -> None:
    ended: list[str] = []
    begun = asyncio.Event()

    async def work() -> None:
        begun.set()
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0)
            ended.append("cleaned up")

    async with Background() as background:
        background.run(work(), name="work")
        await begun.wait()
    assert ended == ["cleaned up"]


@pytest.mark.filterwarnings("error")
async def test_work_that_was_handed_over_too_late_is_closed_without_a_warning() -> None:
    async def work() -> None:
        raise AssertionError("it must not begin")

    async with Background() as background:
        background.run(work(), name="late")


async def test_work_runs_in_the_supervisors_context_and_not_in_the_events() -> None:
    place = contextvars.ContextVar("place", default="nowhere")
    seen: list[str] = []

    async def work() -> None:
        seen.append(place.get())

    async with Background() as background:
        place.set("an event")
        background.run(work(), name="work")
        await until(lambda: seen)
    assert seen == ["nowhere"]


async def test_work_that_comes_after_the_end_is_closed_and_never_begun() -> None:
    begun: list[str] = []

    async def work() -> None:
        begun.append("work")

    async with Background() as background:
        pass
    late = work()
    background.run(late, name="late")
    await asyncio.sleep(0)
    assert begun == []
    assert inspect.getcoroutinestate(late) == inspect.CORO_CLOSED, (
        "open, it would warn that nobody awaited it"
    )
