"""What SQLite's errors mean: each gets the cure that helps against it, and no other."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from ledger.errors import LedgerError
from ledger.records import Message
from ledger.sqlite.faults import explained
from ledger.store import Ledger


def error_of(code: int) -> sqlite3.Error:
    """Return an error as SQLite raises it, with its (extended) code."""
    error = sqlite3.OperationalError("what SQLite said")
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    ("code", "cure"),
    [
        (sqlite3.SQLITE_BUSY, "another process holds it"),
        (sqlite3.SQLITE_LOCKED, "another process holds it"),
        (sqlite3.SQLITE_FULL, "the disk is full: make room"),
        (sqlite3.SQLITE_CORRUPT, "restore a backup with: python -m bot restore FILE"),
        (sqlite3.SQLITE_NOTADB, "restore a backup with: python -m bot restore FILE"),
        (sqlite3.SQLITE_READONLY, "may not be written: check permissions"),
        (sqlite3.SQLITE_PERM, "may not be written: check permissions"),
        (sqlite3.SQLITE_IOERR, "the disk fails"),
        (sqlite3.SQLITE_CANTOPEN, "check disk space and permissions"),
    ],
)
def test_each_error_is_one_sentence_with_what_was_said_and_a_cure(code: int, cure: str) -> None:
    sentence = str(explained(error_of(code), "written"))
    assert sentence.startswith("The database could not be written (what SQLite said); ")
    assert cure in sentence
    assert sentence.endswith(".")
    assert "\n" not in sentence


def test_an_extended_code_has_the_cure_of_its_kind() -> None:
    # 522: SQLITE_IOERR_SHORT_READ, 517: SQLITE_BUSY_SNAPSHOT; the low byte is the kind.
    assert "the disk fails" in str(explained(error_of(sqlite3.SQLITE_IOERR_SHORT_READ), "read"))
    assert "another process" in str(explained(error_of(sqlite3.SQLITE_BUSY_SNAPSHOT), "read"))


def test_an_error_without_a_code_sends_nobody_to_a_backup() -> None:
    sentence = str(explained(sqlite3.OperationalError("no such table: owls"), "read"))
    assert sentence == (
        "The database could not be read (no such table: owls); check disk space and permissions."
    )


async def test_a_damaged_page_is_told_with_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    async with Ledger.open(path) as ledger:
        await ledger.guilds.ensure(1, "yard")
        await ledger.channels.ensure(5, 1, "lounge")
        await ledger.consent.opt_in(1, 7)
        for number in range(1, 400):
            await ledger.messages.hear(Message(number, 1, 5, 7, "ann", "word " * 40, number))
    data = bytearray(path.read_bytes())
    # The last quarter: the schema is among the first pages, and the messages come after it.
    for page in range(len(data) // 4096 * 3 // 4, len(data) // 4096):
        data[page * 4096 : page * 4096 + 200] = b"\xff" * 200
    path.write_bytes(data)
    async with Ledger.open(path) as ledger:
        with pytest.raises(LedgerError, match="it is damaged: stop the bot and restore a backup"):
            await ledger.messages.of_guild(1)


async def test_a_locked_database_is_not_blamed_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ledger.sqlite.database.BUSY_TIMEOUT_MS", 20)
    path = tmp_path / "ledger.db"
    async with Ledger.open(path) as ledger:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LedgerError, match="another process holds it") as error:
            await ledger.guilds.ensure(1, "yard")
        other.close()
    assert "disk space" not in str(error.value)
