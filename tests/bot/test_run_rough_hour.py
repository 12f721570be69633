"""An hour of a failing Discord, for the real ``python -m bot run``: nothing lost, doubled or unanswered."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from ledger.store import Ledger
from tests.bot.discord_double import ADMIN_CHANNEL, GUILD, DiscordDouble
from tests.bot.discord_server import ME, TOKEN
from tests.bot.house import BASE, ROOT, StandInEngine, served, until

PACE = 40.0
HOUR_SECONDS = 3600.0 / PACE
PEOPLE = {11: "ann", 12: "ben", 13: "cleo", 14: "dan", 15: "eve"}
AGREED = (11, 12, 13)
CHANNELS = {701: "general", 702: "kitchen", 703: "garden", ADMIN_CHANNEL: "nightschool"}
TALK = (701, 702, 703)
FAULTS = ("503", "503", "500", "429", "reset", "reset after", "late")
CONFIG = """
[engine]
url = "{url}"
[model]
base = "{base}"
[bot]
cooldown_seconds = 0.0
queue_size = 60
[schedule]
enabled = false
"""


class Hour:
    """What happened, so that it can be compared with what became of it."""

    def __init__(self, double: DiscordDouble, chance: random.Random) -> None:
        self.double = double
        self.chance = chance
        self.words: dict[int, str] = {}
        """Consenting members' messages as they stand, by id."""
        self.strangers: list[str] = []
        self.gone: list[str] = []
        self.questions: set[int] = set()
        self.share_of_faults = 0.0
        self.faults: Counter[str] = Counter()
        double.fault = self._fault

    def _fault(self, request: str) -> str | None:
        if "/messages" not in request and "/typing" not in request:
            return None
        if self.chance.random() >= self.share_of_faults:
            return None
        fault = self.chance.choice(FAULTS)
        self.faults[fault] += 1
        return fault

    async def pass_by(self, seconds: float) -> None:
        """Let people talk and Discord fail at random."""
        end = asyncio.get_running_loop().time() + seconds
        number = 0
        while asyncio.get_running_loop().time() < end:
            number += 1
            await self._something(number)
            await asyncio.sleep(self.chance.uniform(0.02, 0.25))

    async def _something(self, number: int) -> None:
        what = self.chance.random()
        if what < 0.03:
            self.faults["dropped connection"] += 1
            await self.double.drop()
        elif what < 0.045:
            self.faults["lost session"] += 1
            await self.double.lose_session()
        elif what < 0.09 and self.words:
            await self._edit_or_delete(number)
        else:
            await self._say(number)

    async def _say(self, number: int) -> None:
        author, channel = self.chance.choice(list(PEOPLE)), self.chance.choice(TALK)
        asks = self.chance.random() < 0.2
        text = f"word{number} of {PEOPLE[author]}"
        connected = self.double.connected
        me = f"<@{ME['id']}> " if asks else ""
        message = await self.double.say(author, channel, me + text, mentions_bot=asks)
        if author in AGREED:
            self.words[message] = text
        else:
            self.strangers.append(text)
        # A question that the bot could not hear is not always answered later: see the catching up.
        if asks and connected and self.double.connected:
            self.questions.add(message)

    async def _edit_or_delete(self, number: int) -> None:
        message = self.chance.choice(list(self.words))
        self.gone.append(self.words[message])
        if self.chance.random() < 0.5:
            self.words[message] = f"edited{number}"
            await self.double.edit(message, f"edited{number}")
        else:
            del self.words[message]
            self.questions.discard(message)
            await self.double.delete(message)


@asynccontextmanager
async def bot_at_work(root: Path, engine_url: str, discord_url: str) -> AsyncIterator[Any]:
    """Run the bot in a process of its own until the test is through with it."""
    config = root / "config.toml"
    config.write_text(CONFIG.format(url=engine_url, base=BASE), encoding="utf-8")
    environment = {**os.environ, "PACE": str(PACE), "DISCORD_REST": discord_url, "DISCORD_TOKEN": TOKEN}
    with (root / "log.txt").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(ROOT / "tests" / "bot" / "accelerated.py"),
            "run",
            "--config",
            str(config),
            cwd=ROOT,
            env=environment,
            stdout=log,
            stderr=log,
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


async def settled(read: Any, *, seconds: float) -> None:
    """Wait until ``read`` gives the same for a while: everything that was begun has ended."""
    last, since = None, 0.0
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while loop.time() < end:
        now = read()
        if now != last:
            last, since = now, loop.time()
        elif loop.time() - since > 12:
            return
        await asyncio.sleep(0.2)
    raise AssertionError("the bot never comes to rest")


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_an_hour_of_faults_loses_doubles_and_leaves_out_nothing(
    tmp_path: Path, engine: StandInEngine
) -> None:
    double = DiscordDouble(PEOPLE, CHANNELS, pace=PACE)
    hour = Hour(double, random.Random(8))
    database = tmp_path / "data" / "ledger.db"
    async with Ledger.open(database) as ledger:
        await ledger.guilds.ensure(GUILD, "Lantern Yard")
        for person in AGREED:
            await ledger.consent.opt_in(GUILD, person)
    async with served(double.app()) as url, bot_at_work(tmp_path, engine.url, url) as process:
        await until(lambda: double.connected or process.returncode is not None, seconds=60)
        await asyncio.sleep(1)
        hour.share_of_faults = 0.15
        await hour.pass_by(HOUR_SECONDS)
        hour.share_of_faults = 0.0
        # A message in each channel gives away whether the bot listens again.
        await until(lambda: double.connected, seconds=120)
        await settled(lambda: len(double.log), seconds=120)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 30) == 0
    log = (tmp_path / "log.txt").read_text(encoding="utf-8")
    assert "Traceback" not in log, log[-4000:]

    async with Ledger.open(database) as ledger:
        stored = {message.id: message.content for message in await ledger.messages.of_guild(GUILD)}
    assert stored == hour.words
    for text in (*hour.strangers, *hour.gone):
        assert not any(text == content for content in stored.values())
        assert text not in log

    said = double.said_by_bot()
    answers = Counter(
        int(message["message_reference"]["message_id"]) for message in said if "message_reference" in message
    )
    assert {question: answers[question] for question in hour.questions} == dict.fromkeys(hour.questions, 1)
    assert all(count == 1 for count in answers.values())
    for message in said:
        assert message["content"] == "Good evening." or message["content"].startswith("-# ")
    # The hour was as rough as it was meant to be.
    assert set(hour.faults) >= {*FAULTS, "dropped connection", "lost session"}
    assert len(hour.words) > 100
    assert len(hour.questions) > 20
