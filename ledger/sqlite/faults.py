"""What SQLite's errors mean, and what to do about each: a sentence for whoever runs the bot."""

from __future__ import annotations

import sqlite3

from ledger.errors import LedgerError


def explained(error: sqlite3.Error, done: str) -> LedgerError:
    """Return a sentence for what SQLite says, with what to do about it; ``done`` is what could not be."""
    # The lowest byte is the kind; extended codes such as BUSY_SNAPSHOT say more above it.
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
