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
import shutil
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from ledger.clock import Clock
from ledger.deletions import Deletion
from ledger.errors import LedgerError
from ledger.forgetting import NOTES, RESTORING, Forgetting, append_notes
from ledger.records import Adapter, ConsentEvent
from ledger.store import Ledger

log = logging.getLogger(__name__)

SIDE_FILES = ("-wal", "-shm")


async def back_up(ledger: Ledger, folder: Path) -> Path:
    """Write a consistent copy of the ledger into ``folder`` and return its path.

    Raises:
        LedgerError: the folder cannot be written.
    """
    name = f"ledger-{ledger.clock.now():%Y%m%dT%H%M%SZ}.db"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Registered first: a deletion that comes while the copy is written is then noted beside it.
        place = str(folder.resolve())
        if place in await ledger.backup_folders():
            await _tell_older_backups(ledger, folder)
        else:
            noted = await ledger.deletions.since(0)
            await ledger.note_backup_folder(place, noted[-1].id if noted else 0)
        await asyncio.to_thread(_copy, ledger.path, folder / name)
    except (OSError, sqlite3.Error) as error:
        raise LedgerError(f"The backup cannot be written to {folder}: {error}.") from error
    return folder / name


async def _tell_older_backups(ledger: Ledger, folder: Path) -> None:
    """Note what was deleted while the folder was not at hand, which a newer backup must not skip."""
    place = str(folder.resolve())
    news = await ledger.deletions.since((await ledger.backup_folders())[place])
    if news:
        append_notes(folder, news)
        await ledger.note_backup_folder(place, news[-1].id)


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
    datasets_dir: Path,
    runs_dir: Path,
    days: int = 30,
    strict: bool = False,
    clock: Clock | None = None,
) -> int:
    """Put ``backup`` in place of ``database``, with every later deletion done again; return their number.

    What members answered about consent since is taken over from ``database``. ``days`` and ``strict``
    are how long a version may serve that saw something deleted.

    The caller sees to it that no process has the database open. The restored one takes its place in
    one step once it is complete. Versions that it does not know could never serve nor be forgotten,
    so their files go, with those of their runs.

    Raises:
        LedgerError: the backup cannot be read, is damaged, or is of a newer version.
    """
    notes = _notes(backup.parent / NOTES)
    versions: list[Adapter] = []
    answers: list[ConsentEvent] = []
    if database.exists():
        try:
            async with Ledger.open(database, clock=clock) as current:
                notes += [_as_note(deletion) for deletion in await current.deletions.since(0)]
                versions = await _versions(current)
                answers = await current.consent.after(0)
        except (LedgerError, sqlite3.Error) as error:
            # A broken database is why people restore; the notes beside the backup still say what to delete.
            log.warning("the present database cannot be read, so its own record is not replayed: %s", error)
            notes, versions, answers = _notes(backup.parent / NOTES), [], []
    fresh = database.with_name(f"{database.name}{RESTORING}")
    _remove(fresh)
    try:
        database.parent.mkdir(parents=True, exist_ok=True)
        await asyncio.to_thread(_copy_checked, backup, fresh)
    except (OSError, sqlite3.Error) as error:
        raise LedgerError(f"The backup {backup} cannot be restored: {error}.") from error
    async with Ledger.open(fresh, clock=clock) as ledger:
        await ledger.consent.repeat(await _unknown(ledger, answers))
        forgetting = Forgetting(
            ledger, datasets_dir=datasets_dir, runs_dir=runs_dir, days=days, strict=strict
        )
        replayed = await _replay(ledger, forgetting, notes)
        known = {(version.version, version.run_id) for version in await _versions(ledger)}
    _checkpointed(fresh)
    for suffix in SIDE_FILES:
        Path(f"{database}{suffix}").unlink(missing_ok=True)
    fresh.replace(database)
    for version in versions:
        if (version.version, version.run_id) not in known:
            for folder in (Path(version.path), datasets_dir / version.run_id, runs_dir / version.run_id):
                shutil.rmtree(folder, ignore_errors=True)
    return replayed


async def _unknown(ledger: Ledger, answers: Iterable[ConsentEvent]) -> list[ConsentEvent]:
    """Return the answers that came after the ledger's last one."""
    known = await ledger.consent.after(0)
    latest = known[-1].at if known else -1
    return [answer for answer in answers if answer.at >= latest and answer not in known]


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


async def _replay(ledger: Ledger, forgetting: Forgetting, notes: Iterable[Mapping[str, Any]]) -> int:
    """Delete again what the notes name and the backup does not know of."""
    known = {_key(_as_note(deletion)) for deletion in await ledger.deletions.since(0)}
    replayed = 0
    for note in sorted(notes, key=lambda note: int(note["asked_at"])):
        if _key(note) in known:
            continue
        known.add(_key(note))
        await forgetting.again(
            int(note["guild_id"]),
            note["kind"],
            note["subject"],
            asked_by=str(note["asked_by"]),
            asked_at=int(note["asked_at"]),
        )
        replayed += 1
    await forgetting.complete()
    return replayed


def _notes(path: Path) -> list[Mapping[str, Any]]:
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    try:
        return [json.loads(line) for line in lines]
    except ValueError as error:
        raise LedgerError(f"{path} cannot be read: mend or remove its broken last line.") from error


def _as_note(deletion: Deletion) -> Mapping[str, Any]:
    return {
        "guild_id": deletion.guild_id,
        "kind": deletion.kind,
        "subject": list(deletion.subject),
        "asked_by": deletion.asked_by,
        "asked_at": deletion.asked_at,
    }


def _key(note: Mapping[str, Any]) -> tuple[int, str, int, tuple[int, ...]]:
    return int(note["guild_id"]), str(note["kind"]), int(note["asked_at"]), tuple(note["subject"])


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
