"""Backups: complete, readable, and unable to bring back what was deleted since."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ledger.errors import LedgerError
from ledger.forgetting import backups
from ledger.forgetting.backups import back_up
from ledger.records import Message
from ledger.store import Ledger
from tests.conftest import FakeClock
from tests.ledger.forgetting.restoring import MARK, filled, forgetting_of, put_back
from tests.searching import holding


def bytes_below(folder: Path, *, without: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file() and path != without)


async def test_a_backup_holds_everything_in_one_private_file(
    tmp_path: Path, clock: FakeClock, message: Callable[..., Message]
) -> None:
    backup = await filled(tmp_path / "ledger.db", clock, message)
    assert backup.stat().st_mode & 0o077 == 0
    assert not list(backup.parent.glob("*-wal"))
    assert await put_back(backup, tmp_path / "elsewhere" / "ledger.db", clock) == 0
    async with Ledger.open(tmp_path / "elsewhere" / "ledger.db", clock=clock) as ledger:
        assert [stored.id for stored in await ledger.messages.of_guild(1)] == [1, 2, 3]


async def test_a_restored_backup_does_not_hold_who_was_forgotten_since(
    tmp_path: Path, clock: FakeClock, message: Callable[..., Message]
) -> None:
    database = tmp_path / "ledger.db"
    backup = await filled(database, clock, message)
    async with Ledger.open(database, clock=clock) as ledger:
        await forgetting_of(ledger, database).person(1, 7, asked_by="member")
    assert MARK.encode() in backup.read_bytes()
    assert await put_back(backup, database, clock) == 1
    async with Ledger.open(database, clock=clock) as ledger:
        assert [stored.id for stored in await ledger.messages.of_guild(1)] == [2, 3]
        assert await ledger.consent.refusing(1) == {7}
        assert len(await ledger.deletions.of_person(1, 7)) == 1
    assert MARK.encode() not in bytes_below(tmp_path, without=backup)


class Killed(BaseException):
    """Stands in for the end of the process."""


@pytest.mark.parametrize("where", ["pathlib.Path.rename", "ledger.forgetting.backups._replay"])
async def test_what_a_killed_restore_leaves_goes_at_the_next_start(
    tmp_path: Path,
    clock: FakeClock,
    message: Callable[..., Message],
    monkeypatch: pytest.MonkeyPatch,
    where: str,
) -> None:
    def die(*arguments: object) -> None:
        raise Killed

    database = tmp_path / "ledger.db"
    backup = await filled(database, clock, message)
    async with Ledger.open(database, clock=clock) as ledger:
        await forgetting_of(ledger, database).person(1, 7, asked_by="member")
    with monkeypatch.context() as patch:
        patch.setattr(where, die)
        with pytest.raises(Killed):
            await put_back(backup, database, clock)
    assert holding(MARK, tmp_path) != [backup], "it is there while nobody cleans up"
    async with Ledger.open(database, clock=clock) as ledger:
        await forgetting_of(ledger, database).complete()
    assert holding(MARK, tmp_path) == [backup]


async def test_restoring_twice_deletes_again_both_times(
    tmp_path: Path, clock: FakeClock, message: Callable[..., Message]
) -> None:
    database = tmp_path / "ledger.db"
    backup = await filled(database, clock, message)
    async with Ledger.open(database, clock=clock) as ledger:
        await forgetting_of(ledger, database).person(1, 7, asked_by="member")
    assert await put_back(backup, database, clock) >= 1
    assert await put_back(backup, database, clock) >= 1
    async with Ledger.open(database, clock=clock) as ledger:
        assert [stored.id for stored in await ledger.messages.of_guild(1)] == [2, 3]


@pytest.mark.parametrize("content", [b"", b"no database at all, only words " * 50])
async def test_a_broken_backup_is_refused_and_nothing_is_lost(
    tmp_path: Path, clock: FakeClock, message: Callable[..., Message], content: bytes
) -> None:
    database = tmp_path / "ledger.db"
    await filled(database, clock, message)
    broken = tmp_path / "broken.db"
    broken.write_bytes(content)
    with pytest.raises(LedgerError, match="cannot be restored"):
        await put_back(broken, database, clock)
    with pytest.raises(LedgerError, match="cannot be restored"):
        await put_back(tmp_path / "missing.db", database, clock)
    async with Ledger.open(database, clock=clock) as ledger:
        assert len(await ledger.messages.of_guild(1)) == 3


async def test_a_folder_that_cannot_be_written_is_named(
    tmp_path: Path, clock: FakeClock, message: Callable[..., Message]
) -> None:
    await filled(tmp_path / "ledger.db", clock, message)
    (tmp_path / "a file").write_text("", encoding="utf-8")
    async with Ledger.open(tmp_path / "ledger.db", clock=clock) as ledger:
        with pytest.raises(LedgerError, match="a file"):
            await back_up(ledger, tmp_path / "a file")


async def test_a_restore_keeps_what_members_answered_since(
    tmp_path: Path, clock: FakeClock, message: Callable[..., Message]
) -> None:
    database = tmp_path / "ledger.db"
    backup = await filled(database, clock, message)
    async with Ledger.open(database, clock=clock) as ledger:
        clock.advance(days=1)
        await ledger.consent.opt_out(1, 7)
        await ledger.consent.opt_in(1, 8, channels=[100])
    await put_back(backup, database, clock)
    async with Ledger.open(database, clock=clock) as ledger:
        assert await ledger.consent.refusing(1) == {7}
        assert [event.granted for event in await ledger.consent.history(1, 7)] == [True, False]
        assert (await ledger.consent.in_force(1))[8].channels == (100,)


async def test_a_restore_deletes_for_a_guild_that_the_backup_does_not_know(
    tmp_path: Path, clock: FakeClock, message: Callable[..., Message]
) -> None:
    database = tmp_path / "ledger.db"
    backup = await filled(database, clock, message)
    async with Ledger.open(database, clock=clock) as ledger:
        await ledger.guilds.ensure(2, "Second Home")
        await forgetting_of(ledger, database).person(2, 7, asked_by="member")
    assert await put_back(backup, database, clock) == 1
    async with Ledger.open(database, clock=clock) as ledger:
        assert await ledger.consent.refusing(2) == {7}
        assert [stored.id for stored in await ledger.messages.of_guild(1)] == [1, 2, 3]


async def test_a_repeated_deletion_keeps_its_date_and_is_not_repeated_twice(
    tmp_path: Path, clock: FakeClock, message: Callable[..., Message]
) -> None:
    database = tmp_path / "ledger.db"
    backup = await filled(database, clock, message)
    async with Ledger.open(database, clock=clock) as ledger:
        asked = (await forgetting_of(ledger, database).person(1, 7, asked_by="member")).asked_at
    clock.advance(days=10)
    assert await put_back(backup, database, clock) == 1
    async with Ledger.open(database, clock=clock) as ledger:
        assert [deletion.asked_at for deletion in await ledger.deletions.of_person(1, 7)] == [asked]
        later = await back_up(ledger, tmp_path / "later")
    assert await put_back(later, database, clock) == 0


async def test_a_broken_database_is_replaced_and_the_notes_are_replayed(
    tmp_path: Path, clock: FakeClock, message: Callable[..., Message]
) -> None:
    database = tmp_path / "ledger.db"
    backup = await filled(database, clock, message)
    async with Ledger.open(database, clock=clock) as ledger:
        await forgetting_of(ledger, database).person(1, 7, asked_by="member")
    database.write_bytes(b"no database any more" * 500)
    assert await put_back(backup, database, clock) == 1
    async with Ledger.open(database, clock=clock) as ledger:
        assert [stored.id for stored in await ledger.messages.of_guild(1)] == [2, 3]


async def test_nothing_is_restored_under_a_process_that_has_the_database_open(
    tmp_path: Path, clock: FakeClock, message: Callable[..., Message]
) -> None:
    database = tmp_path / "ledger.db"
    backup = await filled(database, clock, message)
    hold = (
        "import sqlite3, sys\n"
        "connection = sqlite3.connect(sys.argv[1])\n"
        "connection.execute('SELECT * FROM guilds').fetchall()\n"
        "print('open', flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(database)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"open\n"
        with pytest.raises(LedgerError, match="open: stop the bot"):
            await put_back(backup, database, clock)
    assert await put_back(backup, database, clock) == 0


@pytest.mark.parametrize("broken", [False, True])
async def test_versions_and_runs_that_the_backup_does_not_know_go(
    tmp_path: Path, clock: FakeClock, message: Callable[..., Message], broken: bool
) -> None:
    database, adapters = tmp_path / "ledger.db", tmp_path / "adapters"

    async def a_night(ledger: Ledger) -> list[Path]:
        run = await ledger.runs.create(1, "night")
        version = await ledger.adapters.reserve(1, run.id, adapters_dir=str(adapters), base_model="tiny")
        folders = [Path(version.path), tmp_path / "datasets" / run.id, tmp_path / "runs" / run.id]
        for folder in folders:
            folder.mkdir(parents=True)
        (folders[0] / "manifest.json").write_text(json.dumps({"run": run.id}), encoding="utf-8")
        return folders

    await filled(database, clock, message)
    async with Ledger.open(database, clock=clock) as ledger:
        kept = await a_night(ledger)
        clock.advance(days=1)
        backup = await back_up(ledger, tmp_path / "backups")
        gone = await a_night(ledger)
    kept.append(tmp_path / "datasets" / "g1-by-hand-20260302T120000")
    kept[-1].mkdir()
    if broken:
        database.write_bytes(b"no database any more" * 500)
    await put_back(backup, database, clock)
    assert all(folder.is_dir() for folder in kept)
    assert not any(folder.exists() for folder in gone)


async def test_another_runs_files_go_though_the_backup_knows_a_version_of_that_name(
    tmp_path: Path, clock: FakeClock, message: Callable[..., Message]
) -> None:
    database = tmp_path / "ledger.db"
    await filled(database, clock, message)
    async with Ledger.open(database, clock=clock) as ledger:
        run = await ledger.runs.create(1, "night")
        version = await ledger.adapters.reserve(
            1, run.id, adapters_dir=str(tmp_path / "adapters"), base_model="tiny"
        )
        backup = await back_up(ledger, tmp_path / "backups")
    Path(version.path).mkdir(parents=True)
    (Path(version.path) / "manifest.json").write_text('{"run": "g1-20270101T000000"}', encoding="utf-8")
    await put_back(backup, database, clock)
    assert not Path(version.path).exists()


async def test_a_restore_that_was_killed_leaves_no_version_that_nobody_knows(
    tmp_path: Path, clock: FakeClock, message: Callable[..., Message], monkeypatch: pytest.MonkeyPatch
) -> None:
    database, adapters = tmp_path / "ledger.db", tmp_path / "adapters"
    backup = await filled(database, clock, message)
    async with Ledger.open(database, clock=clock) as ledger:
        run = await ledger.runs.create(1, "night")
        version = await ledger.adapters.reserve(1, run.id, adapters_dir=str(adapters), base_model="tiny")
        Path(version.path).mkdir(parents=True)

    class Killed(BaseException):
        pass

    def killed(fresh: Path, target: Path) -> None:
        take_over(fresh, target)
        raise Killed

    take_over = backups._take_over
    with monkeypatch.context() as patch:
        patch.setattr(backups, "_take_over", killed)
        with pytest.raises(Killed):
            await put_back(backup, database, clock)
    assert Path(version.path).is_dir()
    async with Ledger.open(database, clock=clock) as ledger:
        await forgetting_of(ledger, database).complete()
    assert not Path(version.path).exists()
    assert not list(tmp_path.glob("ledger.db.*"))


async def test_a_restore_leaves_folders_alone_that_are_no_versions_and_takes_links_for_links(
    tmp_path: Path, clock: FakeClock, message: Callable[..., Message]
) -> None:
    database, adapters = tmp_path / "ledger.db", tmp_path / "adapters"
    backup = await filled(database, clock, message)
    foreign, target = adapters / "experiments" / "gemma-v2", tmp_path / "big disk" / "g1-v000001"
    for folder in (foreign, target, adapters / "1"):
        folder.mkdir(parents=True)
    (target / "weights").touch()
    (adapters / "1" / "g1-v000001").symlink_to(target)
    await put_back(backup, database, clock)
    assert foreign.is_dir()
    assert not (adapters / "1" / "g1-v000001").is_symlink()
    assert not target.exists()


async def test_who_has_just_opened_the_database_finds_the_restored_one(
    tmp_path: Path, clock: FakeClock, message: Callable[..., Message]
) -> None:
    """A connection that has read nothing yet holds no lock; it must not write beside what is restored."""
    database = tmp_path / "ledger.db"
    backup = await filled(database, clock, message)
    async with Ledger.open(database, clock=clock) as ledger:
        await ledger.guilds.ensure(2, "Second Home")
    opened = (
        "import sqlite3, sys\n"
        "connection = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "print('open', flush=True)\n"
        "sys.stdin.read()\n"
        "connection.execute(\"INSERT INTO guilds (id, name, first_seen_at) VALUES (3, 'Third', 1)\")\n"
        "connection.close()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", opened, str(database)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"open\n"
        assert await put_back(backup, database, clock) == 0
    assert other.returncode == 0
    async with Ledger.open(database, clock=clock) as ledger:
        assert sorted(await ledger.guilds.all()) == [1, 3]
        async with ledger.reader.execute("PRAGMA integrity_check") as cursor:
            assert [row[0] async for row in cursor] == ["ok"]


async def test_a_disk_that_is_full_leaves_the_database_as_it_was(
    tmp_path: Path, clock: FakeClock, message: Callable[..., Message], monkeypatch: pytest.MonkeyPatch
) -> None:
    database = tmp_path / "ledger.db"
    backup = await filled(database, clock, message)
    async with Ledger.open(database, clock=clock) as ledger:
        await ledger.guilds.ensure(2, "Second Home")

    class Full(sqlite3.Connection):
        def backup(self, target: sqlite3.Connection, **options: Any) -> None:
            super().backup(target, pages=1, progress=self.fill)

        def fill(self, status: int, remaining: int, total: int) -> None:
            assert 0 < remaining < total, "in the middle"
            raise sqlite3.OperationalError("database or disk is full")

    connect = sqlite3.connect

    def opened(path: Any, *arguments: Any, **options: Any) -> sqlite3.Connection:
        if str(path).endswith(".restoring"):
            options["factory"] = Full
        connection: sqlite3.Connection = connect(path, *arguments, **options)
        return connection

    with monkeypatch.context() as patch:
        patch.setattr(sqlite3, "connect", opened)
        with pytest.raises(LedgerError, match="stays as it was"):
            await put_back(backup, database, clock)
    async with Ledger.open(database, clock=clock) as ledger:
        assert sorted(await ledger.guilds.all()) == [1, 2]
        await forgetting_of(ledger, database).complete()
    assert not list(tmp_path.glob("ledger.db.*"))
