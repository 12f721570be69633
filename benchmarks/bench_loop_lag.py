"""How late the bot's event loop is while it records, answers stream and a night trains beside it.

    python benchmarks/bench_loop_lag.py [--streams 16] [--rate 50] [--seconds 20] [--rounds 3] [--json OUT]

Runs ``python -m bot run`` on a Discord of this machine, with ``python -m engine`` as a process of its own
and, in half of the measurements, a night that the bot itself starts because it is due: of ``python -m trainer
night`` the fit counts. Members write ``--rate`` messages a second all the time; where answers stream, as many
questions are asked as keep ``--streams`` of them under way. The lag is how much later than asked a pause of
5 ms ends in the bot's loop (``probed_bot.py``). Beside it stands for how long the loop itself computed: on a
busy machine the rest is time that other processes had.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import secrets
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import aiohttp
import psutil

from bench_recording import LINES
from bot.demo.sample import load_exports
from ledger.records import FINAL_STAGES
from ledger.store import Ledger
from local_bot import PEOPLE, TALK, LocalBot, all_agree, double, local_bot
from probed_bot import Wake, read_wakes
from surroundings import headline, load, publish, surroundings, table
from tests.bot.discord_double import GUILD, DiscordDouble
from tests.bot.discord_server import ME

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("discord.py", "aiohttp", "torch", "transformers")
GOAL_MS = 20.0
"""What p99 of the lag may be."""
LOOK_SECONDS = 0.1
WAIT_SECONDS = 240.0
WAITING = 4
"""Questions that wait in the engine beside those that it answers."""
SETTLE_SECONDS = 3.0
"""How long a load goes on before it is measured."""
CONFIG = """\
[model]
base = {base}
device = "cpu"
[engine]
url = {url}
max_batch = {streams}
[bot]
cooldown_seconds = 0.0
context_messages = 4
queue_size = 64
[schedule]
enabled = {trains}
min_new_replies = 20
[dataset]
max_heldout_replies = 80
[training]
epochs = 1000
patience = 1000
accumulation_steps = 1
"""
"""Short prompts, so that answers are written most of the time and not read. A fit of so many epochs does not
end while it is looked at; the bot leaves the night when it is stopped."""


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of time that counts, on the machine's monotonic clock, and what went on."""

    trains: bool
    streams: bool
    began: float
    ended: float
    under_way: float
    """Answers under way in the engine, on average, those included whose prompts wait to be read."""
    written: float
    """Those of them that were being written or read."""
    cores: dict[str, float]
    """CPU seconds a second of bot, engine and trainer."""
    stored: int


def main() -> None:
    """Measure, print a table, and write ``--json``."""
    options = _parser().parse_args()
    about = surroundings(PACKAGES)
    found = asyncio.run(measure(options))
    asked = {name: getattr(options, name) for name in ("streams", "rate", "seconds", "rounds")}
    result = {**about, **asked, "windows": found, "load_after": load()}
    publish(result, page(result), options.json)


def _parser() -> argparse.ArgumentParser:
    known = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known.add_argument("--streams", type=int, default=16)
    known.add_argument("--rate", type=int, default=50, help="messages a second")
    known.add_argument("--seconds", type=float, default=20.0, help="of each measurement")
    known.add_argument("--rounds", type=int, default=3, help="measurements of each kind")
    known.add_argument("--base", type=Path, default=ROOT / "models" / "base" / "SmolLM2-135M-Instruct")
    known.add_argument("--json", type=Path, metavar="OUT")
    return known


