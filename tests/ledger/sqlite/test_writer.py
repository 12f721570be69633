"""How a process writes: many jobs in one commit, each by itself where it fails, and all before the end."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path

import aiosqlite
import pytest

from ledger.errors import LedgerError
from ledger.records import Message
from ledger.sqlite.database import migrations, open_database
from ledger.sqlite.writer import MAX_JOBS_A_COMMIT, Writer
from ledger.store import Ledger


async def test_many_writes_at_once_share_few_transactions(ledger: Ledger) -> None:
    statements: list[str] = []
    connection: aiosqlite.Connection = ledger.writer._connection
    await connection.set_trace_callback(statements.append)
    await asyncio.gather(*(ledger.guilds.ensure(number, "a server") for number in range(1000)))
    await connection.set_trace_callback(None)
    commits = statements.count("COMMIT")
    assert 1 <= commits <= 1000 // MAX_JOBS_A_COMMIT + 2
    assert len(await ledger.guilds.all()) == 1000


async def test_writes_happen_in_the_order_in_which_they_were_asked_for(ledger: Ledger) -> None:
    await asyncio.gather(*(ledger.guilds.ensure(1, f"name {number}") for number in range(200)))
    assert await ledger.guilds.all() == {1: "name 199"}


async def test_a_job_that_fails_takes_nothing_else_of_its_batch_with_it(ledger: Ledger) -> None:
    async def half_done(connection: aiosqlite.Connection) -> None:
        await connection.execute("INSERT INTO guilds (id, name, first_seen_at) VALUES (50, 'half', 0)")
        raise RuntimeError("stopped in the middle")

    outcomes = await asyncio.gather(
        ledger.guilds.ensure(1, "before"),
        ledger.writer.run(half_done),
        ledger.channels.ensure(5, 404, "of no guild"),
        ledger.guilds.ensure(2, "after"),
        return_exceptions=True,
    )
    assert isinstance(outcomes[1], RuntimeError)
    assert isinstance(outcomes[2], sqlite3.IntegrityError)
    assert outcomes[0] is outcomes[3] is None
    assert await ledger.guilds.all() == {1: "before", 2: "after"}


async def test_a_caller_that_gave_up_waiting_stops_nobody_else(ledger: Ledger) -> None:
    given_up = asyncio.create_task(ledger.guilds.ensure(1, "given up"))
    kept = asyncio.create_task(ledger.guilds.ensure(2, "kept"))
    await asyncio.sleep(0)
    given_up.cancel()
    await kept
    assert 2 in await ledger.guilds.all()


async def test_closing_writes_what_still_waits(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    async with Ledger.open(path) as ledger:
        waiting = [asyncio.create_task(ledger.guilds.ensure(n, "a server")) for n in range(1500)]
        await asyncio.sleep(0)
    await asyncio.gather(*waiting)
    async with Ledger.open(path) as ledger:
        assert len(await ledger.guilds.all()) == 1500


async def test_a_closed_ledger_refuses_to_write(tmp_path: Path) -> None:
    async with Ledger.open(tmp_path / "ledger.db") as ledger:
        pass
    with pytest.raises(LedgerError, match="closed"):
        await ledger.guilds.ensure(1, "too late")


async def test_a_full_disk_is_one_sentence_and_loses_nothing_stored_before(
    house: Ledger, message: Callable[..., Message]
) -> None:
    await house.messages.add(message(1, "safe"))
    await house.writer.run(_limit_pages)
    large = [message(number, "x" * 4000) for number in range(2, 400)]
    beside, failed = await asyncio.gather(
        house.guilds.ensure(2, "in the same batch"), house.messages.add_many(large), return_exceptions=True
    )
    assert isinstance(failed, LedgerError)
    assert beside is None or str(beside) == str(failed)
    assert (2 in await house.guilds.all()) == (beside is None)
    assert "the disk is full: make room" in str(failed)
    assert [stored.content for stored in await house.messages.of_guild(1)] == ["safe"]


async def _limit_pages(connection: aiosqlite.Connection) -> None:
    # The smallest limit that SQLite accepts is the file's present size.
    await connection.execute("PRAGMA max_page_count = 1")


async def test_a_sync_does_not_pass_over_a_migration_that_an_update_brought(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ledger.sqlite.writer.SYNC_SECONDS", 0.01)
    path = tmp_path / "ledger.db"
    async with Ledger.open(path) as ledger:
        await ledger.guilds.ensure(1, "yard")
        version = migrations()[-1][0]
        monkeypatch.setattr("ledger.sqlite.database.migrations", lambda: [(version + 1, path)])
        for _ in range(200):
            await asyncio.sleep(0.005)
            if ledger.writer._unsynced_since is None:
                break
        assert ledger.writer._unsynced_since is None
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA user_version").fetchone()[0] == version


async def test_a_job_returns_its_result_and_a_statement_how_many_rows_it_changed(ledger: Ledger) -> None:
    for number in (1, 2, 3):
        await ledger.guilds.ensure(number, "a server")

    async def count(connection: aiosqlite.Connection) -> int:
        async with connection.execute("SELECT count(*) FROM guilds") as cursor:
            row = await cursor.fetchone()
        return int(row[0]) if row else 0

    assert await ledger.writer.run(count) == 3
    assert await ledger.writer.execute("UPDATE guilds SET name = 'yard' WHERE id < :id", {"id": 3}) == 2


async def test_only_what_has_to_survive_a_power_cut_is_synced(ledger: Ledger) -> None:
    async def level(*, durable: bool) -> int:
        async def job(connection: aiosqlite.Connection) -> int:
            async with connection.execute("PRAGMA synchronous") as cursor:
                row = await cursor.fetchone()
            return int(row[0]) if row else -1

        return await ledger.writer.run(job, durable=durable)

    normal, full = 1, 2
    assert [await level(durable=wanted) for wanted in (True, False, False, True)] == [
        full,
        normal,
        normal,
        full,
    ]


async def test_what_was_not_synced_is_synced_when_the_writer_closes(tmp_path: Path) -> None:
    async with Ledger.open(tmp_path / "ledger.db") as ledger:
        await ledger.guilds.ensure(1, "yard")
        await ledger.writer.execute("UPDATE guilds SET name = 'lounge'", durable=False)
        assert ledger.writer._unsynced_since is not None
    assert ledger.writer._unsynced_since is None


class Watcher:
    """Notes what the writer reports."""

    def __init__(self) -> None:
        self.rows: list[tuple[object, ...]] = []
        self.unsure = 0

    def changed(self, *row: object) -> None:
        self.rows.append(row)

    def lost(self) -> None:
        self.unsure += 1


@pytest.fixture
async def watched(tmp_path: Path) -> AsyncIterator[tuple[Writer, Watcher, Path]]:
    """A writer that reports guilds, and who hears it."""
    path = tmp_path / "watched.db"
    async with open_database(path) as (_, writer):
        watcher = Watcher()
        await writer.watch("guilds", ("id", "name"), watcher.changed, unsure=watcher.lost)
        yield writer, watcher, path


ADD = "INSERT INTO guilds (id, name, first_seen_at) VALUES (?, ?, 0)"


async def test_a_commits_changes_are_reported_before_whoever_waits_for_it_goes_on(
    watched: tuple[Writer, Watcher, Path],
) -> None:
    writer, watcher, _ = watched
    await asyncio.gather(writer.execute(ADD, (1, "yard")), writer.execute(ADD, (2, "lounge")))
    assert watcher.rows == [(1, "yard"), (2, "lounge")]
    await writer.execute("UPDATE guilds SET name = 'attic' WHERE id = 2")
    await writer.execute("UPDATE guilds SET name = 'attic' WHERE id = 404")
    assert watcher.rows[2:] == [(2, "attic")]
    assert watcher.unsure == 0
    await writer.execute("DELETE FROM guilds WHERE id = 1")
    assert watcher.unsure == 1


async def test_what_was_undone_is_not_reported(watched: tuple[Writer, Watcher, Path]) -> None:
    writer, watcher, _ = watched

    async def half_done(connection: aiosqlite.Connection) -> None:
        await connection.execute(ADD, (50, "half"))
        raise RuntimeError("stopped in the middle")

    async def whole_undone(connection: aiosqlite.Connection) -> None:
        await connection.execute(ADD, (51, "undone"))
        await connection.execute("ROLLBACK")
        raise sqlite3.OperationalError("disk I/O error")

    outcomes = await asyncio.gather(
        writer.execute(ADD, (1, "before")),
        writer.run(half_done),
        writer.execute(ADD, (2, "after")),
        return_exceptions=True,
    )
    assert isinstance(outcomes[1], RuntimeError)
    assert watcher.rows == [(1, "before"), (2, "after")]
    with pytest.raises(LedgerError):
        await writer.run(whole_undone)
    await writer.execute(ADD, (3, "later"))
    assert watcher.rows == [(1, "before"), (2, "after"), (3, "later")]


async def test_what_another_process_wrote_is_noticed_at_the_next_commit(
    watched: tuple[Writer, Watcher, Path],
) -> None:
    writer, watcher, path = watched
    await writer.execute(ADD, (1, "yard"))
    assert watcher.unsure == 0
    with closing(sqlite3.connect(path)) as other:
        other.execute(ADD, (2, "lounge"))
        other.commit()
    for _ in range(2):
        await writer.execute("UPDATE guilds SET name = 'attic' WHERE id = 404")
        assert watcher.unsure == 1
    assert watcher.rows == [(1, "yard")]
    with closing(sqlite3.connect(path)) as other:
        names = other.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall()
    assert not any("guilds" in name for (name,) in names)  # the file knows nothing of the watching
