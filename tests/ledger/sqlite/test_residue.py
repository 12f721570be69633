"""Looking for what SQLite leaves in pages, beside the connections that have the file open."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from ledger.sqlite.residue import has_residue
from ledger.store import Ledger

READ_THE_NAMES = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
print([name for name, in connection.execute("SELECT name FROM guilds ORDER BY id")])
connection.close()
"""


def read_by_another_process(path: Path) -> str:
    command = [sys.executable, "-c", READ_THE_NAMES, str(path)]
    return subprocess.run(command, check=True, text=True, capture_output=True).stdout.strip()


async def test_a_look_leaves_the_locks_of_the_process_that_looks(tmp_path: Path) -> None:
    """Without them another process that closes the database removes the log that this one writes to."""
    path = tmp_path / "ledger.db"
    async with Ledger.open(path) as ledger:
        await ledger.guilds.ensure(1, "first")
        assert await ledger.scour()
        assert read_by_another_process(path) == "['first']"
        assert Path(f"{path}-wal").is_file(), "this process has the database open still"
        await ledger.guilds.ensure(2, "second")
        assert read_by_another_process(path) == "['first', 'second']"


async def test_a_look_that_fails_counts_as_a_find(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    async with Ledger.open(path):
        pass
    assert not has_residue(path)
    assert has_residue(tmp_path / "missing.db")
    path.write_bytes(path.read_bytes()[:1000])
    assert has_residue(path)
