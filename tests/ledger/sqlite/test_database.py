"""The SQLite file: migrations, refusals, reads beside writes, and what is left in its bytes."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import aiosqlite
import pytest

from ledger.errors import LedgerError
from ledger.sqlite.database import migrations, open_database
from ledger.store import Ledger

OF_VERSION_5 = (
    "INSERT INTO guilds (id, name, first_seen_at) VALUES (1, 'yard', 1)",
    "INSERT INTO channels (id, guild_id, name, mode) VALUES (100, 1, 'lounge', 'listen')",
    "INSERT INTO messages (id, guild_id, channel_id, author_id, content, created_at, source, basis) VALUES"
    " (5, 1, 100, 7, 'heard', 1, 'discord', ''), (6, 1, 100, 7, 'theirs', 1, 'export', 'ours')",
    "INSERT INTO runs (id, guild_id, stage, trigger, created_at) VALUES ('a', 1, 'kept', 'test', 1)",
    "INSERT INTO run_messages (run_id, message_id, author_id) VALUES ('a', 5, 7), ('a', 9, 7)",
)
"""What a database of the fifth version may hold."""
ROOT = Path(__file__).resolve().parents[3]

OPEN_AND_WRITE = """
import asyncio, sys
from pathlib import Path
from ledger.errors import LedgerError
from ledger.store import Ledger

async def main():
    async with Ledger.open(Path(sys.argv[1])) as ledger:
        await ledger.guilds.ensure(int(sys.argv[2]), "a server")

try:
    asyncio.run(main())
except LedgerError as error:
    sys.exit(str(error))
