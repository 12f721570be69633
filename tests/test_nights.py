"""Nights on a replayed chat, with the tiny model: they resume, and recipes share their first night."""

from __future__ import annotations

import argparse
import asyncio
import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ledger.records import Channel
from night_page import summary
from night_recipes import RECIPES
from nights import Replay
from replayed_chat import ReplayedChat
from tests.trainer.conftest import CHANNEL, GUILD, PEOPLE, talk

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def chat() -> ReplayedChat:
    messages = [message for number in range(8 * 14) for message in talk(number)]
    hall = Channel(CHANNEL, GUILD, "lounge", "listen")
    first = datetime(2026, 3, 3, 3, tzinfo=UTC)
    return ReplayedChat(GUILD, "Shed", [hall], dict(PEOPLE), {}, messages, first, 20)


def test_recipes_share_the_first_night_and_each_goes_on_where_it_was(
    chat: ReplayedChat, tmp_path: Path, config_file: Path
) -> None:
    options = argparse.Namespace(
        work=tmp_path / "work", config=config_file, nights=3, whole=False, general=None
    )
    grow = Replay("grow", RECIPES["grow"], chat, options)
    for _ in range(3):
        asyncio.run(grow.run_next())
    nights = grow.done()
    assert [night["night"] for night in nights] == [0, 1, 2]
    assert all(night["error"] is None and night["candidate"] for night in nights)
    assert len(nights[1]["quiz"]["next_morning"]["base"]) == 2
    assert set(nights[0]["stage_seconds"]) >= {"fit", "evaluate"}

    afresh = Replay("window", RECIPES["window"], chat, options)
    assert afresh._settings(0).dataset == grow._settings(0).dataset
    assert afresh._settings(1).dataset != grow._settings(1).dataset
    asyncio.run(afresh.run_next())
    shared, own = afresh.done()
    assert shared == nights[0]
    assert own["parent"] is None
    assert str(afresh.root) in json.dumps(paths_of(afresh.root))
    assert str(grow.root) not in json.dumps(paths_of(afresh.root))

    measured = grow.measure(3)
    assert measured["days"]
    assert summary({"nights": nights, "anchors": measured})["nights"] == 3
    assert grow.measure(3) == measured


def paths_of(root: Path) -> list[Any]:
    with closing(sqlite3.connect(root / "data" / "ledger.db")) as ledger:
        return ledger.execute("SELECT path FROM adapters").fetchall()
