"""Backups of the ledger, and restores that do not bring back what was deleted since.

A backup folder is told of every later deletion (identifiers, no text). A restore replays these
notes, and those of the database that it replaces, before the restored one takes its place.
Adapter versions are not in a backup: they are copied like any folder, and a restored ledger deletes
those that it has to.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import shutil
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

from ledger import notes
from ledger.clock import Clock
from ledger.errors import LedgerError
from ledger.forgetting import RESTORING, Forgetting
from ledger.notes import NOTES, NotedDeletion
from ledger.records import Adapter, BackupFolder, ConsentEvent
from ledger.store import Ledger

log = logging.getLogger(__name__)

SIDE_FILES = ("-wal", "-shm")
BUSY_SECONDS = 1.0
RUN = re.compile(r"g\d+-\d{8}T\d{6}(?:-\d+)?")
"""Names of runs, and so of their folders; what was made by hand has others."""


async def back_up(ledger: Ledger, folder: Path) -> Path:
    """Write a consistent copy of the ledger into ``folder`` and return its path.

    Raises:
        LedgerError: the folder cannot be written.
    """
    name = f"ledger-{ledger.clock.now():%Y%m%dT%H%M%SZ}.db"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        place = str(folder.resolve())
        known = {known.path: known for known in await ledger.backup_folders()}
        if place in known:
            # A newer backup must not skip what the folder was not told because it was not at hand.
            await notes.tell(ledger, known[place])
        else:
            # Registered first: a deletion that comes while the copy is written is then noted beside it.
            deletions = await ledger.deletions.since(0)
            newest = deletions[-1].id if deletions else 0
            await ledger.note_backup_folder(BackupFolder(place, newest, await ledger.consent.newest()))
        await asyncio.to_thread(_copy, ledger.path, folder / name)
    except (OSError, sqlite3.Error) as error:
        raise LedgerError(f"The backup cannot be written to {folder}: {error}.") from error
    return folder / name


def _copy(source: Path, target: Path) -> None:
    unfinished = target.with_suffix(".unfinished")
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
    datasets_dir: Path,
    runs_dir: Path,
    days: int = 30,
    strict: bool = False,
    clock: Clock | None = None,
) -> int:
    """Put ``backup`` in place of ``database``, with every later deletion done again; return their number.

    What members answered about consent since is taken over, from ``database`` and from the notes beside
    the backup. ``days`` and ``strict`` are how long a version may serve that saw something deleted.

    The restored one takes its place in one step once it is complete. Versions that it does not know
    could never serve nor be forgotten, so their files go, with those of their runs.

    Raises:
        LedgerError: the backup cannot be read, is damaged, or is of a newer version; or another process
            has the database open.
    """
    deletions, answers = notes.read(backup.parent / NOTES)
    if database.exists():
        with _alone(database):
            pass  # refused before anything is done
        try:
            async with Ledger.open(database, clock=clock) as current:
                later = [notes.noted(deletion) for deletion in await current.deletions.since(0)]
                answered = await current.consent.after(0)
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
        forgetting = Forgetting(
            ledger, datasets_dir=datasets_dir, runs_dir=runs_dir, days=days, strict=strict
        )
        unknown = await _unknown(ledger, answers)
        replayed = await _replay(ledger, forgetting, deletions)
        # Behind the deletions, each of which says no for its person: some said yes again later.
        await ledger.consent.repeat(await _missing(ledger, unknown))
        versions = {each.version: each.run_id for each in await _versions(ledger)}
        runs = await ledger.runs.ids()
    _checkpointed(fresh)
    with _alone(database):
        for suffix in SIDE_FILES:
            Path(f"{database}{suffix}").unlink(missing_ok=True)
        fresh.replace(database)
    for folder in _unknown_versions(adapters_dir, versions):
        shutil.rmtree(folder)
    for folder in (*datasets_dir.glob("g*"), *runs_dir.glob("g*")):
        if RUN.fullmatch(folder.name) and folder.name not in runs:
            shutil.rmtree(folder)
    return replayed


@contextmanager
def _alone(database: Path) -> Iterator[None]:
    """Keep every other process out of the database; one that is not there or broken is let be.

    Raises:
        LedgerError: another process has it open.
    """
    if not database.exists():
        yield
        return
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
        yield


def _unknown_versions(adapters_dir: Path, known: Mapping[str, str]) -> Iterator[Path]:
    """Yield the folders of versions that no record speaks of, though it may know another of that name."""
    for folder in adapters_dir.glob("*/g*-v*"):
        try:
            run = json.loads((folder / "manifest.json").read_text(encoding="utf-8")).get("run")
        except (OSError, ValueError):
            run = None  # it could not be served, whose it is says its name
        if folder.name not in known or run not in (None, known[folder.name]):
            yield folder


async def _unknown(ledger: Ledger, answers: Iterable[ConsentEvent]) -> list[ConsentEvent]:
    """Return the answers that came after the ledger's last one, each once, in order."""
    known = await ledger.consent.after(0)
    latest = known[-1].at if known else -1
    later = sorted((each for each in answers if each.at >= latest), key=lambda each: each.at)
    return [each for each in dict.fromkeys(later) if each not in known]


async def _missing(ledger: Ledger, answers: Iterable[ConsentEvent]) -> list[ConsentEvent]:
    """Return the answers without those that a deletion has given already."""
    known = set(await ledger.consent.after(0))
    return [answer for answer in answers if answer not in known]


async def _versions(ledger: Ledger) -> list[Adapter]:
    return [
        version
        for guild_id in await ledger.guilds.all()
        for version in await ledger.adapters.of_guild(guild_id)
    ]


def _copy_checked(source: Path, target: Path) -> None:
    if not source.is_file():
        raise FileNotFoundError(f"there is no file {source}")
    _copy(source, target)
    with closing(sqlite3.connect(target)) as connection:
        verdict = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if verdict != "ok":
        target.unlink()
        raise sqlite3.DatabaseError(f"it is damaged ({verdict})")


async def _replay(ledger: Ledger, forgetting: Forgetting, deletions: Iterable[NotedDeletion]) -> int:
    """Delete again what was noted and the backup does not know of."""
    known = {notes.noted(deletion).key for deletion in await ledger.deletions.since(0)}
    replayed = 0
    for each in sorted(deletions, key=lambda deletion: deletion.asked_at):
        if each.key in known:
            continue
        known.add(each.key)
        await forgetting.again(
            each.guild_id, each.kind, each.subject, asked_by=each.asked_by, asked_at=each.asked_at
        )
        replayed += 1
    await forgetting.complete()
    return replayed


def _checkpointed(database: Path) -> None:
    """Leave the database as one file."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for suffix in SIDE_FILES:
        Path(f"{database}{suffix}").unlink(missing_ok=True)


def _remove(database: Path) -> None:
    """Remove a database with its side files."""
    for path in (database, *(Path(f"{database}{suffix}") for suffix in SIDE_FILES)):
        path.unlink(missing_ok=True)


__all__ = ["back_up", "restore"]
