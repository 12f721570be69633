"""How a night ends: recorded, reported without a quote, and closed with a reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ledger.settings import Settings
from ledger.store import Ledger
from tests.trainer.conftest import GUILD, fill, night


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
