"""``python -m bot backup`` and ``restore`` as an operator runs them: as processes, on a config.toml."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from bot.run import only_bot
from ledger.forgetting.deletion_path import DAY_MS, Forgetting
from ledger.records import Adapter, Message
from ledger.settings import load_settings
from ledger.store import Ledger
from tests.bot.house import ROOT
from tests.searching import holding

MARK = "xylophone"
GUILD, CHANNEL = 1, 100
WREN, FINCH = 7, 8


@pytest.fixture
async def config(tmp_path: Path) -> Path:
    """A config.toml whose ledger holds words of two people, one of whom said MARK."""
    path = tmp_path / "config.toml"
    path.write_text("[forgetting]\ndays = 3\n")
    async with Ledger.open(load_settings(path).database) as ledger:
        await ledger.guilds.ensure(GUILD, "Lantern Yard")
        await ledger.channels.ensure(CHANNEL, GUILD, "lounge")
        for number, (person, words) in enumerate(((WREN, f"my {MARK}"), (FINCH, "my lamp")), start=1):
            await ledger.consent.opt_in(GUILD, person)
            await say(ledger, number, person, words)
    return path


async def say(ledger: Ledger, number: int, person: int, words: str) -> None:
    await ledger.messages.add(Message(number, GUILD, CHANNEL, person, "", words, 1_772_000_000_000 + number))


async def learned(ledger: Ledger, config: Path, *seen: tuple[int, int]) -> Adapter:
    """A version that saw (message id, author id) pairs, with files where a night leaves them."""
    settings = load_settings(config)
    run = await ledger.runs.create(GUILD, "test")
    await ledger.runs.learned_from(run.id, seen)
    folder = str(settings.adapters_dir)
    version = await ledger.adapters.reserve(GUILD, run.id, adapters_dir=folder, base_model="tiny")
    for place in folders_of(version, config):
        place.mkdir(parents=True)
        (place / "manifest.json").write_text(json.dumps({"run": run.id}))
    return version


def folders_of(version: Adapter, config: Path) -> list[Path]:
    settings = load_settings(config)
    return [Path(version.path), settings.datasets_dir / version.run_id, settings.runs_dir / version.run_id]


def bot(config: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command in the folder of its config.toml."""
    return subprocess.run(
        [sys.executable, "-m", "bot", *arguments],
        cwd=config.parent,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


def outcome(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


def backed_up(config: Path) -> Path:
    path = config.parent / str(outcome(bot(config, "backup", "backups", "--json"))["path"])
    assert path.parent == config.parent / "backups"
    return path


async def forget(config: Path, person: int) -> None:
    settings = load_settings(config)
    async with Ledger.open(settings.database) as ledger:
        forgetting = Forgetting(ledger, datasets_dir=settings.datasets_dir, runs_dir=settings.runs_dir)
        await forgetting.person(GUILD, person, asked_by="member")


async def kept(config: Path) -> list[tuple[int, str]]:
    async with Ledger.open(load_settings(config).database) as ledger:
        return [(message.author_id, message.content) for message in await ledger.messages.of_guild(GUILD)]


async def test_a_restore_brings_the_backup_back_without_who_was_forgotten_since(config: Path) -> None:
    backup = backed_up(config)
    assert holding(MARK, backup) == [backup]
    await forget(config, WREN)
    async with Ledger.open(load_settings(config).database) as ledger:
        await say(ledger, 3, FINCH, "said after the backup")
    done = bot(config, "restore", str(backup), "--json")
    assert outcome(done) == {"replayed": 1}
    assert done.stderr == f"Restored {backup}; 1 later deletion(s) were done again.\n"
    assert await kept(config) == [(FINCH, "my lamp")]
    async with Ledger.open(load_settings(config).database) as ledger:
        assert await ledger.consent.refusing(GUILD) == {WREN}
    assert holding(MARK, config.parent) == [backup]


async def test_a_restore_keeps_the_promises_of_the_settings_to_versions(config: Path) -> None:
    async with Ledger.open(load_settings(config).database) as ledger:
        served = await learned(ledger, config, (1, WREN), (2, FINCH))
        await ledger.promotions.promote(GUILD, served.version, by="test")
    backup = backed_up(config)
    async with Ledger.open(load_settings(config).database) as ledger:
        unknown = await learned(ledger, config, (2, FINCH))
    await forget(config, WREN)
    assert [folder.exists() for folder in folders_of(unknown, config)] == [True] * 3
    outcome(bot(config, "restore", str(backup), "--json"))
    async with Ledger.open(load_settings(config).database) as ledger:
        [receipt] = await ledger.deletions.of_person(GUILD, WREN)
        [version] = receipt.versions
        assert (version.version, version.delete_by - receipt.asked_at) == (served.version, 3 * DAY_MS)
        champion = await ledger.adapters.champion(GUILD)
        assert champion is not None
        assert champion.version == served.version
    # What the restored ledger knows nothing of could never be forgotten.
    assert [folder.exists() for folder in folders_of(unknown, config)] == [False] * 3
    # It serves until its date; what it was made of goes at once.
    assert [folder.exists() for folder in folders_of(served, config)] == [True, False, False]
    config.write_text("[forgetting]\nstrict = true\n")
    outcome(bot(config, "restore", str(backup), "--json"))
    async with Ledger.open(load_settings(config).database) as ledger:
        assert await ledger.adapters.champion(GUILD) is None
    assert not Path(served.path).exists()


async def test_a_restore_is_refused_while_a_bot_holds_the_lock(config: Path) -> None:
    backup = backed_up(config)
    async with Ledger.open(load_settings(config).database) as ledger:
        await say(ledger, 3, FINCH, "said after the backup")
    with only_bot(load_settings(config)):
        done = bot(config, "restore", str(backup))
    assert done.returncode == 1
    database = load_settings(config).database
    assert done.stderr == f"A bot (process {os.getpid()}) works on {database}; stop it first.\n"
    assert len(await kept(config)) == 3
    assert outcome(bot(config, "restore", str(backup), "--json")) == {"replayed": 0}
    assert len(await kept(config)) == 2


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("backup", "backups", "--config", "nowhere.toml"), 78, "There is no settings file at nowhere.toml;"),
        (("restore", "any.db", "--config", "nowhere.toml"), 78, "There is no settings file at nowhere.toml;"),
        (("backup", "config.toml"), 1, "The backup cannot be written to config.toml: "),
        (("restore", "nowhere.db"), 1, "The backup nowhere.db cannot be restored: there is no file nowhere."),
        (("restore", "data"), 1, "The backup data cannot be restored: there is no file data."),
        (("restore", "config.toml"), 1, "The backup config.toml cannot be restored: file is not a database."),
        (("restore", "empty.db"), 1, "The backup empty.db cannot be restored: it is no ledger."),
        (("restore", "foreign.db"), 1, "The backup foreign.db cannot be restored: it is no ledger."),
    ],
)
async def test_a_wrong_path_is_one_sentence_and_nothing_is_lost(
    config: Path, arguments: tuple[str, ...], code: int, told: str
) -> None:
    config.write_text("[forgetting]\ndays = 3\n" + "# SQLite calls a file broken that is long enough\n" * 20)
    (config.parent / "empty.db").touch()
    with closing(sqlite3.connect(config.parent / "foreign.db")) as connection:
        connection.execute("CREATE TABLE bookmarks (address TEXT)")
    done = bot(config, *arguments)
    assert done.returncode == code
    assert done.stdout == ""
    assert done.stderr.startswith(told)
    assert len(done.stderr.splitlines()) == 1
    assert await kept(config) == [(WREN, f"my {MARK}"), (FINCH, "my lamp")]
    assert not list(config.parent.rglob("*.restoring"))


def test_a_backup_of_a_database_that_is_not_there_is_refused_and_makes_none(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text('[paths]\ndata = "elsewhere"\n')
    done = bot(config, "backup", "backups")
    assert done.returncode == 1
    assert done.stderr.startswith(f"There is no database at {tmp_path / 'elsewhere' / 'ledger.db'} yet;")
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == [config]
