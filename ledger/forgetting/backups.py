"""Backups of the ledger, and restores that do not bring back what was deleted since.

Every later deletion is noted in the backup folder (identifiers, no text). A restore replays these
notes, and those of the database that it replaces, before the restored one takes its place.
Adapter versions are not in a backup: they are copied like any folder, and a restored ledger deletes
those that it has to.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from ledger.clock import Clock
from ledger.errors import LedgerError
from ledger.forgetting import backup_notes as notes
from ledger.forgetting.backup_notes import NOTES, NotedDeletion
from ledger.forgetting.deletion_path import RESTORED, RESTORING, Forgetting
from ledger.records import BackupFolder
from ledger.store import Ledger

log = logging.getLogger(__name__)

SIDE_FILES = ("-wal", "-shm")
BUSY_SECONDS = 1.0
LEDGER_TABLES = {"guilds", "consent_events", "messages"}
"""Tables that every version of the ledger has; without them a file is something else."""


async def back_up(ledger: Ledger, folder: Path) -> Path:
    """Write a consistent copy of the ledger into ``folder`` and return its path.

    Raises:
        LedgerError: the folder cannot be written.
    """
    name = f"ledger-{ledger.clock.now():%Y%m%dT%H%M%SZ}.db"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        resolved = str(folder.resolve())
        known = {known.path: known for known in await ledger.backup_folders()}
        if resolved in known:
            # A newer backup must not skip what the folder was not told because it was not at hand.
            await notes.tell(ledger, known[resolved])
        else:
            # Registered first: a deletion that comes while the copy is written is then noted beside it.
            deletions = await ledger.deletions.since(0)
            newest = deletions[-1].id if deletions else 0
            await ledger.note_backup_folder(BackupFolder(resolved, newest, await ledger.consent.newest()))
        await asyncio.to_thread(_copy, ledger.path, folder / name)
    except (OSError, sqlite3.Error) as error:
        raise LedgerError(f"The backup cannot be written to {folder}: {error}.") from error
    return folder / name


def _copy(source: Path, target: Path) -> None:
    unfinished = target.with_name(f"{target.name}.unfinished")
    unfinished.unlink(missing_ok=True)
    with closing(sqlite3.connect(source)) as reading, closing(sqlite3.connect(unfinished)) as writing:
        reading.backup(writing)
        # One file, which can be copied anywhere without its write-ahead log.
        writing.execute("PRAGMA journal_mode = DELETE")
    unfinished.chmod(0o600)
    unfinished.rename(target)


async def restore(
    backup: Path,
    database: Path,
    *,
    adapters_dir: Path,
    forgets: Callable[[Ledger], Forgetting],
    clock: Clock | None = None,
) -> int:
    """Put ``backup`` in place of ``database``, with every later deletion done again; return their number.

    What members answered about consent since is taken over, from ``database`` and from the notes beside
    the backup. ``forgets`` makes the deletion path of a ledger that is handed to it.

    A copy is made complete, and then takes the place of what was there in one transaction. Versions
    that it does not know could never serve nor be forgotten, so their files go, with those of their
    runs; the next start resumes that if this was cut off.

    Raises:
        LedgerError: the backup cannot be read, is damaged, or is of a newer version; or another process
            has the database open.
    """
    deletions, answers = notes.read(backup.parent / NOTES)
    folders = {str(backup.parent.resolve())}
    if database.exists():
        with _alone(database):
            pass  # refused before anything is done
        try:
            async with Ledger.open(database, clock=clock) as current:
                later = [notes.noted(deletion) for deletion in await current.deletions.since(0)]
                answered = await current.consent.after(0)
                folders |= {folder.path for folder in await current.backup_folders()}
            deletions, answers = [*deletions, *later], [*answers, *answered]
        except (LedgerError, sqlite3.Error) as error:
            # A broken database is why people restore; the notes beside the backup still say what to delete.
            log.warning("the present database cannot be read, so its own record is not replayed: %s", error)
    fresh = database.with_name(f"{database.name}{RESTORING}")
    _remove(fresh)
    try:
        database.parent.mkdir(parents=True, exist_ok=True)
        await asyncio.to_thread(_copy_checked, backup, fresh)
    except (OSError, sqlite3.Error) as error:
        raise LedgerError(f"The backup {backup} cannot be restored: {error}.") from error

    async with Ledger.open(fresh, clock=clock) as ledger:
        known = set(await ledger.consent.after(0))
        replayed = await _replay(ledger, forgets(ledger), deletions)
        # Behind the deletions, each of which says no for its person: some said yes again later.
        known |= set(await ledger.consent.after(0))
        await ledger.consent.repeat(answer for answer in dict.fromkeys(answers) if answer not in known)
        for folder in folders:
            # It knows its deletions by other numbers; one that is noted twice is done once.
            await ledger.note_backup_folder(BackupFolder(folder, 0, 0))
    try:
        # The mark comes first: killed behind the take-over and without it, nobody would ever look for
        # versions and runs that the restored record does not know.
        Path(f"{database}{RESTORED}").write_text(str(adapters_dir.resolve()), encoding="utf-8")
        await asyncio.to_thread(_take_over, fresh, database)
    except (OSError, sqlite3.Error) as error:
        raise LedgerError(
            f"The backup {backup} cannot take the place of {database} ({error}), which stays as it was."
        ) from error
    async with Ledger.open(database, clock=clock) as ledger:
        await forgets(ledger).complete()
    return replayed


@contextmanager
def _alone(database: Path) -> Iterator[sqlite3.Connection]:
    """Keep every other process out of the database; a broken one is let be.

    Raises:
        LedgerError: another process has it open.
    """
    with closing(sqlite3.connect(database, isolation_level=None, timeout=BUSY_SECONDS)) as connection:
        try:
            # Whoever has it open holds a shared lock on the file, which this one excludes.
            for statement in ("PRAGMA locking_mode = EXCLUSIVE", "BEGIN IMMEDIATE", "ROLLBACK"):
                connection.execute(statement)
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:
                raise LedgerError(
                    f"Another process has {database} open: stop the bot, and wait for the trainer."
                ) from error
            log.warning("the present database is broken: %s", error)
        yield connection


def _take_over(fresh: Path, database: Path) -> None:
    """Write ``fresh`` over ``database`` in one transaction, and remove it.

    Not by renaming: a process that has just opened the old file would go on writing beside the new one.
    """
    if database.exists() and not _is_sound(database):
        _remove(database)
    # SQLite would make it with mode 0644.
    database.touch(mode=0o600)
    with _alone(database) as target, closing(sqlite3.connect(fresh)) as source:
        source.backup(target)
        target.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    _remove(fresh)


def _is_sound(database: Path) -> bool:
    with closing(sqlite3.connect(database)) as connection:
        try:
            return bool(connection.execute("PRAGMA integrity_check(1)").fetchone()[0] == "ok")
        except sqlite3.DatabaseError:
            return False


def _copy_checked(source: Path, target: Path) -> None:
    if not source.is_file():
        raise FileNotFoundError(f"there is no file {source}")
    _copy(source, target)
    with closing(sqlite3.connect(target)) as connection:
        verdict = " ".join(connection.execute("PRAGMA integrity_check(1)").fetchone()[0].split())
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    # To SQLite an empty file is a database, and migrations would make an empty ledger of it.
    fault = "" if tables >= LEDGER_TABLES else "it is no ledger"
    if verdict != "ok":
        fault = f"it is damaged ({verdict})"
    if fault:
        target.unlink()
        raise sqlite3.DatabaseError(fault)


async def _replay(ledger: Ledger, forgetting: Forgetting, deletions: Iterable[NotedDeletion]) -> int:
    """Delete again what was noted and the backup does not know of."""
    known = {notes.noted(deletion).key for deletion in await ledger.deletions.since(0)}
    replayed = 0
    for each in sorted(deletions, key=lambda deletion: deletion.asked_at):
        if each.key in known:
            continue
        # The notes beside the backup and the replaced database usually both tell of it.
        known.add(each.key)
        await forgetting.again(
            each.guild_id, each.kind, each.subject, asked_by=each.asked_by, asked_at=each.asked_at
        )
        replayed += 1
    await forgetting.complete()
    return replayed


def _remove(database: Path) -> None:
    """Remove a database with its side files."""
    for path in (database, *(Path(f"{database}{suffix}") for suffix in SIDE_FILES)):
        path.unlink(missing_ok=True)


__all__ = ["back_up", "restore"]
