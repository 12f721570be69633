"""Each cell of the table in docs/forgetting.md: the path walked through discord.py, the place searched.

A path is walked once, on a copy of the trained server, and its cells look at what was found then. The version
that serves there grew from one that learned the marker, which its own night had no reply of to learn.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
from collections.abc import Awaitable, Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from ledger.forgetting.backup_notes import NOTES
from ledger.forgetting.backups import back_up, restore
from ledger.forgetting.deletion_path import Forgetting
from ledger.learned.version_names import version_folder, version_name
from ledger.settings import load_settings
from tests.bot.house import until
from tests.conftest import ROOT, FakeClock
from tests.forgetting.trained import (
    ANCESTOR,
    MARK,
    OTHER,
    SERVES,
    TOMORROW,
    UNASKED,
    Day,
    day,
    holding,
    moved,
)
from tests.looking import deletions_of

Walk = Callable[[Day], Awaitable[None]]


async def forget_me(today: Day) -> None:
    asked = await today.house.ann.slash(today.room, "privacy forget-me")
    await today.house.ann.click(asked.response, label="Erase it all")


async def forget_by_admin(today: Day) -> None:
    asked = await today.house.boss.slash(today.room, "consent forget", user=today.house.ann)
    await today.house.boss.click(asked.response, label="Erase it all")


async def delete(today: Day) -> None:
    for message in today.hers:
        await today.house.ann.delete(message)


async def edit(today: Day) -> None:
    for message in today.hers:
        await today.house.ann.edit(message, "I would rather not say what is in there")


async def delete_in_bulk(today: Day) -> None:
    today.house.env.backend.bulk_delete_messages(today.room.id, [message.id for message in today.hers])


async def delete_channel(today: Day) -> None:
    today.house.env.backend.delete_channel(today.room.id)


async def remove_guild(today: Day) -> None:
    today.house.env.backend.remove_guild(today.guild_id)


async def leave(today: Day) -> None:
    today.house.guild.remove_member(today.house.ann)
    housekeeping = today.house.services.housekeeping
    assert await housekeeping.see_leavers(today.house.bot.own.is_member) == []
    today.clock.advance(days=7)
    assert await housekeeping.see_leavers(today.house.bot.own.is_member) == [
        (today.guild_id, today.house.ann.id)
    ]


async def opt_out(today: Day) -> None:
    await today.house.ann.slash(today.room, "privacy opt-out")
    await today.house.ann.send(today.room, f"{MARK}-after")


async def grow_old(today: Day) -> None:
    today.clock.advance(days=181)
    await today.house.services.housekeeping.sweep()


PATHS: Mapping[str, Walk] = {
    "`/privacy forget-me`": forget_me,
    "`/consent forget` by an admin": forget_by_admin,
    "message deleted": delete,
    "message edited": edit,
    "messages deleted in bulk": delete_in_bulk,
    "channel deleted": delete_channel,
    "bot removed from the server": remove_guild,
    "member left, after `forget_leavers_after_days`": leave,
    "`/privacy opt-out`": opt_out,
    "older than `[retention] days`": grow_old,
    "backup restored after `/privacy forget-me`": forget_me,
}
NO_DELETION = {"`/privacy opt-out`", "older than `[retention] days`"}
ONE_BY_ONE = {"message deleted", "message edited"}
SINGLE_MESSAGES = {*ONE_BY_ONE, "messages deleted in bulk"}
"""Where the version that a rollback returns to may wait, too."""
RESTORED = "backup restored after `/privacy forget-me`"
VERSIONS = ("engine memory", "adapters")


def table() -> dict[tuple[str, str], str]:
    """Return the cells of the documentation's table by path and place."""
    lines = (ROOT / "docs" / "forgetting.md").read_text(encoding="utf-8").splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    places = rows[0][1:]
    return {(row[0], place): cell for row in rows[2:] for place, cell in zip(places, row[1:], strict=True)}


CELLS = table()


