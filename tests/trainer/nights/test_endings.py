"""How a night ends: recorded, reported without a quote, and closed with a reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from engine.model.adapter_files import WEIGHTS
from ledger.learned.outcome import Outcome
from ledger.settings import Settings
from ledger.store import Ledger
from tests.trainer.conftest import GUILD, fill, night, train
from trainer.fitting.recipe import Base, Recipe
from trainer.judging.verdict import Decision
from trainer.nights.endings import finish_version
from trainer.nights.night_folders import NightFolders


async def test_the_report_on_disk_quotes_nobody(ledger: Ledger, quick: Settings) -> None:
    await fill(ledger, 60)
    outcome = await night(ledger, quick)
    for name in (outcome.report, outcome.report_json):
        assert name is not None
        text = Path(name).read_text()
        assert "sourdough" not in text
        assert "Ada" not in text
    assert "samples" not in json.loads(Path(str(outcome.report_json)).read_text())


async def test_an_unforeseen_fault_closes_the_run_and_is_not_swallowed(
    ledger: Ledger, quick: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(ledger, 60)

    def burst(*arguments: Any, **options: Any) -> Any:
        raise ZeroDivisionError("a secret message")

    monkeypatch.setattr("trainer.nights.night_stages.evaluate", burst)
    with pytest.raises(ZeroDivisionError):
        await night(ledger, quick)
    [run] = await ledger.runs.of_guild(GUILD)
    assert run.stage == "failed"
    assert run.error == "ZeroDivisionError; its traceback is on stderr."


def test_a_version_that_is_kept_has_the_strength_that_was_judged(
    dataset_dir: Path, tmp_path: Path, base: Base, recipe: Recipe
) -> None:
    train(dataset_dir, tmp_path / "run", base, recipe)
    fitted = tmp_path / "run" / "adapter"
    before = load_file(str(fitted / WEIGHTS))
    folders = NightFolders(tmp_path / "set", tmp_path / "run")
    decision = Decision("keep", ("not better",), None, 0.0, scale=0.5)
    outcome = Outcome("g7-20260302T120000", GUILD, candidate="g7-v000001")
    finish_version(folders, tmp_path / "versions" / "g7-v000001", outcome, decision, [])
    after = load_file(str(tmp_path / "versions" / "g7-v000001" / WEIGHTS))
    # An admin may promote it by hand, by the figures of that strength.
    assert all(torch.allclose(after[name], 0.5 * before[name]) for name in before if "lora_B" in name)
