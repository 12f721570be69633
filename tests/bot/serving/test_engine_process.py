"""The bot's own engine: started, watched, restarted, and never left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bot.serving.engine_process import EngineProcess
from ledger.errors import EngineError
from tests.bot.house import ROOT, until

AT_ONCE = (0.0,)

SERVES = """
import json, os, pathlib, sys, time
with open(pathlib.Path(__file__).with_name("starts"), "a") as starts:
    starts.write(f"{os.getpid()} {os.environ['NIGHTSCHOOL_ENGINE_TOKEN']}\\n")
print("a library says hello")
print("7")
print(json.dumps({"ready": True, "url": "http://127.0.0.1:1"}), flush=True)
"""
UNTIL_STDIN_CLOSES = "sys.stdin.read()\n"


def engine_of(script: Path, **options: object) -> EngineProcess:
    command = (sys.executable, "-S", str(script))
    return EngineProcess(Path("config.toml"), command=command, restart_delays=AT_ONCE, **options)  # type: ignore[arg-type]


def starts(folder: Path) -> list[tuple[int, str]]:
    """Return number and token of each engine that was started."""
    lines = (folder / "starts").read_text().splitlines() if (folder / "starts").exists() else []
    return [(int(line.split()[0]), line.split()[1]) for line in lines]


def alive(number: int) -> bool:
    """Tell whether a process runs; one that ended and was not waited for yet does not."""
    try:
        state = Path(f"/proc/{number}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return _signalled(number)
    return state != "Z"


def _signalled(number: int) -> bool:
    if Path("/proc/self").exists():
        return False
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    return True


async def test_the_engine_is_started_with_a_token_of_its_own(
    script: Callable[[str], Path], tmp_path: Path
) -> None:
    async with engine_of(script(SERVES + UNTIL_STDIN_CLOSES)) as engine:
        with pytest.raises(EngineError, match="still loading"):
            engine.address()
        await engine.ready()
        [(number, token)] = starts(tmp_path)
        assert engine.address().url == "http://127.0.0.1:1"
        assert engine.address().key == token
        assert len(token) >= 32
        assert engine.generation == 1
        assert alive(number)
    assert not alive(number)


async def test_an_engine_that_was_killed_is_started_again_with_another_token(
    script: Callable[[str], Path], tmp_path: Path
) -> None:
    async with engine_of(script(SERVES + UNTIL_STDIN_CLOSES)) as engine:
        await engine.ready()
        [(number, old)] = starts(tmp_path)
        os.kill(number, signal.SIGKILL)
        await until(lambda: engine.generation == 2)
        new = starts(tmp_path)[1][1]
        assert new != old
        assert engine.address().key == new
        assert engine.restarts == 1
        assert engine.problem == ""


async def test_while_it_is_down_it_gives_the_reason(script: Callable[[str], Path], tmp_path: Path) -> None:
    path = script(SERVES + "sys.exit(5)\n")
    command = (sys.executable, "-S", str(path))
    async with EngineProcess(Path("x"), command=command, restart_delays=(60.0,)) as engine:
        await until(lambda: engine.problem)
        with pytest.raises(EngineError, match="exit code 5"):
            engine.address()


async def test_an_engine_that_cannot_start_says_why(script: Callable[[str], Path]) -> None:
    path = script(
        "import json, sys; print(json.dumps({'ready': False, 'error': 'No such model.'})); sys.exit(1)"
    )
    async with engine_of(path) as engine:
        with pytest.raises(EngineError, match="No such model"):
            await engine.ready()


async def test_a_command_that_does_not_exist_is_reported_and_tried_again() -> None:
    async with EngineProcess(Path("x"), command=("/nowhere/python",), restart_delays=AT_ONCE) as engine:
        with pytest.raises(EngineError, match="could not be started"):
            await asyncio.wait_for(engine.ready(), 5)
        await until(lambda: engine.restarts >= 2)


async def test_an_engine_that_never_gets_ready_is_given_up(script: Callable[[str], Path]) -> None:
    async with engine_of(script("import time; time.sleep(60)"), start_timeout=0.1) as engine:
        with pytest.raises(EngineError, match="did not load the model"):
            await engine.ready()


async def test_failed_starts_in_a_row_wait_longer_each_time(script: Callable[[str], Path]) -> None:
    path = script("import sys; sys.exit(1)")
    command = (sys.executable, "-S", str(path))
    async with EngineProcess(Path("x"), command=command, restart_delays=(0.0, 0.0, 0.0, 60.0)) as engine:
        await until(lambda: engine.restarts == 2)
        await until(lambda: "exit code 1" in engine.problem)
        assert engine.restarts == 2


async def test_an_engine_that_prints_a_lot_is_not_held_up(
    script: Callable[[str], Path], tmp_path: Path
) -> None:
    path = script(
        SERVES
        + "for _ in range(2000): print('x' * 1000)\n"
        + "sys.stdout.flush()\npathlib.Path(__file__).with_name('printed').touch()\nsys.stdin.read()\n"
    )
    async with engine_of(path) as engine:
        await engine.ready()
        await until((tmp_path / "printed").exists)
        assert engine.generation == 1


async def test_an_engine_that_ignores_the_signal_is_killed(
    script: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.serving.engine_process.STOP_SECONDS", 0.05)
    ignores = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    async with engine_of(script(ignores + SERVES + "time.sleep(60)\n")) as engine:
        await engine.ready()
    [(number, _)] = starts(tmp_path)
    assert not alive(number)


PARENT = """
import aiohttp, asyncio, sys
from pathlib import Path
from bot.serving.engine_client import EngineClient, AnswerSampling
from bot.serving.engine_process import EngineProcess

async def main():
    sampling = AnswerSampling(max_tokens=6, temperature=0.0, top_p=1.0)
    turns = [{"role": "user", "content": "ann: hello"}]
    async with aiohttp.ClientSession() as session, EngineProcess(Path(sys.argv[1])) as engine:
        await engine.ready()
        client = EngineClient(session, engine.address)
        assert "".join([piece.text async for piece in client.stream("base", turns, sampling, guild_id=None)])
        print(engine._process.pid, flush=True)
        await asyncio.sleep(120)

asyncio.run(main())
"""


def test_the_real_engine_answers_its_bot_and_ends_when_the_bot_is_killed(config_file: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(config_file)], stdout=subprocess.PIPE, cwd=ROOT, text=True
    ) as bot:
        try:
            assert bot.stdout is not None
            number = int(bot.stdout.readline())
            assert alive(number)
        finally:
            bot.kill()
    deadline = time.monotonic() + 10
    while alive(number):
        assert time.monotonic() < deadline, "the engine outlives its bot"
        time.sleep(0.02)