@dataclass
class Found:
    """What was found before the path, right behind it, and thirty days later."""

    before: dict[str, bool] = field(default_factory=dict)
    after: dict[str, bool] = field(default_factory=dict)
    versions: dict[str, dict[str, bool]] = field(default_factory=dict)
    """Moment to, for each place with versions, which are there: that which serves, the one that it grew from,
    which is what a rollback returns to, and another."""
    noted: bool = False
    in_restored: bool = False
    unasked_read: bool = False
    unasked_written: list[str] = field(default_factory=list)


def searched(root: Path) -> dict[str, bool]:
    """Tell for each place on the disk whether the marker is in it."""
    data, models = root / "data", root / "models"
    files = holding(MARK, root)
    runs = {file for file in files if models / "runs" in file.parents}
    return {
        "rows": in_rows(data / "ledger.db"),
        "WAL": data / "ledger.db-wal" in files,
        "free pages": data / "ledger.db" in files,
        "datasets": any(data / "datasets" in file.parents for file in files),
        "caches": any(root / name in file.parents for file in files for name in ("caches", "temporary")),
        "TensorBoard": any("tensorboard" in file.parts for file in runs),
        "run folders": any("tensorboard" not in file.parts for file in runs),
        "logs": any(root / "logs" in file.parents or file.suffix == ".log" for file in files),
        "reports": any(models / "adapters" in file.parents for file in files),
    }


def in_rows(database: Path) -> bool:
    with closing(sqlite3.connect(database)) as connection:
        tables = [
            name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
        ]
        rows = (row for name in tables for row in connection.execute(f"SELECT * FROM {name}"))
        return any(MARK in str(value) for row in rows for value in row)


async def walked(path: str, root: Path, base: Path) -> Found:
    found, clock = Found(), FakeClock(TOMORROW)
    async with day(root, base, clock=clock) as today:
        night = today.house.services.nights.start(today.guild_id, trigger="test")
        await until(lambda: night.ended.is_set() and night.outcome is not None and not night.outcome.samples)
        await today.house.services.serving.sync()
        backup = await back_up(today.ledger, root / "backups")
        found.before = searched(root)
        await PATHS[path](today)
        await settled(today, 0 if path in NO_DELETION else len(today.hers) if path in ONE_BY_ONE else 1)
        found.after = searched(root)
        found.after["bot memory"] = MARK in repr(today.house.services.nights.last)
        await look_at_versions(today, "after", found)
        found.unasked_read = UNASKED in json.dumps(today.engine.asked)
        notes = backup.parent / NOTES
        found.noted = notes.is_file() and '"kind"' in notes.read_text(encoding="utf-8")
        if path != RESTORED:
            clock.advance(days=31)
            await today.house.services.housekeeping.sweep()
            await look_at_versions(today, "later", found)
    found.unasked_written = [file.name for file in holding(UNASKED, root)]
    scratch = shutil.copytree(backup.parent, root.parent / "elsewhere")
    await restored(scratch / backup.name, root.parent / "elsewhere" / "data" / "ledger.db", clock)
    found.in_restored = bool(holding(MARK, scratch / "data"))
    if path == RESTORED:
        await restored(backup, root / "data" / "ledger.db", clock)
        found.after |= searched(root)
        async with day(root, base, clock=clock) as today:
            await look_at_versions(today, "after", found)
            clock.advance(days=31)
            await today.house.services.housekeeping.sweep()
            await look_at_versions(today, "later", found)
            found.after |= searched(root)
    return found


async def restored(backup: Path, database: Path, clock: FakeClock) -> None:
    data = database.parent
    models = data.parent / "models"
    await restore(
        backup,
        database,
        adapters_dir=models / "adapters",
        forgets=partial(Forgetting, datasets_dir=data / "datasets", runs_dir=models / "runs"),
        clock=clock,
    )


async def settled(today: Day, least: int) -> None:
    """Wait until what Discord's event set going is done: ``least`` deletions at the least."""
    await today.house.env.settle()
    deletions = today.ledger.deletions
    for _ in range(400):
        done = await deletions_of(today.ledger, today.guild_id)
        if len(done) >= least and not await deletions.unfinished():
            break
        await asyncio.sleep(0.01)
    else:
        pytest.fail("the deletion did not end")
    # Removing a guild's versions, and a deleted channel's many events, come behind the last row.
    await today.house.env.settle()


