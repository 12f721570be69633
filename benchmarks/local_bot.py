"""``python -m bot run`` as its users start it, on a Discord of this machine, for benchmarks to watch."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ledger.store import Ledger
from tests.bot.discord_double import ADMIN_CHANNEL, GUILD, DiscordDouble
from tests.bot.discord_server import TOKEN
from tests.bot.house import ROOT, served

PEOPLE = {1000 + number: f"member-{number}" for number in range(40)}
TALK = tuple(range(701, 709))
"""Channels to talk in."""
STOP_SECONDS = 60.0


def double() -> DiscordDouble:
    """Return a Discord with forty members who talk in eight channels."""
    channels = {number: f"channel-{number}" for number in TALK}
    return DiscordDouble(PEOPLE, {**channels, ADMIN_CHANNEL: "nightschool"})


async def all_agree(database: Path) -> None:
    """Write down in a ledger, new or not, that all members agreed."""
    async with Ledger.open(database) as ledger:
        await ledger.guilds.ensure(GUILD, "Lantern Yard")
        for number in PEOPLE:
            await ledger.consent.opt_in(GUILD, number)


@dataclass
class LocalBot:
    """A running bot, and when it logged what."""

    process: asyncio.subprocess.Process
    began: float
    """When it was started, in seconds of the monotonic clock."""
    lines: list[tuple[float, str]] = field(default_factory=list)
    """What it and its children wrote to stderr, each with the seconds since the start."""

    def said(self, words: str) -> float | None:
        """Return after how many seconds it first logged ``words``; None if it has not."""
        return next((at for at, line in self.lines if words in line), None)

    async def listen(self) -> None:
        """Note what it logs until it ends."""
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            self.lines.append((time.monotonic() - self.began, line.decode(errors="replace").rstrip()))

    def ended(self) -> bool:
        """Tell whether it is over."""
        return self.process.returncode is not None


@asynccontextmanager
async def local_bot(
    config: Path, discord: DiscordDouble, *, lag_file: Path | None = None, **environment: str
) -> AsyncIterator[LocalBot]:
    """Run the bot with the settings in ``config`` until the caller is through with it; then stop it in order.

    Raises:
        SystemExit: it did not end as it should, with its last words.
    """
    async with served(discord.app()) as url:
        known = {**os.environ, "DISCORD_REST": url, "DISCORD_TOKEN": TOKEN, **environment}
        known |= {} if lag_file is None else {"LAG_FILE": str(lag_file)}
        began = time.monotonic()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(ROOT / "benchmarks" / "probed_bot.py"), "run", "--config", str(config)),
            cwd=ROOT,
            env=known,
            stderr=asyncio.subprocess.PIPE,
        )
        bot = LocalBot(process, began)
        listening = asyncio.create_task(bot.listen())
        try:
            yield bot
        finally:
            if not bot.ended():
                process.send_signal(signal.SIGTERM)
            try:
                code = await asyncio.wait_for(process.wait(), STOP_SECONDS)
            except TimeoutError:
                process.kill()
                code = await process.wait()
            await listening
        if code:
            last = "\n".join(line for _, line in bot.lines[-20:])
            raise SystemExit(f"the bot ended with {code}:\n{last}")