async def measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Return the figures of each window."""
    found = []
    with tempfile.TemporaryDirectory() as name:
        for trains in (False, True):
            folder = Path(name) / ("night" if trains else "day")
            wakes, windows = await watched_bot(folder, options, trains=trains)
            found += [figures(window, wakes) for window in windows]
    return found


async def watched_bot(
    folder: Path, options: argparse.Namespace, *, trains: bool
) -> tuple[list[Wake], list[Window]]:
    """Run the bot through all windows of one half; return what its probe saw, and when they were."""
    folder.mkdir()
    config, token = folder / "config.toml", secrets.token_urlsafe(16)
    async with engine(folder, options, token) as address:
        text = CONFIG.format(
            base=json.dumps(str(options.base.resolve())),
            url=json.dumps(address.url),
            # The bot sends as many questions at once as it thinks that the engine answers together.
            streams=options.streams + WAITING,
            trains=json.dumps(trains),
        )
        config.write_text(text, encoding="utf-8")
        database = folder / "data" / "ledger.db"
        await yesterday(database)
        await import_sample(folder, config)
        await all_agree(database)
        discord, lag_file = double(), folder / "lag.jsonl"
        async with local_bot(config, discord, lag_file=lag_file, ENGINE_API_KEY=token) as bot:
            crowd = Crowd(discord, address, options.rate)
            await crowd.begin(bot)
            if trains:
                await fitting(folder, bot)
            windows = await _windows(options, crowd, bot, address, database, trains=trains)
            await crowd.end()
        return read_wakes(lag_file), windows


async def _windows(
    options: argparse.Namespace,
    crowd: Crowd,
    bot: LocalBot,
    address: EngineAddress,
    database: Path,
    *,
    trains: bool,
) -> list[Window]:
    windows = []
    for streams, _ in itertools.product((False, True), range(options.rounds)):
        crowd.wanted = options.streams if streams else 0
        async with asyncio.timeout(WAIT_SECONDS):
            while crowd.under_way < crowd.wanted:  # noqa: ASYNC110 - another process changes it
                await asyncio.sleep(LOOK_SECONDS)
        await asyncio.sleep(SETTLE_SECONDS)
        busy, stored = cpu_seconds(bot, address), _stored(database)
        crowd.seen.clear()
        began = time.monotonic()
        await asyncio.sleep(options.seconds)
        ended = time.monotonic()
        cores = {
            name: round((after - busy.get(name, 0.0)) / (ended - began), 2)
            for name, after in cpu_seconds(bot, address).items()
        }
        if trains and _stage(database) != "prepared":
            raise SystemExit("the fit ended before the measurement did")
        asked, written = (round(statistics.mean(each), 1) for each in zip(*crowd.seen, strict=True))
        windows.append(
            Window(trains, streams, began, ended, asked, written, cores, _stored(database) - stored)
        )
    return windows


@dataclass(frozen=True, slots=True)
class EngineAddress:
    """Where the engine is, and its process."""

    url: str
    token: str
    pid: int


@asynccontextmanager
async def engine(folder: Path, options: argparse.Namespace, token: str) -> AsyncIterator[EngineAddress]:
    """Start ``python -m engine`` and wait until it serves; it ends with the caller."""
    config = folder / "engine.toml"
    text = CONFIG.format(
        base=json.dumps(str(options.base.resolve())), url='""', streams=options.streams, trains="false"
    )
    config.write_text(text, encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "engine", "--config", str(config), "--port", "0", "--json"),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, "NIGHTSCHOOL_ENGINE_TOKEN": token},
    )
    try:
        assert process.stdout is not None
        ready = json.loads(await process.stdout.readline())
        yield EngineAddress(ready["url"], token, process.pid)
    finally:
        process.terminate()
        await process.wait()


async def yesterday(database: Path) -> None:
    """Let the ledger know the server since two days ago, so that last night was missed and is made up."""

    class Then:
        def now(self) -> datetime:
            return datetime.now(UTC) - timedelta(days=2)

    async with Ledger.open(database, clock=Then()) as ledger:
        await ledger.guilds.ensure(GUILD, "Lantern Yard")


async def import_sample(folder: Path, config: Path) -> None:
    """Import the demo's sample server as this one's past, as an operator does."""
    paths = []
    for number, export in enumerate(load_exports()):
        export["guild"]["id"] = str(GUILD)
        paths.append(folder / f"export-{number}.json")
        paths[-1].write_text(json.dumps(export), encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "trainer", "import", "--config", str(config), "--json"),
        *("--basis", "sample server, written for this project", *map(str, paths)),
        cwd=ROOT,
        stdout=asyncio.subprocess.DEVNULL,
    )
    if await process.wait():
        raise SystemExit("the sample server could not be imported")


async def fitting(folder: Path, bot: LocalBot) -> None:
    """Wait until the night that the bot has started trains: its fit begins with a log."""
    database = folder / "data" / "ledger.db"
    async with asyncio.timeout(WAIT_SECONDS):
        while not list(folder.glob("models/runs/*/training.log")):
            if bot.ended() or _stage(database) in FINAL_STAGES:
                raise SystemExit(f"no night trains: {_stage(database)}")
            await asyncio.sleep(LOOK_SECONDS)


def _stage(database: Path) -> str:
    """Return how far the newest night is."""
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as look:
        row = look.execute("SELECT stage FROM runs ORDER BY created_at DESC LIMIT 1").fetchone()
    look.close()
    return str(row[0]) if row else ""


def _stored(database: Path) -> int:
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as look:
        (count,) = look.execute("SELECT count(*) FROM messages WHERE source = 'discord'").fetchone()
    look.close()
    return int(count)


def _trainers(bot: LocalBot) -> list[psutil.Process]:
    return [each for each in psutil.Process(bot.process.pid).children() if "trainer" in each.cmdline()]


def cpu_seconds(bot: LocalBot, address: EngineAddress) -> dict[str, float]:
    """Return the CPU seconds that each process has used so far."""
    processes = {"bot": psutil.Process(bot.process.pid), "engine": psutil.Process(address.pid)}
    if trainers := _trainers(bot):
        [processes["trainer"]] = trainers
    times = {name: process.cpu_times() for name, process in processes.items()}
    return {name: each.user + each.system for name, each in times.items()}


class Crowd:
    """Members who write at a steady rate, and ask as often as keeps enough answers under way."""

    def __init__(self, discord: DiscordDouble, address: EngineAddress, rate: int) -> None:
        self.wanted = 0
        """How many answers are to be under way."""
        self.under_way = 0
        """How many are, those included that wait for the engine to begin."""
        self.seen: list[tuple[int, int]] = []
        """Answers under way, and those of them that the engine had begun, at each look."""
        self._discord, self._address, self._rate = discord, address, rate
        self._members, self._channels = itertools.cycle(PEOPLE), itertools.cycle(TALK)
        self._tasks: list[asyncio.Task[None]] = []

    async def begin(self, bot: LocalBot) -> None:
        """Begin to write once the bot is there."""
        async with asyncio.timeout(WAIT_SECONDS):
            while not self._discord.connected:
                if bot.ended():
                    raise SystemExit("the bot ended before it was connected")
                await asyncio.sleep(LOOK_SECONDS)
        self._tasks = [asyncio.create_task(self._write()), asyncio.create_task(self._ask())]

    async def end(self) -> None:
        """Stop writing.

        Raises:
            SystemExit: somebody could not write or ask any more.
        """
        for task in self._tasks:
            task.cancel()
        for outcome in await asyncio.gather(*self._tasks, return_exceptions=True):
            if not isinstance(outcome, asyncio.CancelledError):
                raise SystemExit(f"the crowd fell silent: {outcome!r}")

    async def _write(self) -> None:
        began, done = time.monotonic(), 0
        while True:
            while done < (time.monotonic() - began) * self._rate:
                await self._discord.say(next(self._members), next(self._channels), LINES[done % len(LINES)])
                done += 1
            await asyncio.sleep(1 / self._rate)

    async def _ask(self) -> None:
        key = {"Authorization": f"Bearer {self._address.token}"}
        async with aiohttp.ClientSession(headers=key) as session:
            while True:
                running, waiting = await _load(session, self._address.url)
                self.under_way = running + waiting
                self.seen.append((self.under_way, running))
                # Some wait for whatever ends; of what lacks half, since the last questions may be under way.
                lacking = self.wanted + WAITING - self.under_way if self.wanted else 0
                for _ in range((lacking + 1) // 2):
                    member, channel = next(self._members), next(self._channels)
                    text = f"<@{ME['id']}> tell me a long story about the {LINES[member % len(LINES)]}"
                    await self._discord.say(member, channel, text, mentions_bot=True)
                await asyncio.sleep(4 * LOOK_SECONDS)


async def _load(session: aiohttp.ClientSession, url: str) -> tuple[int, int]:
    async with session.get(f"{url}/metrics") as response:
        counts = dict(line.split() for line in (await response.text()).splitlines())
    return tuple(int(counts[f"nightschool_num_requests_{name}"]) for name in ("running", "waiting"))  # type: ignore[return-value]


def figures(window: Window, wakes: Sequence[Wake]) -> dict[str, Any]:
    """Return the lag within a window; milliseconds.

    ``loop`` is the CPU time that the loop's thread used between two ends of the probe's pause.
    """
    own = [wake for wake in wakes if window.began <= wake.at < window.ended]
    lags, loop = sorted(wake.lag for wake in own), sorted(wake.loop_cpu for wake in own)
    late = [wake for wake in own if 1000 * wake.lag > GOAL_MS]
    return {
        "trains": window.trains,
        "streams": window.streams,
        "under_way": window.under_way,
        "written": window.written,
        "stored_a_second": round(window.stored / (window.ended - window.began), 1),
        "cores": window.cores,
        "wakes": len(own),
        **{f"lag_{name}": _ms(lags, part) for name, part in _PARTS.items()},
        **{f"loop_{name}": _ms(loop, part) for name, part in _PARTS.items()},
        "late": len(late),
        "late_by_the_loop": sum(wake.loop_cpu > wake.lag / 2 for wake in late),
    }


_PARTS = {"p50": 0.5, "p99": 0.99, "max": 1.0}


def _ms(ordered: Sequence[float], part: float) -> float:
    return round(1000 * ordered[min(len(ordered) - 1, int(len(ordered) * part))], 1)


def page(result: dict[str, Any]) -> str:
    """Return what was found as a table; medians of the rounds, milliseconds."""
    rows = []
    for trains, streams in itertools.product((False, True), repeat=2):
        own = [w for w in result["windows"] if (w["trains"], w["streams"]) == (trains, streams)]
        rows.append(_row(own, trains=trains, streams=streams))
    return "\n".join(
        [
            headline(result),
            f"{result['rounds']} rounds of {result['seconds']:.0f} s, {result['rate']} messages a second; "
            f"load after {result['load_after']}; goal: p99 {GOAL_MS:.0f} ms",
            "",
            table(
                [
                    *("beside recording", "answers under way", "begun", "stored/s"),
                    *("lag p50 ms", "p99", "max", "loop's own p99", "max"),
                    *("late by the loop", "bot cores", "engine", "trainer"),
                ],
                rows,
            ),
        ]
    )


def _row(windows: Sequence[dict[str, Any]], *, trains: bool, streams: bool) -> list[object]:
    kinds = ["answers"] * streams + ["a fit"] * trains
    keys = (
        "under_way",
        "written",
        "stored_a_second",
        "lag_p50",
        "lag_p99",
        "lag_max",
        "loop_p99",
        "loop_max",
    )
    late, loop = (sum(each[key] for each in windows) for key in ("late", "late_by_the_loop"))
    cores = (
        round(statistics.median(each["cores"].get(name, 0.0) for each in windows), 2)
        for name in ("bot", "engine", "trainer")
    )
    medians = (round(statistics.median(each[key] for each in windows), 1) for key in keys)
    return [" and ".join(kinds) or "nothing", *medians, f"{loop} of {late}", *cores]


if __name__ == "__main__":
    main()
