"""The SQLite file: opened, migrated, read on one connection and written on another.

Knows SQL, but no table; :mod:`ledger.sqlite.writer` says how it writes.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiosqlite

from ledger.errors import LedgerError
from ledger.sqlite.faults import explained
from ledger.sqlite.writer import Writer, schema_version

log = logging.getLogger(__name__)

MIGRATIONS = Path(__file__).with_name("migrations")
BUSY_TIMEOUT_MS = 15_000


def migrations() -> list[tuple[int, Path]]:
    """Return the numbered SQL files in order."""
    return sorted((int(path.name[:4]), path) for path in MIGRATIONS.glob("[0-9][0-9][0-9][0-9]_*.sql"))


async def migrate(connection: aiosqlite.Connection) -> None:
    """Bring the database up to this program's version, each step in a transaction of its own."""
    current = await schema_version(connection)
    for number, file in migrations():
        if number > current:
            await _apply(connection, number, file.read_text(encoding="utf-8"))


async def _apply(connection: aiosqlite.Connection, number: int, script: str) -> None:
    """Run one migration in one transaction (``executescript`` would commit statement by statement)."""
    await connection.execute("BEGIN IMMEDIATE")
    try:
        # Two processes may start at once: the second finds the step done once it has the lock.
        if await schema_version(connection) < number:
            for statement in _statements(script):
                await connection.execute(statement)
            await connection.execute(f"PRAGMA user_version = {number}")
        await connection.execute("COMMIT")
    except BaseException:
        await connection.execute("ROLLBACK")
        raise


def _statements(script: str) -> list[str]:
    """Split a migration into statements; a trigger's inner semicolons do not end it."""
    statements, pending = [], ""
    for line in script.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            statements.append(pending)
            pending = ""
    return statements


async def connect(path: Path) -> aiosqlite.Connection:
    """Open ``path`` with the settings that every connection has in common.

    Raises:
        LedgerError: the database was written by a newer version; it is left as it is.
    """
    # A file that cannot be opened fails here; in aiosqlite's thread the error could reach a closed loop.
    sqlite3.connect(path).close()
    # No isolation level: Python's module would begin transactions itself, and VACUUM refuses to run in one.
    connection = await aiosqlite.connect(path, isolation_level=None)
    try:
        connection.row_factory = sqlite3.Row
        await (await connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")).close()
        # Before the pragmas below: changing the journal mode already writes to the file.
        await _refuse_newer(connection, path)
        for pragma in (
            "journal_mode = WAL",
            # With NORMAL none of 100 acknowledged writes was synced; the writer lowers it for talk alone.
            "synchronous = FULL",
            "foreign_keys = ON",
            "secure_delete = ON",  # deleted text is overwritten, not only unlinked
            "temp_store = MEMORY",  # what is sorted is never written to a file of its own
        ):
            cursor = await connection.execute(f"PRAGMA {pragma}")
            await cursor.close()  # an open one is a statement in progress, beside which nothing is vacuumed
    except BaseException:
        await connection.close()  # its thread would keep the process from ending
        raise
    return connection


async def _refuse_newer(connection: aiosqlite.Connection, path: Path) -> None:
    current, newest = await schema_version(connection), migrations()[-1][0]
    if current > newest:
        raise LedgerError(
            f"The database {path} has version {current}, this program knows {newest}: update Nightschool, "
            "or restore the backup made before the update."
        )


async def checkpoint(path: Path) -> bool:
    """Move the WAL's pages into the database and empty it, so that no deleted text stays behind.

    Return False when another process was reading meanwhile and the WAL could not be emptied.
    """
    connection = await connect(path)
    try:
        async with connection.execute("PRAGMA wal_checkpoint(TRUNCATE)") as cursor:
            row = await cursor.fetchone()
        # The row: whether somebody was in the way, pages in the log, pages moved.
        return row is not None and row[0] == 0
    finally:
        await connection.close()


async def rewrite(path: Path) -> None:
    """Write the whole database anew, so that no page holds anything but its rows.

    Raises:
        LedgerError: the disk is full, or another process kept writing.
    """
    connection = await connect(path)
    try:
        await connection.execute("VACUUM")
    except sqlite3.Error as error:
        raise explained(error, "rewritten") from error
    finally:
        await connection.close()


class Reader:
    """The one connection that reads, one statement at a time.

    A connection goes on seeing the database as it was while any of its statements is open, so that a
    read beside another one could miss what has just been written. Do not read inside of a read.
    """

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection
        self._one_at_a_time = asyncio.Lock()

    @asynccontextmanager
    async def execute(
        self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()
    ) -> AsyncIterator[aiosqlite.Cursor]:
        """Run one statement that reads; the cursor lives as long as the ``async with``.

        Raises:
            LedgerError: the database is damaged, or cannot be read for another reason.
        """
        async with self._one_at_a_time:
            try:
                async with self._connection.execute(sql, parameters) as cursor:
                    yield cursor
            except sqlite3.OperationalError as error:
                raise explained(error, "read") from error
            except sqlite3.DatabaseError as error:
                if isinstance(error, sqlite3.IntegrityError | sqlite3.ProgrammingError):
                    raise  # a defect of the program
                raise explained(error, "read") from error

    async def close(self) -> None:
        await self._connection.close()


async def older_deleted(connection: aiosqlite.Connection, table: str, before: int) -> Counter[int]:
    """Delete the rows of ``table`` that were created before ``before``; return how many, by guild."""
    async with connection.execute(
        f"DELETE FROM {table} WHERE created_at < ? RETURNING guild_id", (before,)
    ) as cursor:
        return Counter([int(row["guild_id"]) async for row in cursor])


@asynccontextmanager
async def open_database(path: Path) -> AsyncIterator[tuple[Reader, Writer]]:
    """Open (and if needed create and migrate) the database; give a reader and the writer.

    Raises:
        LedgerError: the file cannot be opened, is no database, or is of a newer version.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(mode=0o600)  # SQLite gives its side files the same rights
        writing = await connect(path)
    except (OSError, sqlite3.Error) as error:
        raise LedgerError(f"The database {path} cannot be opened: {error}.") from error
    try:
        try:
            await migrate(writing)
            reading = await connect(path)
        except sqlite3.Error as error:
            raise LedgerError(
                f"The database {path} cannot be used ({error}); restore a backup or move it away."
            ) from error
        writer = Writer(writing)
        writer.start()
        try:
            yield Reader(reading), writer
        finally:
            await writer.close()
            await reading.close()
    finally:
        await writing.close()
