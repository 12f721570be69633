"""The benchmark of starts: which commands it asks for help, its history, and its page."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path
from typing import Any

from bench_start import commands, long_history, open_once, page, talk
from ledger.store import Ledger
from local_bot import PEOPLE, TALK, all_agree, double
from tests.bot.discord_double import GUILD


def result(**more: Any) -> dict[str, Any]:
    return {
        "date": "2026-12-01",
        "hardware": "a machine",
        "versions": {"python": "3.11.7"},
        "load": 0.1,
        "load_after": 0.4,
        "rounds": 3,
        "messages": 2000,
        "help": {"bot": [0.2, 0.1, 0.3], "bot run": [0.5, 0.4, 0.45], "engine": [0.1], "trainer": [0.1]},
        "recording": {
            "new ledger": [
                {"connected": 1.0, "stored": 1.1, "cpu": 0.9, "engine": 9.0},
                {"connected": 1.2, "stored": 1.4, "cpu": 1.0, "engine": 8.0},
                {"connected": 1.1, "stored": 1.3, "cpu": 0.8, "engine": 7.0},
            ]
        },
        "open": {"cached": [{"open_seconds": 0.01, "read_seconds": 0.02}] * 3},
        **more,
    }


def test_every_command_is_asked_for_help() -> None:
    found = commands()
    assert {("bot",), ("bot", "run"), ("engine", "fetch-small"), ("trainer", "fit")} <= set(found)
    assert ("trainer", "quarantine", "allow") in found
    assert len(found) == len(set(found))


def test_the_page_shows_medians_and_the_slowest() -> None:
    text = page(result())
    assert "| new ledger | 1.1 | 1.3 | 1.4 | 0.9 | 8.0 |" in text
    assert "| bot | 2 | 0.325 | 0.45 |" in text
    assert "the slowest is `bot run`" in text
    assert "| cached | 0.01 | 0.01 | 0.02 |" in text


def test_made_up_talk_goes_forward_in_time_and_repeats() -> None:
    first = talk(200)
    assert first == talk(200)
    assert all(before.created_at < after.created_at for before, after in itertools.pairwise(first))


def test_a_history_is_made_once_and_opened_with_all_its_messages(tmp_path: Path) -> None:
    path = long_history(tmp_path / "kept", 2000)
    made = path.stat().st_mtime_ns
    assert long_history(tmp_path / "kept", 2000).stat().st_mtime_ns == made

    async def count() -> int:
        async with Ledger.open(path) as ledger:
            return await ledger.messages.count(7)

    assert asyncio.run(count()) == 2000
    for cached in (True, False):
        assert 0 < open_once(path, cached=cached)["open_seconds"] < 60


async def test_everybody_in_the_local_discord_agrees(tmp_path: Path) -> None:
    await all_agree(tmp_path / "ledger.db")
    async with Ledger.open(tmp_path / "ledger.db") as ledger:
        assert await ledger.consent.consenting(GUILD) == set(PEOPLE)
    assert set(TALK) < set(double().channels)
