"""PRIVACY.md against the schema: what is stored about people stands there, column by column."""

from __future__ import annotations

import re
from pathlib import Path

from ledger.store import Ledger

PAGE = Path(__file__).resolve().parents[1] / "PRIVACY.md"
ROW = re.compile(r"^\| `(\w+)` \| ((?:`\w+`(?:, )?)+) \| (.+) \|$", re.MULTILINE)


def described() -> dict[str, list[str]]:
    """Return the page's columns by table."""
    return {
        table: re.findall(r"`(\w+)`", columns)
        for table, columns, _ in ROW.findall(PAGE.read_text(encoding="utf-8"))
    }


async def test_every_column_of_the_database_is_described_and_no_other(ledger: Ledger) -> None:
    async with ledger.reader.execute(
        "SELECT m.name AS tab, c.name AS col FROM sqlite_master m, pragma_table_info(m.name) c"
        " WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' ORDER BY m.rowid, c.cid"
    ) as cursor:
        schema: dict[str, list[str]] = {}
        async for row in cursor:
            schema.setdefault(row["tab"], []).append(row["col"])
    assert described() == schema


async def test_a_new_column_fails_the_comparison(ledger: Ledger) -> None:
    await ledger.writer.execute("ALTER TABLE people ADD COLUMN birthday TEXT")
    async with ledger.reader.execute("SELECT name FROM pragma_table_info('people')") as cursor:
        columns = [row["name"] async for row in cursor]
    assert described()["people"] != columns


def test_every_row_says_what_it_tells_about_people() -> None:
    rows = ROW.findall(PAGE.read_text(encoding="utf-8"))
    assert len(rows) == len(described())
    assert all(len(said) > 10 for _, _, said in rows)
