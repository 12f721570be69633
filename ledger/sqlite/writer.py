"""All writes of a process, in groups: everything that waits shares one transaction.

Under load a commit carries hundreds of messages. Once a caller's job is done, no crash of the process
undoes it and, unless the caller said ``durable=False``, no power cut. Who keeps rows in memory is told of
every commit that changes them. Knows SQL, but no table.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import aiosqlite

from ledger.errors import LedgerError
from ledger.sqlite.faults import explained

log = logging.getLogger(__name__)

T = TypeVar("T")
Job = Callable[[aiosqlite.Connection], Awaitable[T]]
Changed = Callable[..., None]
"""Takes a committed row's values, in the order of the columns that were asked for."""

SYNC_SECONDS = 10.0
"""How much talk a power cut may undo: that long, what was said is in the disk's cache alone."""
MAX_JOBS_A_COMMIT = 512


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
        self._written: list[tuple[Changed, tuple[Any, ...]]] = []
        """What the open transaction changed in tables that are watched."""
        self._unsure: list[Callable[[], None]] = []
        self._data_version = 0

    async def watch(
        self, table: str, columns: Sequence[str], changed: Changed, *, unsure: Callable[[], None]
    ) -> None:
        """Report committed changes of ``table``; has to come before the first job.

        ``changed`` gets the ``columns`` of each row that this process added or changed. ``unsure`` is called
        where rows were deleted, or another process wrote whatever it was. Both are called as soon as the
        commit is done, before anybody who waits for it goes on; what another process wrote is noticed at
        this one's next commit.
        """
        connection = self._connection
        # Triggers, not calls by those who write: no statement can be forgotten. They are the connection's
        # own, so that the file knows nothing of them.
        values = ", ".join(f"NEW.{column}" for column in columns)
        sides = {
            "INSERT": (f"{table}_changed", values),
            "UPDATE": (f"{table}_changed", values),
            "DELETE": (f"{table}_deleted", ""),
        }
        await connection.create_function(
            f"{table}_changed", len(columns), lambda *row: self._written.append((changed, row))
        )
        await connection.create_function(f"{table}_deleted", 0, lambda: self._written.append((unsure, ())))
        for event, (function, given) in sides.items():
            await connection.execute(
                f"CREATE TEMP TRIGGER {table}_{event} AFTER {event} ON main.{table}"
                f" BEGIN SELECT {function}({given}); END"
            )
        self._unsure.append(unsure)
        self._data_version = await self._read_data_version()

    async def _read_data_version(self) -> int:
        """Return a number that changes whenever another connection has written."""
        async with self._connection.execute("PRAGMA data_version") as cursor:
            row = await cursor.fetchone()
        return int(row[0]) if row else 0

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
            # Nobody was promised what a caller gave up before its turn, so that is not written at all.
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
            await self._connection.execute(f"PRAGMA user_version = {await schema_version(self._connection)}")
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
        self._written.clear()
        try:
            # Before BEGIN: within a transaction SQLite refuses to change it.
            await self._set_syncs(durable)
            # IMMEDIATE: a deferred transaction that has read cannot write once another process has; SQLite
            # refuses that at once (BUSY_SNAPSHOT), however long the busy timeout is.
            await self._connection.execute("BEGIN IMMEDIATE")
            await self._look_for_others()
            for waiting in jobs:
                outcomes.append((waiting.future, *await self._attempt(waiting.job)))
            await self._connection.execute("COMMIT")
            # A synced commit takes everything before it along; otherwise the oldest unsynced one counts.
            self._unsynced_since = None if durable else self._unsynced_since or now
            for report, row in self._written:
                report(*row)
        except sqlite3.Error as error:
            if self._connection.in_transaction:
                await self._connection.execute("ROLLBACK")
            outcomes = [(waiting.future, None, explained(error, "written")) for waiting in jobs]
        for future, result, failure in outcomes:
            # Cancelled while its job ran: that is committed all the same.
            if future.done():
                continue
            if failure is None:
                future.set_result(result)
            else:
                future.set_exception(failure)

    async def _look_for_others(self) -> None:
        """Report that another process has written, if one did; within a transaction none can."""
        if self._unsure and (found := await self._read_data_version()) != self._data_version:
            self._data_version = found
            for unsure in self._unsure:
                unsure()

    async def _set_syncs(self, wanted: bool) -> None:
        if wanted != self._syncs:
            level = "FULL" if wanted else "NORMAL"
            await (await self._connection.execute(f"PRAGMA synchronous = {level}")).close()
            self._syncs = wanted

    async def _attempt(self, job: Job[Any]) -> tuple[Any, BaseException | None]:
        """Run one job in a savepoint, so that its failure takes nothing else of the batch with it."""
        await self._connection.execute("SAVEPOINT job")
        written = len(self._written)
        try:
            result = await job(self._connection)
        except Exception as error:
            if isinstance(error, sqlite3.Error) and not self._connection.in_transaction:
                raise  # SQLite has undone the whole transaction, as it does when the disk is full.
            await self._connection.execute("ROLLBACK TO job")
            await self._connection.execute("RELEASE job")
            del self._written[written:]  # undone, and so nothing to report
            # Raised where this job is awaited.
            if isinstance(error, sqlite3.OperationalError):
                return None, explained(error, "written")
            return None, error
        await self._connection.execute("RELEASE job")
        return result, None


async def schema_version(connection: aiosqlite.Connection) -> int:
    """Return the number of the last migration that the database has seen; 0 for a new one."""
    async with connection.execute("PRAGMA user_version") as cursor:
        row = await cursor.fetchone()
    return int(row[0]) if row else 0