"""


def process(path: Path, number: int = 1) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", OPEN_AND_WRITE, str(path), str(number)]
    return subprocess.Popen(command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def make_newer(path: Path, *, journal: str) -> None:
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA journal_mode = {journal}")
    connection.execute("CREATE TABLE of_the_future (x)")
    connection.execute("INSERT INTO of_the_future VALUES ('kept')")
    connection.execute("PRAGMA user_version = 9999")
    connection.commit()
    connection.close()


async def test_the_file_and_its_folders_are_made_with_wal_and_foreign_keys(tmp_path: Path) -> None:
    path = tmp_path / "not" / "yet" / "there" / "ledger.db"
    async with open_database(path) as (reader, _):
        for pragma, expected in (("journal_mode", "wal"), ("foreign_keys", 1), ("secure_delete", 1)):
            async with reader.execute(f"PRAGMA {pragma}") as cursor:
                row = await cursor.fetchone()
            assert row is not None
            assert row[0] == expected
        async with reader.execute("PRAGMA user_version") as cursor:
            row = await cursor.fetchone()
        assert row is not None
        assert row[0] == migrations()[-1][0]


def test_migrations_are_numbered_without_gaps() -> None:
    assert [number for number, _ in migrations()] == list(range(1, len(migrations()) + 1))


@pytest.mark.parametrize("journal", ["DELETE", "WAL"])
async def test_a_database_of_a_newer_version_is_refused_and_left_byte_for_byte(
    tmp_path: Path, journal: str
) -> None:
    path = tmp_path / "ledger.db"
    make_newer(path, journal=journal)
    before = contents(tmp_path)
    with pytest.raises(LedgerError, match=r"version 9999, this program knows \d+: update"):
        async with Ledger.open(path):
            pass
    assert contents(tmp_path) == before


def test_a_file_that_is_no_database_ends_the_program_with_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    path.write_text("These are notes about owls, not a database. " * 50, encoding="utf-8")
    before = contents(tmp_path)
    ended = process(path)
    _, errors = ended.communicate(timeout=20)  # it must end: an open connection would keep it alive
    assert ended.returncode == 1
    assert errors.strip().endswith("file is not a database.")
    assert "Traceback" not in errors
    assert contents(tmp_path) == before


async def test_a_database_cut_off_in_the_middle_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    async with Ledger.open(path) as ledger:
        await ledger.guilds.ensure(1, "a server")
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(LedgerError, match=r"ledger\.db"):
        async with Ledger.open(path):
            pass


def test_a_folder_in_the_files_place_ends_the_program_with_one_sentence(tmp_path: Path) -> None:
    ended = process(tmp_path)
    _, errors = ended.communicate(timeout=20)
    assert ended.returncode == 1
    assert errors == f"The database {tmp_path} cannot be opened: unable to open database file.\n"


async def test_a_file_in_the_folders_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("", encoding="utf-8")
    with pytest.raises(LedgerError, match="cannot be opened"):
        async with Ledger.open(tmp_path / "data" / "ledger.db"):
            pass


async def test_a_folder_that_may_not_be_written_to_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o500)
    if os.access(tmp_path / "data", os.W_OK):
        pytest.skip("root may write everywhere")
    with pytest.raises(LedgerError, match="cannot be opened"):
        async with Ledger.open(tmp_path / "data" / "ledger.db"):
            pass


async def test_processes_that_start_at_once_migrate_once_and_all_write(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    started = [process(path, number) for number in range(1, 4)]
    for running in started:
        _, errors = running.communicate(timeout=60)
        assert running.returncode == 0, errors
    async with Ledger.open(path) as ledger:
        assert sorted(await ledger.guilds.all()) == [1, 2, 3]


async def test_a_migration_that_fails_leaves_the_version_it_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "migrations"
    broken.mkdir()
    (broken / "0001_first.sql").write_text("CREATE TABLE first (x);\n", encoding="utf-8")
    (broken / "0002_second.sql").write_text(
        "CREATE TABLE second (x);\nCREATE TABLE first (x);\n", encoding="utf-8"
    )
    monkeypatch.setattr("ledger.sqlite.database.MIGRATIONS", broken)
    path = tmp_path / "data" / "ledger.db"
    with pytest.raises(LedgerError, match="first already exists"):
        async with open_database(path):
            pass
    with sqlite3.connect(path) as connection:
        tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master")]
        assert tables == ["first"]
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
    connection.close()


async def test_an_older_database_learns_on_what_basis_and_where_its_words_were_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = tmp_path / "migrations"
    older.mkdir()
    for number, file in migrations():
        if number < 6:
            shutil.copy(file, older)
    path = tmp_path / "data" / "ledger.db"
    with monkeypatch.context() as patch:
        patch.setattr("ledger.sqlite.database.MIGRATIONS", older)
        async with open_database(path) as (_, writer):
            for statement in OF_VERSION_5:
                await writer.execute(statement)
    async with Ledger.open(path) as ledger:
        assert {m.id: m.basis for m in await ledger.messages.of_guild(1)} == {5: "opt-in", 6: "ours"}
        async with ledger.reader.execute("SELECT message_id, channel_id FROM run_messages") as cursor:
            assert [tuple(row) async for row in cursor] == [(5, 100), (9, None)]


async def test_one_process_reads_while_another_is_in_the_middle_of_writing(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    async with Ledger.open(path) as one, Ledger.open(path) as other:
        await one.guilds.ensure(1, "before")

        async def slow(connection: aiosqlite.Connection) -> dict[int, str]:
            await connection.execute("UPDATE guilds SET name = 'during'")
            return await other.guilds.all()

        assert await one.writer.run(slow) == {1: "before"}
        assert await other.guilds.all() == {1: "during"}


async def test_a_read_beside_other_reads_sees_what_was_just_written(ledger: Ledger) -> None:
    async def write_and_read(number: int) -> bool:
        await ledger.guilds.ensure(number, "a server")
        return await ledger.guilds.first_seen(number) is not None

    async def read() -> None:
        for _ in range(60):
            await ledger.guilds.all()

    found = await asyncio.gather(*(write_and_read(n) for n in range(1, 200)), read(), read(), read())
    assert all(found[:-3])
