"""The line in which messages, edits and deletions stand: in order, in batches, and nobody waits in vain."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from typing import Any

import pytest

from bot.background import Background
from bot.keeping.backlog import BATCH, Backlog
from bot.keeping.recording_queue import RecordingQueue
from ledger.errors import LedgerError
from ledger.records import Heard, Message


def heard(number: int) -> Heard:
    return Heard(
        Message(number, 1, 5, 7, "ann", f"word {number}", number), "Yard", "general", "listen", None, 1
    )


class Counter:
    """A queue and a backlog in front of a database that waits, or fails, as it is told to."""

    def __init__(self, background: Background) -> None:
        self.batches: list[list[int]] = []
        self.open = asyncio.Event()
        self.open.set()
        self.odd: set[int] = set()
        self.away = False
        self.backlog = Backlog(self._write, background=background, tell=lambda guild, text: None)
        self.queue = RecordingQueue(self.backlog, background=background)

    async def _write(self, batch: Sequence[Heard]) -> None:
        await self.open.wait()
        if self.away:
            raise LedgerError("The database could not be written.")
        numbers = [each.message.id for each in batch]
        if self.odd & set(numbers):
            raise ValueError("a defect")
        self.batches.append(numbers)

    @property
    def written(self) -> list[int]:
        return [number for batch in self.batches for number in batch]


@pytest.fixture
async def counter() -> AsyncIterator[Counter]:
    async with Background() as background:
        yield Counter(background)


async def begun(*work: Coroutine[Any, Any, Any]) -> list[asyncio.Task[Any]]:
    """Start work as events start it, and let all of it get in line."""
    tasks = [asyncio.create_task(each) for each in work]
    await asyncio.sleep(0)
    return tasks


async def test_what_comes_while_something_is_written_goes_on_together_and_in_order(counter: Counter) -> None:
    counter.open.clear()
    tasks = await begun(counter.queue.keep(heard(0)))
    await some_loops()
    tasks += await begun(*(counter.queue.keep(heard(number)) for number in range(1, BATCH + 11)))
    assert not any(task.done() for task in tasks)
    counter.open.set()
    await asyncio.gather(*tasks)
    assert [len(batch) for batch in counter.batches] == [1, BATCH, 10]
    assert counter.written == list(range(BATCH + 11))


async def some_loops() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_turn_comes_after_what_was_heard_before_it_and_holds_up_what_is_heard_after(
    counter: Counter,
) -> None:
    seen: list[list[int]] = []
    release = asyncio.Event()

    async def edit() -> None:
        async with counter.queue.turn():
            seen.append(counter.written)
            await release.wait()

    tasks = await begun(
        counter.queue.keep(heard(1)),
        counter.queue.keep(heard(2)),
        edit(),
        counter.queue.keep(heard(3)),
        edit(),
    )
    await some_loops()
    assert seen == [[1, 2]]
    assert counter.written == [1, 2]
    release.set()
    await asyncio.gather(*tasks)
    assert seen == [[1, 2], [1, 2, 3]]
    assert counter.batches == [[1, 2], [3]]


async def test_whoever_gives_up_a_turn_holds_up_nobody(counter: Counter) -> None:
    counter.open.clear()

    async def edit(seconds: float = 0) -> None:
        async with counter.queue.turn():
            await asyncio.sleep(seconds)

    first, waiting, last = await begun(counter.queue.keep(heard(1)), edit(), counter.queue.keep(heard(2)))
    waiting.cancel()
    counter.open.set()
    await asyncio.gather(first, last)
    [at_work] = await begun(edit(60))
    await some_loops()
    [behind] = await begun(counter.queue.keep(heard(3)))
    at_work.cancel()
    await behind
    assert counter.written == [1, 2, 3]


async def test_a_turn_whose_work_fails_is_over(counter: Counter) -> None:
    async def edit() -> None:
        async with counter.queue.turn():
            raise ValueError("no such message")

    with pytest.raises(ValueError, match="no such message"):
        await edit()
    await counter.queue.keep(heard(1))
    assert counter.written == [1]


async def test_a_message_is_kept_although_nobody_waits_for_it_any_more(counter: Counter) -> None:
    counter.open.clear()
    one, two, three = await begun(*(counter.queue.keep(heard(number)) for number in (1, 2, 3)))
    two.cancel()
    counter.open.set()
    await asyncio.gather(one, three)
    assert two.cancelled()
    assert counter.written == [1, 2, 3]


async def test_one_that_cannot_be_stored_at_all_takes_no_other_with_it(counter: Counter) -> None:
    counter.odd = {2}
    outcomes = await asyncio.gather(
        *(counter.queue.keep(heard(number)) for number in (1, 2, 3)), return_exceptions=True
    )
    assert [type(each) for each in outcomes] == [type(None), ValueError, type(None)]
    assert counter.written == [1, 3]
    with pytest.raises(ValueError, match="a defect"):
        await counter.queue.keep(heard(2))
    assert not len(counter.backlog)


async def test_what_has_to_be_looked_up_keeps_its_place(counter: Counter) -> None:
    async def found() -> Heard | None:
        await asyncio.sleep(0.01)
        return heard(2)

    async def nothing() -> Heard | None:
        return None

    async def broken() -> Heard | None:
        raise LedgerError("The database cannot be read.")

    outcomes = await asyncio.gather(
        counter.queue.keep(heard(1)),
        counter.queue.keep(found),
        counter.queue.keep(nothing),
        counter.queue.keep(broken),
        counter.queue.keep(heard(3)),
        return_exceptions=True,
    )
    assert [type(each) for each in outcomes] == [*[type(None)] * 3, LedgerError, type(None)]
    assert counter.written == [1, 2, 3]


async def test_what_cannot_be_written_now_waits_in_the_backlog_in_order(counter: Counter) -> None:
    counter.away = True
    await asyncio.gather(*(counter.queue.keep(heard(number)) for number in (1, 2)))
    await counter.queue.keep(heard(3))
    assert len(counter.backlog) == 3
    counter.away = False
    await counter.backlog._try()
    assert counter.written == [1, 2, 3]


async def test_nobody_waits_any_more_once_the_bot_has_stopped() -> None:
    async with Background() as background:
        counter = Counter(background)
        counter.open.clear()

        async def edit() -> None:
            async with counter.queue.turn():
                raise AssertionError("its turn never came")

        tasks = await begun(counter.queue.keep(heard(1)), edit())
        await some_loops()
        tasks += await begun(counter.queue.keep(heard(2)))
    done, waiting = await asyncio.wait(tasks, timeout=5)
    assert not waiting
    assert all(task.cancelled() for task in done)
