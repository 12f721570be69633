"""A power cut undoes no consent, deletion or receipt, and of what was heard the last seconds alone."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
SYNC_SECONDS = 0.3
SPEAKER, GUILD = 7, 1

PROGRAM = f"""
import asyncio, sys, time
from pathlib import Path
from ledger.sqlite import writer
from ledger.records import Message
from ledger.store import Ledger

writer.SYNC_SECONDS = {SYNC_SECONDS}

async def main():
    async with Ledger.open(Path(sys.argv[1])) as ledger:
        await ledger.guilds.ensure({GUILD}, "Lantern Yard")
        await ledger.channels.ensure(5, {GUILD}, "general")
        await ledger.consent.opt_in({GUILD}, {SPEAKER})
        print("ready", flush=True)
        number = 0
        while number < int(sys.argv[2]):
            number += 1
            if number % 40 == 0:
                await ledger.consent.opt_in({GUILD}, 1000 + number)
                print("yes", 1000 + number, flush=True)
            elif number % 90 == 0:
                await ledger.deletions.begin({GUILD}, "messages", [number - 1], asked_by="test", keep_ms=0)
                print("gone", number - 1, flush=True)
            else:
                message = Message(number, {GUILD}, 5, {SPEAKER}, "ann", f"word {{number}}", 1_700_000_000_000)
                await ledger.messages.hear(message)
                print("heard", number, time.monotonic(), flush=True)
                await asyncio.sleep(0.002)
        await asyncio.sleep(3600)

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("needs Linux and a C compiler")
    library = tmp_path_factory.mktemp("shim") / "power_cut.so"
    source = Path(__file__).with_name("power_cut.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    return library


def begin(root: Path, shim: Path, *, messages: int) -> subprocess.Popen[str]:
    """Start the program; ``root/left`` holds what would be left if the power went now."""
    (root / "left").mkdir()
    environment = {**os.environ, "LD_PRELOAD": str(shim), "POWER_CUT_LEAVES": str(root / "left")}
    command = [sys.executable, "-c", PROGRAM, str(root / "ledger.db"), str(messages)]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


class Cut:
    """A process that writes until the power goes, and what it had been told was done."""

    def __init__(self, root: Path, shim: Path, seconds: float) -> None:
        self.left = root / "left"
        with begin(root, shim, messages=10**9) as process:
            time.sleep(seconds)
            process.send_signal(signal.SIGKILL)
            at = time.monotonic()
            assert process.stdout is not None
            lines = [line.split() for line in process.stdout.read().split("\n")[:-1]]
        self.agreed = {int(line[1]) for line in lines if line[0] == "yes"}
        self.gone = {int(line[1]) for line in lines if line[0] == "gone"}
        heard = {int(line[1]): at - float(line[2]) for line in lines if line[0] == "heard"}
        self.heard = {number: age for number, age in heard.items() if number not in self.gone}

    def rows(self, sql: str) -> set[int]:
        with closing(sqlite3.connect(self.left / "ledger.db")) as connection:
            return {int(row[0]) for row in connection.execute(sql)}


@pytest.mark.slow
def test_a_power_cut_undoes_nothing_but_the_last_seconds_of_talk(tmp_path: Path, shim: Path) -> None:
    chance = random.Random(4)
    lost = 0
    for number in range(8):
        root = tmp_path / str(number)
        root.mkdir()
        cut = Cut(root, shim, chance.uniform(0.5, 1.8))
        with closing(sqlite3.connect(cut.left / "ledger.db")) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        assert cut.agreed
        assert cut.rows("SELECT user_id FROM consent_events") >= cut.agreed | {SPEAKER}
        stored = cut.rows("SELECT id FROM messages")
        assert not stored & cut.gone
        missing = {each: age for each, age in cut.heard.items() if each not in stored}
        lost += len(missing)
        # Twice the interval: one until the sync is due, and some for a crowded machine.
        assert all(age < 2 * SYNC_SECONDS + 1.0 for age in missing.values()), missing
        # Nothing in between is missing: what is left is a beginning.
        assert not missing or min(missing) > max(stored)
    assert lost > 0, "the cut took nothing, so that it shows nothing"


@pytest.mark.slow
def test_what_was_said_last_is_synced_although_nobody_says_more(tmp_path: Path, shim: Path) -> None:
    with begin(tmp_path, shim, messages=29) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if line.startswith("heard 29"):
                    break
            deadline = time.monotonic() + 20
            while stored_now(tmp_path) < 29:
                assert time.monotonic() < deadline, "what was said last never reached the disk"
                time.sleep(0.1)
        finally:
            process.kill()


def stored_now(root: Path) -> int:
    """Return how many messages a power cut would leave now; opening a database changes it, so a copy is."""
    look = root / "look"
    shutil.rmtree(look, ignore_errors=True)
    shutil.copytree(root / "left", look, ignore=shutil.ignore_patterns("*.half"))
    with closing(sqlite3.connect(look / "ledger.db")) as connection:
        return int(connection.execute("SELECT count(*) FROM messages").fetchone()[0])
