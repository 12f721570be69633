"""Nights from copies of one state: which messages are told when, and whose settings a night has."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from branched_nights import Branches
from ledger.clock import to_ms
from ledger.records import Channel, Message
from replayed_chat import DAY_MS, ReplayedChat

FIRST = datetime(2026, 11, 10, 3, tzinfo=UTC)
CONFIG = Path(__file__).resolve().parents[1] / "config.cpu.toml"


@pytest.fixture
def branches(tmp_path: Path) -> Branches:
    one = Message(1, 17, 3, 5, "Mira", "hello", to_ms(FIRST))
    messages = [
        replace(one, id=100 + day, created_at=to_ms(FIRST) + day * DAY_MS, content=f"day {day}")
        for day in range(-9, 9)
    ]
    chat = ReplayedChat(
        17, "Lantern Yard", [Channel(3, 17, "hall", "listen")], {5: "Mira"}, {}, messages, FIRST, 20
    )
    changes = {"dataset": {"night_tokens": 900, "first_night_tokens": 700}, "leakage": {"probes": 0}}
    return Branches(chat, CONFIG, tmp_path, days=4, changes=changes)


def test_only_the_last_days_before_the_first_night_are_told(branches: Branches) -> None:
    assert branches.chat.messages[0].content == "day -4"
    assert branches.chat.messages[-1].content == "day 8"


def test_a_day_begins_at_one_morning_and_ends_before_the_next(branches: Branches) -> None:
    assert [message.content for message in branches.said(0, 1)] == ["day 0"]
    assert [message.content for message in branches.said(1, 3)] == ["day 1", "day 2"]


def test_a_night_changes_a_setting_and_keeps_those_of_all_nights(branches: Branches) -> None:
    settings = branches.settings(1, {"dataset": {"taught_repeats": 9}})
    assert settings.dataset.taught_repeats == 9
    assert settings.dataset.night_tokens == 900
    assert settings.leakage.probes == 0
    assert branches.settings(1).dataset.taught_repeats != 9


def test_the_settings_that_were_asked_for_are_those_of_every_night(branches: Branches) -> None:
    assert [branches.settings(night).dataset.first_night_tokens for night in (0, 1)] == [700, 700]


def test_every_night_works_in_the_same_folder(branches: Branches, tmp_path: Path) -> None:
    assert branches.settings(0).data_dir == branches.settings(1).data_dir == tmp_path / "now" / "data"


def test_what_served_first_is_read_from_the_copy_that_no_night_touches(
    branches: Branches, tmp_path: Path
) -> None:
    (tmp_path / "first").mkdir()
    served = tmp_path / "now" / "models" / "adapters" / "17" / "g17-v000001"
    (tmp_path / "first" / "outcome.json").write_text(f'{{"served": "{served}"}}', encoding="utf-8")
    assert branches.served_first() == tmp_path / "first" / "models" / "adapters" / "17" / "g17-v000001"
