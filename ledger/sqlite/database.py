"""The SQLite file: opened, migrated, read on one connection and written on another.

All writes of a process go through one :class:`Writer`, which puts everything that is waiting into
one transaction (group commit): under load a commit carries hundreds of messages. Once a caller's job
is done, no crash of the process undoes it and, unless the caller said ``durable=False``, no
power cut. Knows SQL, but no table.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import aiosqlite

from ledger.errors import LedgerError

log = logging.getLogger(__name__)

T = TypeVar("T")
Job = Callable[[aiosqlite.Connection], Awaitable[T]]

MIGRATIONS = Path(__file__).with_name("migrations")
BUSY_TIMEOUT_MS = 15_000
SYNC_SECONDS = 10.0
"""How much talk a power cut may undo: that long, what was said is in the disk's cache alone."""
MAX_JOBS_A_COMMIT = 512


def migrations() -> list[tuple[int, Path]]:
    """Return the numbered SQL files in order."""
    return sorted((int(path.name[:4]), path) for path in MIGRATIONS.glob("[0-9][0-9][0-9][0-9]_*.sql"))


async def migrate(connection: aiosqlite.Connection) -> None:
    """Bring the database up to this program's version, each step in a transaction of its own."""
    current = await _version(connection)
    for number, file in migrations():
        if number > current:
            await _apply(connection, number, file.read_text(encoding="utf-8"))


