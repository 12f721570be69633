"""How soon things are there: each command's help, a bot that records, and a ledger with a long history.

    python benchmarks/bench_start.py [--rounds 5] [--messages 2000000] [--keep FOLDER] [--json OUT]

Help: from the start of the process to its end, for every command of every program. Recording: from the
start of ``python -m bot run`` to the first message in the database, on a Discord of this machine and with the
bot's own engine loading the model at the same time; on a new ledger and on the long one. Opening:
``Ledger.open`` in a process of its own, with the file in the system's cache and with it dropped from there.
Figures are medians of ``--rounds``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import psutil

from bench_history import fill, measured
from bench_recording import LINES, MEMBERS
from bot.__main__ import _parser as bot_parser
from engine.__main__ import _parser as engine_parser
from ledger.records import Message
from ledger.store import Ledger
from local_bot import TALK, all_agree, double, local_bot
from surroundings import headline, load, publish, surroundings, table
from trainer.__main__ import parser as trainer_parser

ROOT = Path(__file__).resolve().parents[1]
PROGRAMS = {"bot": bot_parser, "engine": engine_parser, "trainer": trainer_parser}
PACKAGES = ("discord.py", "aiosqlite", "pydantic", "torch")
LIMITS = {"help": 0.3, "recording": 2.0, "open": 1.0}
"""Seconds that each may take."""
LINE_SECONDS = 0.02
"""Somebody says a line so often until one is stored."""
WAIT_SECONDS = 120.0
CONFIG = """\
[model]
base = {base}
device = "cpu"
[schedule]
enabled = false
"""


def main() -> None:
    """Measure, print tables, and write ``--json``."""
    options = _parser().parse_args()
    about = surroundings(PACKAGES)
    found = measure(options)
    result = {**about, "rounds": options.rounds, "messages": options.messages, **found, "load_after": load()}
    publish(result, page(result), options.json)


def _parser() -> argparse.ArgumentParser:
    known = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known.add_argument("--rounds", type=int, default=5)
    known.add_argument("--messages", type=int, default=2_000_000, help="in the long history")
    known.add_argument("--base", type=Path, default=ROOT / "models" / "base" / "SmolLM2-135M-Instruct")
    known.add_argument("--keep", type=Path, help="keep the long history in this folder")
    known.add_argument("--json", type=Path, metavar="OUT")
    return known


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Return all figures, by what was started."""
    helps = {" ".join(command): help_seconds(command, options.rounds) for command in commands()}
    with tempfile.TemporaryDirectory() as scratch:
        long = long_history(options.keep or Path(scratch), options.messages)
        opened = {
            cache: [open_once(long, cached=cache == "cached") for _ in range(options.rounds)]
            for cache in ("cached", "not cached")
        }
        recording: dict[str, list[dict[str, Any]]] = {"new ledger": [], f"{options.messages:,} messages": []}
        again = settled(Path(scratch) / "again", options.base, long)
        for number in range(options.rounds):
            new = settled(Path(scratch) / f"new-{number}", options.base)
            for rounds, config in zip(recording.values(), (new, again), strict=True):
                rounds.append(asyncio.run(recorded(config)))
    return {"help": helps, "open": opened, "recording": recording}


def commands() -> list[tuple[str, ...]]:
    """Return every command of every program, the programs themselves included."""
    return [(name, *rest) for name, make in PROGRAMS.items() for rest in _below(make())]


def _below(parser: argparse.ArgumentParser) -> Iterator[tuple[str, ...]]:
    yield ()
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, inner in action.choices.items():
                yield from ((name, *rest) for rest in _below(inner))


def help_seconds(command: Sequence[str], rounds: int) -> list[float]:
    """Return how long ``--help`` of a command took each time."""
    found = []
    for _ in range(rounds):
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", *command, "--help"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL
        )
        found.append(round(time.perf_counter() - began, 3))
    return found


def long_history(folder: Path, size: int) -> Path:
    """Return a ledger of ``size`` made-up messages in ten channels; one that is in ``folder`` is taken."""
    path = folder / f"start-{size}.db"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".part")
        unfinished.unlink(missing_ok=True)
        some = min(size, 20_000)
        asyncio.run(fill(unfinished, talk(some), some, 10))
        repeat(unfinished, size)
        unfinished.rename(path)
    return path


