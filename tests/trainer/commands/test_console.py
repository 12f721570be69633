"""How every command ends: one line for scripts or lines for people, on a ledger that knows its folders."""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime

import pytest

from ledger.settings import Settings
from ledger.store import Ledger
from tests.trainer.conftest import GUILD, introduce
from trainer.commands.console import finish, ledger_of


@pytest.mark.parametrize("asked", [{"json": True}, {"json": False, "progress": True}])
def test_scripts_get_one_json_line(asked: dict[str, bool], capsys: pytest.CaptureFixture[str]) -> None:
    assert finish(argparse.Namespace(**asked), {"name": "Bö"}, ["for people"], 3) == 3
    [line] = capsys.readouterr().out.splitlines()
    assert json.loads(line) == {"name": "Bö"}
    assert "Bö" in line


def test_people_get_lines(capsys: pytest.CaptureFixture[str]) -> None:
    assert finish(argparse.Namespace(json=False), {"name": "Bo"}, ["one", "two"]) == 0
    assert capsys.readouterr().out == "one\ntwo\n"


async def test_versions_are_looked_for_below_the_settings_folder_and_now_may_be_given(
    settings: Settings,
) -> None:
    async with Ledger.open(settings.database) as ledger:
        await introduce(ledger)
        run = await ledger.runs.create(GUILD, "test")
        await ledger.adapters.reserve(GUILD, run.id, adapters_dir="/elsewhere", base_model="m")
    start = datetime(2026, 5, 4, 3, tzinfo=UTC)
    async with ledger_of(settings, argparse.Namespace(now=start)) as ledger:
        [adapter] = await ledger.adapters.of_guild(GUILD)
        assert adapter.path == f"{settings.adapters_dir}/{GUILD}/{adapter.version}"
        assert (ledger.clock.now() - start).total_seconds() < 60
