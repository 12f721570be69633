"""Poisoned and taught nights after one first night, with the tiny model; a second call runs nothing again."""

from __future__ import annotations

import argparse
import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import bench_taught
from bench_poison import CONTROL, Poisoning
from branched_nights import Branches
from ledger.records import Channel
from poison_page import table
from replayed_chat import ReplayedChat
from tests.trainer.conftest import CHANNEL, GUILD, PEOPLE, talk

ALWAYS: dict[str, dict[str, Any]] = {
    # Which conversations are held out differs from run to run: whatever they say, the version serves.
    "verdict": {"min_gain": -9.0, "max_old_loss": 9.0, "toxic_prompts": 0, "max_fault_rise": 1.0},
    "leakage": {"probes": 0},
}


@pytest.fixture
def branches(tmp_path: Path, config_file: Path) -> Branches:
    messages = [message for number in range(8 * 14) for message in talk(number)]
    chat = ReplayedChat(
        GUILD,
        "Shed",
        [Channel(CHANNEL, GUILD, "lounge", "listen")],
        dict(PEOPLE),
        {},
        messages,
        datetime(2026, 3, 3, 3, tzinfo=UTC),
        20,
    )
    return Branches(chat, config_file, tmp_path / "work", days=60, changes=ALWAYS)


@pytest.mark.slow
def test_an_attack_is_measured_beside_its_control_and_is_not_run_again(
    branches: Branches, tmp_path: Path
) -> None:
    options = argparse.Namespace(days_after=2, stretches=12, contexts=3)

    def poisoned() -> dict[str, dict[str, Any]]:
        poisoning = Poisoning(branches, tmp_path / "work", options)
        return asyncio.run(poisoning.run(["bot_parroted"]))

    rows = poisoned()
    assert list(rows) == [CONTROL, "bot_parroted"]
    attacked = rows["bot_parroted"]
    assert attacked["poison_learned"] == 0.0  # the rule for quotations of the bot knows its answers
    assert attacked["left_out"]["quotations of the bot"] >= 12
    assert attacked["replies"]["candidate"]["replies"] == 43
    assert attacked["replies"]["candidate"]["led"] == 12
    assert rows[CONTROL]["honest"]["worse"] == 0.0
    assert len(table(rows).splitlines()) == 4
    noted = (tmp_path / "work" / "poison.jsonl").read_bytes()
    assert poisoned() == rows
    assert (tmp_path / "work" / "poison.jsonl").read_bytes() == noted


@pytest.mark.slow
def test_all_lessons_are_in_the_fit_and_asked_in_both_wordings(branches: Branches, tmp_path: Path) -> None:
    results = tmp_path / "work" / "taught.jsonl"
    rows = asyncio.run(bench_taught.run(branches, [1], results))
    assert rows[1]["in_fit"] == 20
    assert set(rows[1]["asked"]) == set(bench_taught.MODELS)
    assert set(rows[1]["asked"]["after"]) == {"taught words", "other words"}
    kept = json.loads(results.read_text(encoding="utf-8"))
    assert kept == rows[1]
    assert asyncio.run(bench_taught.run(branches, [1], results)) == rows
