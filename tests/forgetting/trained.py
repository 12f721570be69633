"""A server that has been to school: a real bot's day, two real nights on the tiny model, and what to search.

The first night learned ann's words. The second grew from it and learned others'; its version serves.
Built once a session and copied for each use. simcord's ids are the same in every session, so a day that is
played again meets the very rows that the nights learned from.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import discord
import simcord

from ledger.clock import to_ms
from ledger.people.policy import declared
from ledger.records import Message
from ledger.settings import Settings, load_settings
from ledger.store import Ledger
from tests.bot.house import House, StandInEngine, open_house, stand_in_engine
from tests.conftest import ROOT, FakeClock
from tests.searching import holding as holding

MARK = "quetzalmarmalade7731"
"""Stands in each of ann's messages, and in nobody else's."""
UNASKED = "ocelotbramble2290"
"""Stands in what the boss says, who was never asked; his words are read for an answer, and kept nowhere."""
MORNING = datetime(2026, 1, 3, 12, 0, tzinfo=UTC)
TOMORROW = MORNING + timedelta(days=1)
ANCESTOR, SERVES, OTHER = 1, 2, 3
"""The versions' numbers: it learned ann's words; it grew from that one; it learned them and never served."""
CONVERSATIONS = 14
HOUR = 3600.0

THINGS = (
    "lamp",
    "jar",
    "cat",
    "choir",
    "bicycle",
    "bucket",
    "ladder",
    "screw",
    "umbrella",
    "router",
    "street",
)

CONFIG = """
[model]
base = '{base}'
device = "cpu"
dtype = "float32"
[engine]
url = "{engine}"
[bot]
cooldown_seconds = 0.0
[schedule]
enabled = false
min_new_replies = 1
[dataset]
max_messages = 6
overlap_messages = 1
validation_share = 0.15
test_share = 0.15
replay_share = 0.0
backlog_share = 1.0
[training]
epochs = 1
learning_rate = 5e-3
lora_r = 4
lora_alpha = 8
lora_dropout = 0.0
batch_size = 8
accumulation_steps = 1
max_tokens = 256
[verdict]
resamples = 100
min_test_replies = 1
max_forgetting = 100.0
[leakage]
probes = 4
[policy]
discord_permission = "test"
[retention]
forget_leavers_after_days = 7
"""

TRAINER = """
import json
sample = {{"context": "{mark}", "before": "", "after": "{mark}"}}
print(json.dumps({{"stage": "skipped", "samples": [sample]}}))
"""
"""Stands in for the trainer where the bot itself starts a night: quotes members, as a real one does."""


@dataclass(frozen=True)
class Day:
    """A day under way: the house, the channel that ann talks in, and her messages there."""

    house: House
    room: simcord.ChannelHandle
    hers: tuple[discord.Message, ...]
    root: Path
    clock: FakeClock
    engine: StandInEngine

    @property
    def guild_id(self) -> int:
        return self.house.guild.id

    @property
    def ledger(self) -> Ledger:
        return self.house.services.ledger


def write_config(root: Path, base: Path, engine: str, *, strict: bool = False) -> Settings:
    root.mkdir(parents=True, exist_ok=True)
    text = CONFIG.format(base=base, engine=engine) + ("[forgetting]\nstrict = true\n" if strict else "")
    (root / "config.toml").write_text(text, encoding="utf-8")
    return load_settings(root / "config.toml")


@asynccontextmanager
async def day(
    root: Path, base: Path, *, clock: FakeClock | None = None, strict: bool = False
) -> AsyncIterator[Day]:
    """Open the bot on ``root`` and play the day: the first time it is new, later it is known already."""
    clock = clock or FakeClock(TOMORROW)
    script = root / "trainer.py"
    async with stand_in_engine() as engine:
        engine.pieces = lambda body: [body["messages"][-2]["content"]]  # the worst that a model can do
        settings = write_config(root, base, engine.url, strict=strict)
        script.write_text(TRAINER.format(mark=MARK), encoding="utf-8")
        with bot_log(root / "logs" / "bot.log"):
            async with open_house(settings, clock=clock, trainer=script, played_again=True) as house:
                yield await _played(house, root, clock, engine)


async def _played(house: House, root: Path, clock: FakeClock, engine: StandInEngine) -> Day:
    room = house.guild.create_text_channel("workshop")
    await house.env.settle()
    ledger = house.services.ledger
    if not await ledger.consent.history(house.guild.id, house.ann.id):
        # Not with a command: that would move the ids of what follows, on the first day alone.
        await ledger.guilds.ensure(house.guild.id, house.guild.name)
        for person in (house.ann, house.ben):
            await ledger.consent.opt_in(house.guild.id, person.id)
    hers = []
    for number in range(CONVERSATIONS):
        place = house.general if number % 2 else room
        await house.ben.send(place, f"What is in the shed, number {number}?")
        if place is room:
            hers.append(await house.ann.send(room, f"A bicycle and the {MARK} lamp {number}, I think."))
        else:
            await house.boss.send(place, f"nothing of mine is kept, {UNASKED}")
        await house.ben.send(place, f"Thank you, that helps a lot with lamp {number}.")
        await house.env.advance_time(HOUR)
    hers.append(await house.ask(house.ann, f"do you know {MARK}?", channel=room))
    await house.ask(house.ben, "good evening")
    await house.ask(house.boss, f"what is {UNASKED}?")
    return Day(house, room, tuple(hers), root, clock, engine)


@contextmanager
def bot_log(path: Path) -> Iterator[None]:
    """Log to a file what ``python -m bot run --verbose`` logs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(path, encoding="utf-8")
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    for noisy in ("discord", "apscheduler", "aiosqlite", "simcord"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        yield
    finally:
        root.setLevel(before)
        root.removeHandler(handler)
        handler.close()


def run_night(root: Path, at: datetime = MORNING) -> None:
    """Run ``python -m trainer night``, with every cache and temporary file inside ``root``."""
    environment = {
        **os.environ,
        "HF_HOME": str(root / "caches"),
        "HF_DATASETS_CACHE": str(root / "caches" / "datasets"),
        "XDG_CACHE_HOME": str(root / "caches"),
        "TMPDIR": str(_made(root / "temporary")),
        "OMP_NUM_THREADS": "1",
    }
    with (root / "logs" / "trainer.log").open("ab") as log:
        subprocess.run(
            [
                *(sys.executable, "-m", "trainer", "night", "--config", str(root / "config.toml")),
                *("--samples", "1", "--now", at.isoformat()),
            ],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.DEVNULL,  # what it says on its last line is for the bot, and quotes members
            stderr=log,
            check=True,
        )


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def build(root: Path, base: Path) -> Path:
    """Play the day, go to school, let others talk, and go to school again; return ``root``."""
    asyncio.run(_first_day(root, base))
    run_night(root)
    asyncio.run(_second_day(root))
    run_night(root, TOMORROW)
    asyncio.run(_aftermath(root))
    return root


async def _first_day(root: Path, base: Path) -> None:
    async with day(root, base, clock=FakeClock(MORNING)) as today:
        await today.ledger.writer.execute("UPDATE split_key SET key = ?", (b"tests",))


@asynccontextmanager
async def _ledger(root: Path, at: datetime) -> AsyncIterator[tuple[Ledger, Settings, int]]:
    settings = load_settings(root / "config.toml")
    async with Ledger.open(settings.database, clock=FakeClock(at)) as ledger:
        yield ledger, settings, next(iter(await ledger.guilds.all()))


async def _serve(ledger: Ledger, guild_id: int) -> None:
    """Let the newest version serve, whatever its verdict was."""
    version, *_ = await ledger.adapters.of_guild(guild_id)
    if version.state != "champion":
        await ledger.promotions.promote(guild_id, version.version, by="test")


async def _second_day(root: Path) -> None:
    """Let the first version serve, and take in what two others said; the next night learns that alone."""
    config = root / "config.toml"
    text = config.read_text(encoding="utf-8")
    config.write_text(text.replace("backlog_share = 1.0", "backlog_share = 0.0"), encoding="utf-8")
    async with _ledger(root, MORNING) as (ledger, _, guild_id):
        await _serve(ledger, guild_id)
        channel = (await ledger.messages.of_guild(guild_id))[0].channel_id
        await ledger.people.ensure_many(guild_id, [(4001, "cleo", False), (4002, "dag", False)])
        await ledger.messages.add_many(
            Message(
                5_000_000 + number * 10 + turn,
                guild_id,
                channel,
                4001 + turn % 2,
                "",
                f"the {' and the '.join(random.Random(f'{number} {turn}').sample(THINGS, 6))}, I believe",
                to_ms(MORNING) + number * 3_600_000 + turn * 60_000,
                source="import",
                basis=declared("test logs"),
                imported_at=to_ms(MORNING) + number * 3_600_000,
            )
            for number in range(1, 21)
            for turn in range(4)
        )


async def _aftermath(root: Path) -> None:
    """Let the second version serve, and keep a third that learned what the first did and does not serve."""
    async with _ledger(root, TOMORROW) as (ledger, settings, guild_id):
        await _serve(ledger, guild_id)
        serves, first = await ledger.adapters.of_guild(guild_id)
        assert serves.parent == first.version
        run = await ledger.runs.create(guild_id, "test")
        await ledger.runs.learned_from(run.id, (await ledger.lineage.authors_of(first.version)).items())
        twin = await ledger.adapters.reserve(
            guild_id, run.id, adapters_dir=str(settings.adapters_dir), base_model=first.base_model
        )
        shutil.copytree(first.path, twin.path)
        shutil.copytree(settings.datasets_dir / first.run_id, settings.datasets_dir / run.id)
        await ledger.adapters.retire(twin.version)
        await ledger.runs.advance(run.id, "kept")


def moved(template: Path, root: Path) -> Path:
    """Copy a trained server to ``root``, with the paths in its ledger pointed there."""
    import sqlite3
    from contextlib import closing

    shutil.copytree(template, root)
    with closing(sqlite3.connect(root / "data" / "ledger.db")) as connection:
        connection.execute("UPDATE adapters SET path = replace(path, ?, ?)", (str(template), str(root)))
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return root
