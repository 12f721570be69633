"""Messages wait for a database that cannot be written: in order, bounded, and told."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bot.background import Background
from bot.keeping.backlog import BATCH, LIMIT, RETRY_SECONDS, Backlog
from ledger.errors import LedgerError
from ledger.records import Heard, Message
from ledger.sqlite import database
from tests.bot.house import House, StandInEngine, open_house, settings_for, until
from tests.conftest import FakeClock


def heard(number: int, *, guild: int = 1, content: str = "") -> Heard:
    message = Message(number, guild, 5, 7, "ann", content or f"word {number}", number)
    return Heard(message, "Lantern Yard", "general", "listen", None, 1)


class Desk:
    """A backlog on a clock of its own, in front of a database that fails as it is told to."""

    def __init__(self, background: Background) -> None:
        self.time = 0.0
        self.broken = True
        self.written: list[int] = []
        self.told: list[tuple[int, str]] = []
        self.naps = asyncio.Semaphore(0)
        self.backlog = Backlog(
            self._write,
            background=background,
            tell=lambda guild, text: self.told.append((guild, text)),
            sleep=self._nap,
            monotonic=lambda: self.time,
        )

    async def _write(self, batch: Sequence[Heard]) -> None:
        if self.broken:
            raise LedgerError("The database could not be written.")
        self.written += [heard.message.id for heard in batch]

    async def _nap(self, seconds: float) -> None:
        await self.naps.acquire()
        self.time += seconds

    async def later(self, times: int = 1) -> None:
        for _ in range(times):
            self.naps.release()
            for _ in range(5):
                await asyncio.sleep(0)


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with Background() as background:
        yield Desk(background)


async def test_what_waits_is_written_in_order_and_nothing_overtakes_it(desk: Desk) -> None:
    for number in (1, 2, 3):
        await desk.backlog.take([heard(number)])
    desk.broken = False
    await desk.backlog.take([heard(4)])
    assert desk.written == []
    await desk.later()
    assert desk.written == [1, 2, 3, 4]
    await desk.backlog.take([heard(5)])
    assert desk.written == [1, 2, 3, 4, 5]
    assert desk.told == []  # a moment's trouble is nobody's concern


async def test_trouble_that_lasts_is_reported_once_and_so_is_its_end(desk: Desk) -> None:
    await desk.backlog.take([heard(1)])
    await desk.backlog.take([heard(2, guild=9)])
    await desk.later(int(60 / RETRY_SECONDS) + 5)
    assert sorted(guild for guild, _ in desk.told) == [1, 9]
    assert all("cannot write" in text for _, text in desk.told)
    desk.broken = False
    await desk.later()
    assert [text for guild, text in desk.told if guild == 1][1:] == [
        "📖 I can write to the database again, and what waited is stored. Nothing was lost."
    ]


async def test_what_has_no_room_is_counted_and_reported(desk: Desk) -> None:
    for number in range(1, LIMIT + 4):
        await desk.backlog.take([heard(number)])
    assert len(desk.backlog) == LIMIT
    desk.broken = False
    await desk.later()
    assert desk.written == list(range(4, LIMIT + 4))
    [(guild, text)] = desk.told
    assert guild == 1
    assert "Messages lost: 3." in text


async def test_what_is_deleted_or_edited_while_it_waits_is_not_written_as_it_was(desk: Desk) -> None:
    for number in (1, 2, 3):
        await desk.backlog.take([heard(number)])
    desk.backlog.drop(lambda message: message.id == 2)
    assert desk.backlog.replace(heard(3, content="new words").message)
    assert not desk.backlog.replace(heard(9).message)
    desk.broken = False
    await desk.later()
    assert desk.written == [1, 3]


async def test_nothing_that_was_said_is_lost_while_another_process_holds_the_database(
    tmp_path: Path, engine: StandInEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_TIMEOUT_MS", 50)
    monkeypatch.setattr("bot.keeping.backlog.RETRY_SECONDS", 0.05)
    earlier = FakeClock(datetime(2025, 12, 1, tzinfo=UTC))  # than the simulation's messages
    async with open_house(settings_for(tmp_path, engine.url), clock=earlier) as house:
        await house.ann.slash(house.general, "privacy opt-in")
        with closing(sqlite3.connect(house.services.ledger.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            sent = [await house.ann.send(house.general, f"word {number}") for number in range(12)]
            gone = await house.ann.send(house.general, "this goes again")
            await house.ann.edit(sent[3], "edited 3")
            await house.ann.delete(gone)
            await house.ben.send(house.general, "ben never agreed")
            other.execute("COMMIT")
        await until(lambda: not backlog(house))
        messages = await house.services.ledger.messages.of_guild(house.guild.id)
        assert [each.content for each in messages] == [
            "edited 3" if number == 3 else f"word {number}" for number in range(12)
        ]


def backlog(house: House) -> Backlog:
    return house.bot.own.recording.backlog


async def test_words_that_wait_go_with_the_person_who_is_forgotten(
    tmp_path: Path, engine: StandInEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_house(settings_for(tmp_path, engine.url)) as house:
        await house.ann.slash(house.general, "privacy opt-in")
        ledger = house.services.ledger
        store = ledger.live_messages.store

        async def broken(batch: Sequence[Heard]) -> int:
            raise LedgerError("The database could not be written.")

        monkeypatch.setattr(ledger.live_messages, "store", broken)
        await house.ann.send(house.general, "forget these")
        assert len(backlog(house)) == 1
        house.services.clock.advance(minutes=1)  # type: ignore[attr-defined]
        await house.services.forgetting.person(house.guild.id, house.ann.id, asked_by="member")
        await ledger.consent.opt_in(house.guild.id, house.ann.id)
        monkeypatch.setattr(ledger.live_messages, "store", store)
        await backlog(house)._try()
        assert not backlog(house)
        assert await ledger.messages.count(house.guild.id) == 0


async def test_a_message_that_goes_while_it_is_first_written_does_not_come_back(
    tmp_path: Path, engine: StandInEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier = FakeClock(datetime(2025, 12, 1, tzinfo=UTC))
    async with open_house(settings_for(tmp_path, engine.url), clock=earlier) as house:
        await house.ann.slash(house.general, "privacy opt-in")
        ledger, store = house.services.ledger, house.services.ledger.live_messages.store
        writing, fail = asyncio.Event(), asyncio.Event()

        async def held(batch: Sequence[Heard]) -> int:
            writing.set()
            await fail.wait()
            raise LedgerError("The database could not be written.")

        monkeypatch.setattr(ledger.live_messages, "store", held)
        record = heard(99, guild=house.guild.id).message
        taking = asyncio.create_task(_in_turn(backlog(house), record))
        await writing.wait()
        going = asyncio.create_task(house.bot.own.following.deleted(house.guild.id, {record.id}))
        await asyncio.sleep(0)
        fail.set()
        await asyncio.gather(taking, going)
        monkeypatch.setattr(ledger.live_messages, "store", store)
        await backlog(house)._try()
        assert not backlog(house)
        assert await ledger.messages.count(house.guild.id) == 0


async def _in_turn(waiting: Backlog, message: Message) -> None:
    async with waiting.in_order:
        await waiting.take([Heard(message, "Lantern Yard", "general", "listen", None, 1)])


async def test_what_can_never_be_stored_holds_nobody_up(desk: Desk) -> None:
    await desk.backlog.take([heard(1)])
    await desk.backlog.take([heard(2)])
    write = desk.backlog._write

    async def odd(batch: Sequence[Heard]) -> None:
        if any(each.message.id == 1 for each in batch):
            raise ValueError("a defect")
        await write(batch)

    desk.backlog._write = odd
    desk.broken = False
    await desk.later()
    assert desk.written == [2]
    assert [text for _, text in desk.told] == [
        "📖 I can write to the database again, and what waited is stored. Messages lost: 1."
    ]


async def test_what_waits_is_written_in_batches_between_which_others_have_their_turn(desk: Desk) -> None:
    batches: list[int] = []
    write = desk.backlog._write

    async def counted(batch: Sequence[Heard]) -> None:
        await asyncio.sleep(0.01)
        await write(batch)
        batches.append(len(batch))

    async def delete(number: int) -> None:
        async with desk.backlog.in_order:
            desk.backlog.drop(lambda message: message.id == number)

    desk.backlog._write = counted
    await desk.backlog.take([heard(number) for number in range(2 * BATCH)])
    desk.broken = False
    trying = asyncio.create_task(desk.backlog._try())
    await asyncio.sleep(0)
    await asyncio.gather(trying, delete(2 * BATCH - 1))
    assert batches == [BATCH, BATCH - 1]
    assert desk.written == list(range(2 * BATCH - 1))