async def _apply(connection: aiosqlite.Connection, number: int, script: str) -> None:
    """Run one migration in one transaction (``executescript`` would commit statement by statement)."""
    await connection.execute("BEGIN IMMEDIATE")
    try:
        # Two processes may start at once: the second finds the step done once it has the lock.
        if await _version(connection) < number:
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
    connection = await aiosqlite.connect(path, isolation_level=None)
    try:
        connection.row_factory = sqlite3.Row
        await (await connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")).close()
        # Before the pragmas below: changing the journal mode already writes to the file.
        await _refuse_newer(connection, path)
        for pragma in (
            "journal_mode = WAL",
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
    current, newest = await _version(connection), migrations()[-1][0]
    if current > newest:
        raise LedgerError(
            f"The database {path} has version {current}, this program knows {newest}: update Nightschool, "
            "or restore the backup made before the update."
        )


async def _version(connection: aiosqlite.Connection) -> int:
    async with connection.execute("PRAGMA user_version") as cursor:
        row = await cursor.fetchone()
    return int(row[0]) if row else 0


async def checkpoint(path: Path) -> bool:
    """Move the WAL's pages into the database and empty it, so that no deleted text stays behind.

    Return False when another process was reading meanwhile and the WAL could not be emptied.
    """
    connection = await connect(path)
    try:
        async with connection.execute("PRAGMA wal_checkpoint(TRUNCATE)") as cursor:
            row = await cursor.fetchone()
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


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A job and who waits for it; ``durable`` says that no power cut may undo it once it is done."""

    job: Job[Any]
    future: asyncio.Future[Any]
    durable: bool


class Writer:
    """The one place where this process writes; jobs of one batch share a commit."""

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection
        self._jobs: asyncio.Queue[_Waiting | None] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None
        self._closing = False
        self._syncs = True
        """Whether commits reach the disk itself, as the connection stands."""
        self._unsynced_since: float | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._work(), name="ledger-writer")

    async def run(self, job: Job[T], *, durable: bool = True) -> T:
        """Run ``job`` on the writing connection and return its result once it is committed.

        What is not ``durable`` survives the process, but a power cut may undo its last ``SYNC_SECONDS``: a
        disk syncs some hundred times a second at best, and a busy server talks faster.
        """
        if self._closing:
            raise LedgerError("The ledger is closed; nothing more can be written.")
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._jobs.put_nowait(_Waiting(job, future, durable))
        return await future

    async def execute(
        self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = (), *, durable: bool = True
    ) -> int:
        """Run one statement and return the number of rows it changed."""

        async def job(connection: aiosqlite.Connection) -> int:
            cursor = await connection.execute(sql, parameters)
            return cursor.rowcount

        return await self.run(job, durable=durable)

    async def close(self) -> None:
        """Write everything that is still waiting, then stop."""
        self._closing = True
        self._jobs.put_nowait(None)
        if self._task is not None:
            await self._task

    async def _work(self) -> None:
        open_ended = True
        while open_ended:
            batch = [await self._next()]
            while len(batch) < MAX_JOBS_A_COMMIT and not self._jobs.empty():
                batch.append(self._jobs.get_nowait())
            open_ended = None not in batch
            jobs = [item for item in batch if item is not None and not item.future.cancelled()]
            if jobs:
                await self._commit(jobs)
        if self._unsynced_since is not None:
            await self._sync()

    async def _next(self) -> _Waiting | None:
        """Return the next job, syncing meanwhile what has waited for ``SYNC_SECONDS``."""
        if self._unsynced_since is None:
            return await self._jobs.get()
        left = self._unsynced_since + SYNC_SECONDS - time.monotonic()
        try:
            async with asyncio.timeout(max(left, 0.0)):
                return await self._jobs.get()
        except TimeoutError:
            await self._sync()
            return await self._jobs.get()

    async def _sync(self) -> None:
        """Have the disk keep what is in its cache: a commit syncs the whole log before it.

        Writing the version that is already there changes nothing, but it is a write.
        """
        self._unsynced_since = time.monotonic()
        try:
            await self._set_syncs(True)
            await self._connection.execute("BEGIN IMMEDIATE")
            # The version in the file, not that of the folder: an update may already be installed there.
            await self._connection.execute(f"PRAGMA user_version = {await _version(self._connection)}")
            await self._connection.execute("COMMIT")
            self._unsynced_since = None
        except sqlite3.Error as error:
            if self._connection.in_transaction:
                await self._connection.execute("ROLLBACK")
            log.error("the last messages could not be synced yet: %s", explained(error, "synced"))

    async def _commit(self, jobs: list[_Waiting]) -> None:
        outcomes: list[tuple[asyncio.Future[Any], Any, BaseException | None]] = []
        now = time.monotonic()
        overdue = self._unsynced_since is not None and now - self._unsynced_since >= SYNC_SECONDS
        durable = overdue or any(waiting.durable for waiting in jobs)
        try:
            await self._set_syncs(durable)
            await self._connection.execute("BEGIN IMMEDIATE")
            for waiting in jobs:
                outcomes.append((waiting.future, *await self._attempt(waiting.job)))
            await self._connection.execute("COMMIT")
            self._unsynced_since = None if durable else self._unsynced_since or now
        except sqlite3.Error as error:
            if self._connection.in_transaction:
                await self._connection.execute("ROLLBACK")
            outcomes = [(waiting.future, None, explained(error, "written")) for waiting in jobs]
        for future, result, failure in outcomes:
            if future.done():
                continue
            if failure is None:
                future.set_result(result)
            else:
                future.set_exception(failure)

    async def _set_syncs(self, wanted: bool) -> None:
        if wanted != self._syncs:
            level = "FULL" if wanted else "NORMAL"
            await (await self._connection.execute(f"PRAGMA synchronous = {level}")).close()
            self._syncs = wanted

    async def _attempt(self, job: Job[Any]) -> tuple[Any, BaseException | None]:
        """Run one job in a savepoint, so that its failure takes nothing else of the batch with it."""
        await self._connection.execute("SAVEPOINT job")
        try:
            result = await job(self._connection)
        except Exception as error:
            if isinstance(error, sqlite3.Error) and not self._connection.in_transaction:
                raise  # SQLite has undone the whole transaction, as it does when the disk is full.
            await self._connection.execute("ROLLBACK TO job")
            await self._connection.execute("RELEASE job")
            # Raised where this job is awaited.
            if isinstance(error, sqlite3.OperationalError):
                return None, explained(error, "written")
            return None, error
        await self._connection.execute("RELEASE job")
        return result, None


async def older_deleted(connection: aiosqlite.Connection, table: str, before: int) -> Counter[int]:
    """Delete the rows of ``table`` that were created before ``before``; return how many, by guild."""
    async with connection.execute(
        f"DELETE FROM {table} WHERE created_at < ? RETURNING guild_id", (before,)
    ) as cursor:
        return Counter([int(row["guild_id"]) async for row in cursor])


def explained(error: sqlite3.Error, done: str) -> LedgerError:
    """Return a sentence for what SQLite says, with what to do about it; ``done`` is what could not be."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return LedgerError(f"The database could not be {done} ({error}); {_CURES.get(code, _LOOK)}.")


_RESTORE = "it is damaged: stop the bot and restore a backup with: python -m bot restore FILE"
_LOOK = "check disk space and permissions"
_CURES = {
    sqlite3.SQLITE_BUSY: "another process holds it: end that one, or wait until it is through",
    sqlite3.SQLITE_LOCKED: "another process holds it: end that one, or wait until it is through",
    sqlite3.SQLITE_FULL: "the disk is full: make room",
    sqlite3.SQLITE_CORRUPT: _RESTORE,
    sqlite3.SQLITE_NOTADB: _RESTORE,
    sqlite3.SQLITE_READONLY: "its file or folder may not be written: check permissions",
    sqlite3.SQLITE_PERM: "its file or folder may not be written: check permissions",
    sqlite3.SQLITE_IOERR: "the disk fails: check it, and restore a backup with: python -m bot restore FILE",
}


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
