"""The benchmark of the loop's lag: what counts as lag, its page, and the probe in a real bot."""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
from pathlib import Path

import pytest

from bench_loop_lag import Window, figures, page
from local_bot import TALK, all_agree, double, local_bot
from probed_bot import Wake, read_wakes
from tests.bot.house import StandInEngine, stand_in_engine, until

CONFIG = """
[engine]
url = "{url}"
[schedule]
enabled = false
"""


def window(*, trains: bool = False, streams: bool = False) -> Window:
    return Window(trains, streams, 10.0, 12.0, 17.0, 15.5, {"bot": 0.2, "engine": 1.1}, stored=90)


def wakes() -> list[Wake]:
    quick = [Wake(10.0 + number / 100, 0.001, 0.0005, 0.001) for number in range(98)]
    others = [Wake(11.5, 0.030, 0.029, 0.03), Wake(11.6, 0.050, 0.001, 0.01)]
    outside = [Wake(9.9, 3.0, 3.0, 3.0), Wake(12.0, 3.0, 3.0, 3.0)]
    return [*quick, *others, *outside]


def test_only_what_the_probe_saw_in_the_window_counts() -> None:
    found = figures(window(), wakes())
    assert found["wakes"] == 100
    assert (found["lag_p50"], found["lag_p99"], found["lag_max"]) == (1.0, 50.0, 50.0)
    assert (found["loop_p50"], found["loop_max"]) == (0.5, 29.0)
    assert found["stored_a_second"] == 45.0


def test_what_the_loop_did_is_told_apart_from_what_others_did() -> None:
    found = figures(window(), wakes())
    assert (found["late"], found["late_by_the_loop"]) == (2, 1)


def test_the_page_has_a_row_for_each_load() -> None:
    found = [
        figures(window(trains=trains, streams=streams), wakes())
        for trains, streams in itertools.product((False, True), repeat=2)
    ]
    about = {"date": "2026-12-01", "hardware": "a machine", "versions": {}, "load": 0.1, "load_after": 3.0}
    text = page({**about, "rounds": 1, "seconds": 2.0, "rate": 50, "windows": found})
    assert (
        "| nothing | 17.0 | 15.5 | 45.0 | 1.0 | 50.0 | 50.0 | 29.0 | 29.0 | 1 of 2 | 0.2 | 1.1 | 0.0 |"
        in text
    )
    assert "| answers and a fit | 17.0 | 15.5 |" in text


@pytest.mark.slow
async def test_the_probe_watches_a_real_bot_that_records(tmp_path: Path) -> None:
    database = tmp_path / "data" / "ledger.db"
    await all_agree(database)
    async with stand_in_engine() as engine:
        await _record_one(tmp_path, engine, database)
    seen = read_wakes(tmp_path / "lag.jsonl")
    assert len(seen) > 20
    assert all(wake.lag > -0.005 and wake.loop_cpu <= wake.cpu + 0.001 for wake in seen)


async def _record_one(folder: Path, engine: StandInEngine, database: Path) -> None:
    discord, config = double(), folder / "config.toml"
    config.write_text(CONFIG.format(url=engine.url), encoding="utf-8")
    async with local_bot(config, discord, lag_file=folder / "lag.jsonl") as bot:
        await until(lambda: discord.connected or bot.ended(), seconds=60)
        await discord.say(1001, TALK[0], "the kettle is on")
        with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as look:
            await until(lambda: look.execute("SELECT count(*) FROM messages").fetchone()[0], seconds=30)
        look.close()
        await asyncio.sleep(0.2)
