"""The commands that read and write the record, on a ledger with one server and no model at all."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ledger.people.quarantine import ABUSE
from ledger.settings import load_settings
from ledger.store import Ledger
from tests.trainer.conftest import GUILD, introduce

ROOT = Path(__file__).resolve().parents[3]
VERSION = f"g{GUILD}-v000001"


@pytest.fixture
async def config(config_file: Path) -> Path:
    """A ledger with one night that ended and the version that came of it."""
    async with Ledger.open(load_settings(config_file).database) as ledger:
        await introduce(ledger)
        run = await ledger.runs.create(GUILD, "test")
        await ledger.adapters.reserve(GUILD, run.id, adapters_dir="models", base_model="m")
        await ledger.runs.advance(run.id, "failed", candidate=VERSION, error="The disk is full.")
    return config_file


def told(config: Path, *arguments: str, code: int = 0) -> dict[str, Any]:
    """Run a command in a process of its own; return its JSON, and the libraries that it loaded."""
    program = (
        "import json, sys\nfrom trainer.__main__ import main\n"
        f"code = main({[*arguments, '--config', str(config), '--json']!r})\n"
        "heavy = {'torch', 'transformers', 'datasets'} & set(sys.modules)\n"
        "print(json.dumps(sorted(heavy)), file=sys.stderr)\n"
        "sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stderr
    assert done.stderr.splitlines()[-1] == "[]", "a list of nights needs no torch"
    return dict(json.loads(done.stdout.splitlines()[-1]))


def test_versions_are_listed_without_loading_a_model_library(config: Path) -> None:
    [adapter] = told(config, "adapters")["adapters"]
    assert (adapter["version"], adapter["state"]) == (VERSION, "candidate")


def test_nights_are_listed_and_one_without_a_report_tells_its_steps(config: Path) -> None:
    [run] = told(config, "runs")["runs"]
    assert (run["stage"], run["error"]) == ("failed", "The disk is full.")
    report = told(config, "report", run["id"])
    assert (report["id"], report["report"]) == (run["id"], None)


def test_rolling_back_from_the_bare_base_is_refused_in_one_sentence(config: Path) -> None:
    assert "nothing to roll back" in told(config, "rollback", code=1)["error"]


def test_a_dataset_that_is_none_is_not_exported(config: Path, tmp_path: Path) -> None:
    told_so = told(config, "export", str(tmp_path), "--out", str(tmp_path / "out"), code=1)
    assert "is no dataset: it has no manifest.json" in told_so["error"]


async def test_whose_words_are_left_out_is_listed_and_the_command_line_lets_them_in(config: Path) -> None:
    assert told(config, "quarantine", "list")["quarantine"] == []
    async with Ledger.open(load_settings(config).database) as ledger:
        await ledger.quarantine.hold(GUILD, {11: [ABUSE], 12: [ABUSE]}, since=0, days=14)
    listed = told(config, "quarantine", "list")["quarantine"]
    assert [(each["user_id"], each["reasons"], each["since"][:10]) for each in listed] == [
        (11, [ABUSE], "1970-01-01"),
        (12, [ABUSE], "1970-01-01"),
    ]
    [left] = told(config, "quarantine", "allow", "11")["quarantine"]
    assert left["user_id"] == 12
    assert "Nobody with the number 13" in told(config, "quarantine", "allow", "13", code=1)["error"]