async def look_at_versions(today: Day, moment: str, found: Found) -> None:
    await today.house.services.serving.sync()
    settings = load_settings(today.root / "config.toml")
    numbers = {"serves": SERVES, "ancestor": ANCESTOR, "other": OTHER}
    names = {what: version_name(today.guild_id, number) for what, number in numbers.items()}
    found.versions[f"adapters {moment}"] = {
        what: version_folder(settings.adapters_dir, name).is_dir() for what, name in names.items()
    }
    found.versions[f"engine memory {moment}"] = {
        what: name in today.engine.loaded for what, name in names.items()
    }


@pytest.fixture(scope="session")
def walk(trained: Path, tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Found]:
    """Return a function that walks a path, once."""
    known: dict[str, Found] = {}

    def once(path: str) -> Found:
        if path not in known:
            root = moved(trained, tmp_path_factory.mktemp("walk") / "root")
            known[path] = asyncio.run(walked(path, root, tiny_base))
        return known[path]

    return once


def test_the_table_names_every_path_and_place() -> None:
    assert {path for path, _ in CELLS} == set(PATHS)
    assert len({place for _, place in CELLS}) == 13
    assert set(CELLS.values()) == {"gone", "never", "due", "noted", "stays"}


@pytest.mark.parametrize(("path", "place"), CELLS)
def test_the_cell_is_true(path: str, place: str, walk: Callable[[str], Found]) -> None:
    found, cell = walk(path), CELLS[path, place]
    if place in VERSIONS:
        check_versions(place, cell, found, path)
    elif place == "backups":
        assert found.noted == (cell == "noted")
        assert found.in_restored == (cell == "stays")
    else:
        assert found.after[place] == (cell == "stays" and found.before[place])
        if cell == "never":
            assert not found.before.get(place, False)
        elif place in ("rows", "WAL", "free pages", "datasets"):
            assert found.before[place], "the test would pass without a deletion"


@pytest.mark.parametrize("path", PATHS)
def test_nothing_of_somebody_who_was_never_asked_is_written_anywhere(
    path: str, walk: Callable[[str], Found]
) -> None:
    found = walk(path)
    assert found.unasked_read, "the engine was asked with his words"
    assert found.unasked_written == []


@pytest.mark.parametrize(
    ("place", "file"),
    {
        "WAL": "data/ledger.db-wal",
        "free pages": "data/ledger.db",
        "datasets": "data/datasets/g1-x/train.jsonl",
        "caches": "caches/datasets/a.arrow",
        "TensorBoard": "models/runs/g1-x/tensorboard/events",
        "run folders": "models/runs/g1-x/work/checkpoint-1/state.json",
        "logs": "logs/trainer.log",
        "reports": "models/adapters/1/g1-v000001/report.md",
    }.items(),
)
def test_each_place_is_looked_into(place: str, file: str, tmp_path: Path) -> None:
    """A cell that says "never" would be worth nothing if its place were not found."""
    planted = tmp_path / file
    planted.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as connection:
        connection.execute("CREATE TABLE t (x)")
    database = tmp_path / "data" / "ledger.db"
    database.parent.mkdir(exist_ok=True)
    (tmp_path / "ledger.db").rename(database)
    with planted.open("ab") as bytes_of_it:
        bytes_of_it.write(f"\0{MARK}\0".encode())
    assert {name for name, there in searched(tmp_path).items() if there} == {place}


def check_versions(place: str, cell: str, found: Found, path: str) -> None:
    after, later = found.versions[f"{place} after"], found.versions[f"{place} later"]
    assert after["serves"] == (cell in ("due", "stays"))
    assert later["serves"] == (cell == "stays")
    assert after["other"] == later["other"] == (cell == "stays" and place == "adapters")
    if place == "adapters":
        assert after["ancestor"] == (cell == "stays" or path in SINGLE_MESSAGES)
    assert later["ancestor"] == (cell == "stays" and place == "adapters")
