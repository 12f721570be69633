"""The ledger as one object: its clock and scrubbing reach every part, and nothing deleted is left."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ledger import store
from ledger.clock import to_ms
from ledger.records import BackupFolder, BotAnswer, Message
from ledger.sqlite.residue import has_residue
from ledger.store import Ledger
from tests.conftest import FakeClock


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


async def test_deleted_text_is_in_no_byte_of_the_file_after_a_checkpoint(
    tmp_path: Path, message: Callable[..., Message]
) -> None:
    path = tmp_path / "data" / "ledger.db"
    async with Ledger.open(path) as ledger:
        await ledger.guilds.ensure(1, "Lantern Yard")
        await ledger.channels.ensure(100, 1, "lounge")
        texts = [message(n, f"zanzibar-{n} " + "lantern " * 40) for n in range(1, 120)]
        await ledger.messages.add_many(texts)
        assert await ledger.checkpoint()
        assert any(b"zanzibar" in content for content in contents(path.parent).values())
        await ledger.writer.execute("UPDATE messages SET content = 'changed' WHERE id = 3")
        await ledger.writer.execute("DELETE FROM messages WHERE id < 110")
        assert await ledger.checkpoint()
        remaining = b"".join(contents(path.parent).values())
        assert b"zanzibar-115" in remaining
        assert not [n for n in range(1, 110) if b"zanzibar-%d " % n in remaining]
        assert len(await ledger.messages.of_guild(1)) == 10


async def test_a_checkpoint_while_writes_are_waiting_loses_none(ledger: Ledger) -> None:
    await asyncio.gather(*(ledger.guilds.ensure(n, "a server") for n in range(100)), ledger.checkpoint())
    assert len(await ledger.guilds.all()) == 100


ADDRESS = "ida.lamp@example.org"


@pytest.mark.parametrize("scrubbing", [True, False])
async def test_scrubbing_reaches_messages_answers_and_names_alike_or_none(
    tmp_path: Path, message: Callable[..., Message], scrubbing: bool
) -> None:
    async with Ledger.open(tmp_path / "ledger.db", scrubbing=scrubbing) as ledger:
        await ledger.guilds.ensure(1, "Lantern Yard")
        await ledger.channels.ensure(100, 1, f"write-to-{ADDRESS}")
        await ledger.people.ensure(1, 7, ADDRESS)
        await ledger.consent.opt_in(1, 7)
        await ledger.messages.add(message(1, f"write to {ADDRESS}"))
        await ledger.answers.add(BotAnswer(50, 1, 100, 7, 1, f"write to {ADDRESS}", None, 5), read=[1])
        answer = await ledger.answers.get(50)
        assert answer is not None
        texts = [
            (await ledger.messages.of_guild(1))[0].content,
            answer.content,
            (await ledger.people.names(1))[7],
            (await ledger.channels.of_guild(1))[0].name,
        ]
    assert [ADDRESS in text for text in texts] == [not scrubbing] * 4


async def test_the_clock_that_is_handed_in_dates_what_every_part_writes(tmp_path: Path) -> None:
    start = datetime(2031, 5, 4, 3, tzinfo=UTC)
    async with Ledger.open(tmp_path / "ledger.db", clock=FakeClock(start)) as ledger:
        await ledger.guilds.ensure(1, "Lantern Yard")
        await ledger.consent.opt_in(1, 7)
        run = await ledger.runs.create(1, "test")
        adapter = await ledger.adapters.reserve(1, run.id, adapters_dir="a", base_model="tiny")
        deletion = await ledger.deletions.begin(1, "messages", [5], asked_by="test", keep_ms=0)
        [event] = await ledger.consent.history(1, 7)
    assert {run.created_at, adapter.created_at, deletion.asked_at, event.at} == {to_ms(start)}


async def test_without_a_clock_the_ledger_goes_by_the_systems(tmp_path: Path) -> None:
    before = datetime.now(UTC)
    async with Ledger.open(tmp_path / "ledger.db") as ledger:
        assert before <= ledger.clock.now() <= datetime.now(UTC)


async def test_a_folder_with_backups_never_knows_less_than_it_did(ledger: Ledger) -> None:
    for folder in (BackupFolder("/b", 5, 9), BackupFolder("/a", 1, 1), BackupFolder("/b", 3, 12)):
        await ledger.note_backup_folder(folder)
    assert await ledger.backup_folders() == [BackupFolder("/a", 1, 1), BackupFolder("/b", 5, 12)]


async def test_checkpoints_at_once_wait_for_each_other_and_all_empty_the_log(ledger: Ledger) -> None:
    await ledger.guilds.ensure(1, "a server")
    wal = Path(f"{ledger.path}-wal")
    assert wal.stat().st_size > 0
    assert await asyncio.gather(*(ledger.checkpoint() for _ in range(5))) == [True] * 5
    assert wal.stat().st_size == 0


async def test_a_log_that_another_reads_is_told_as_not_emptied_and_emptied_later(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "CHECKPOINT_PAUSES", (0.0,))
    monkeypatch.setattr("ledger.sqlite.database.BUSY_TIMEOUT_MS", 1)
    await ledger.guilds.ensure(1, "a server")
    with closing(sqlite3.connect(ledger.path, isolation_level=None)) as other:
        other.execute("BEGIN")
        other.execute("SELECT * FROM guilds").fetchall()
        await ledger.guilds.ensure(2, "written while the other reads")
        assert not await ledger.checkpoint()
        assert not await ledger.scour(), "what the log holds still cannot be called gone"
    assert await ledger.checkpoint()
    assert await ledger.scour()


async def test_scouring_rewrites_a_file_that_holds_what_was_deleted(
    tmp_path: Path, message: Callable[..., Message]
) -> None:
    path = tmp_path / "data" / "ledger.db"
    async with Ledger.open(path) as ledger:
        await ledger.guilds.ensure(1, "Lantern Yard")
        await ledger.channels.ensure(100, 1, "lounge")
        await ledger.messages.add_many(message(n, f"zanzibar-{n} " + "lamp " * 60) for n in range(1, 300))
        await ledger.writer.execute("UPDATE messages SET content = 'short' WHERE id % 2 = 0")
        assert await ledger.checkpoint()
        # secure_delete overwrites cells, not the copies that balancing left in pages that are in use.
        assert has_residue(path)
        assert await ledger.scour()
        assert not has_residue(path)
        left = b"".join(contents(path.parent).values())
        assert [n for n in range(1, 300) if b"zanzibar-%d " % n in left] == list(range(1, 300, 2))