def repeat(database: Path, size: int) -> None:
    """Let a ledger's messages have been said over and over before, until there are ``size``.

    Written past the ledger's own code: that takes minutes for what is only opened here.
    """
    with sqlite3.connect(database) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        columns = [row[1] for row in connection.execute("PRAGMA table_info(messages)")]
        first, last, count = connection.execute(
            "SELECT min(created_at), max(created_at), count(*) FROM messages"
        ).fetchone()
        for turn in range(1, -(-size // count)):
            earlier = turn * (last - first + 1)
            moved = {"id": f"id - ({earlier} << 22)", "created_at": f"created_at - {earlier}"}
            connection.execute(
                f"INSERT INTO messages ({', '.join(columns)})"  # noqa: S608 - the columns are those of the schema
                f" SELECT {', '.join(moved.get(name, name) for name in columns)} FROM messages"
                " WHERE created_at >= ? LIMIT ?",
                (first, size - turn * count),
            )
    connection.close()


def talk(size: int) -> list[Message]:
    """Return made-up messages, two minutes apart on average."""
    draw = random.Random(5)
    at = 1_700_000_000_000
    found = []
    for number in range(size):
        at += round(draw.expovariate(1 / 120_000)) + 1
        author = 1000 + draw.randrange(MEMBERS)
        found.append(Message(number + 1, 7, 100, author, f"member-{author}", draw.choice(LINES), at))
    return found


def open_once(path: Path, *, cached: bool) -> dict[str, Any]:
    """Return what it took to open a ledger in a new process."""
    with path.open("rb") as file:
        if cached:
            while file.read(2**24):
                pass
        else:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return measured(opened, path)


async def opened(path: Path) -> dict[str, Any]:
    """Open the ledger and ask for its newest message."""
    began = time.perf_counter()
    async with Ledger.open(path) as ledger:
        took = time.perf_counter() - began
        async with ledger.reader.execute("SELECT max(id) FROM messages") as cursor:
            await cursor.fetchone()
        return {"open_seconds": round(took, 3), "read_seconds": round(time.perf_counter() - began, 3)}


def settled(folder: Path, base: Path, ledger: Path | None = None) -> Path:
    """Return the settings of a bot that lives in ``folder``, with a copy of ``ledger`` or a new one."""
    (folder / "data").mkdir(parents=True)
    config, database = folder / "config.toml", folder / "data" / "ledger.db"
    config.write_text(CONFIG.format(base=json.dumps(str(base.resolve()))), encoding="utf-8")
    if ledger is not None:
        shutil.copy(ledger, database)
        os.sync()  # what is still to be written would be written while the bot starts
    asyncio.run(all_agree(database))
    return config


async def recorded(config: Path) -> dict[str, Any]:
    """Start the bot; return when it was connected, had stored a message, and had its engine."""
    database = config.parent / "data" / "ledger.db"
    discord = double()
    found: dict[str, Any] = {}
    async with local_bot(config, discord) as bot:
        with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as look:
            async with asyncio.timeout(WAIT_SECONDS):
                while not discord.connected:
                    _check(bot.ended())
                    await asyncio.sleep(0.002)
                found["connected"] = round(time.monotonic() - bot.began, 3)
                first = await discord.say(1001, TALK[0], LINES[0])
                while look.execute("SELECT 1 FROM messages WHERE id >= ?", (first,)).fetchone() is None:
                    _check(bot.ended())
                    await asyncio.sleep(LINE_SECONDS)
                    await discord.say(1001, TALK[0], LINES[0])
                found["stored"] = round(time.monotonic() - bot.began, 3)
                used = psutil.Process(bot.process.pid).cpu_times()
                found["cpu"] = round(used.user + used.system, 3)
                while (engine := bot.said("the engine serves")) is None:
                    _check(bot.ended())
                    await asyncio.sleep(0.02)
                found["engine"] = round(engine, 3)
        look.close()
    return found


def _check(ended: bool) -> None:
    if ended:
        raise SystemExit("the bot ended before it had stored anything")


def page(result: dict[str, Any]) -> str:
    """Return what was found as tables; seconds."""
    helps = {name: statistics.median(each) for name, each in result["help"].items()}
    slowest = max(helps, key=lambda name: helps[name])
    lines = [
        headline(result),
        f"medians of {result['rounds']} rounds; load after {result['load_after']}",
        "",
        f"{len(helps)} commands' --help; the slowest is `{slowest}` (goal {LIMITS['help']} s each)",
        "",
        table(["program", "commands", "median s", "slowest s"], _by_program(helps)),
        "",
        f"bot run, goal {LIMITS['recording']} s to the first stored message",
        "",
        table(
            ["ledger", "connected s", "first message stored s", "slowest s", "CPU s by then", "engine s"],
            (
                [
                    name,
                    *(_median(rounds, key) for key in ("connected", "stored")),
                    max(each["stored"] for each in rounds),
                    *(_median(rounds, key) for key in ("cpu", "engine")),
                ]
                for name, rounds in result["recording"].items()
            ),
        ),
        "",
        f"opening a ledger of {result['messages']:,} messages, goal {LIMITS['open']} s",
        "",
        table(
            ["file", "open s", "slowest s", "with a first read s"],
            (
                [
                    name,
                    _median(rounds, "open_seconds"),
                    max(each["open_seconds"] for each in rounds),
                    _median(rounds, "read_seconds"),
                ]
                for name, rounds in result["open"].items()
            ),
        ),
    ]
    return "\n".join(lines)


def _by_program(helps: dict[str, float]) -> Iterator[list[object]]:
    for program in PROGRAMS:
        own = [seconds for name, seconds in helps.items() if name.split()[0] == program]
        yield [program, len(own), round(statistics.median(own), 3), max(own)]


def _median(rounds: Sequence[dict[str, Any]], key: str) -> float:
    return float(round(statistics.median(each[key] for each in rounds), 3))


if __name__ == "__main__":
    main()
