"""A package is read by a process that ends, from a file that goes, whatever happens meanwhile."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from bot.keeping.handing_in import PREFIX, HandingIn
from ledger.errors import ImportRefused
from tests.bot.house import trainer_command, until


async def save(path: Path) -> None:
    path.write_bytes(b"words")


def taker(folder: Path, script: Path, *, seconds: float = 20.0) -> HandingIn:
    return HandingIn(folder / "config.toml", folder, command=trainer_command(script), timeout_seconds=seconds)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("raise SystemExit(3)", "could not be read"),
        ("print('[1]')", "could not be read"),
        ("""print('{"error": "The database is in use."}')""", "The database is in use"),
    ],
)
async def test_a_trainer_that_fails_is_reported_and_the_file_goes(
    tmp_path: Path, script: Callable[[str], Path], text: str, told: str
) -> None:
    with pytest.raises(ImportRefused, match=told):
        await taker(tmp_path, script(text)).take(save, guild_id=1, user_id=2, channels=[3])
    assert list(tmp_path.glob(f"{PREFIX}*")) == []


async def test_a_trainer_that_hangs_is_ended_and_the_file_goes(
    tmp_path: Path, script: Callable[[str], Path]
) -> None:
    with pytest.raises(ImportRefused, match="so I stopped"):
        await taker(tmp_path, script("import time; time.sleep(60)"), seconds=0.1).take(
            save, guild_id=1, user_id=2, channels=[3]
        )
    assert list(tmp_path.glob(f"{PREFIX}*")) == []


async def test_a_bot_that_stops_meanwhile_ends_the_trainer_and_removes_the_file(
    tmp_path: Path, script: Callable[[str], Path]
) -> None:
    text = "import os, pathlib, sys, time\n"
    text += f"pathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(os.getpid()))\ntime.sleep(60)\n"
    handing_in = taker(tmp_path, script(text))
    task = asyncio.create_task(handing_in.take(save, guild_id=1, user_id=2, channels=[3]))
    await until(lambda: (tmp_path / "pid").is_file() and (tmp_path / "pid").read_text())
    with pytest.raises(ImportRefused, match="still reading"):
        await handing_in.take(save, guild_id=1, user_id=2, channels=[3])
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert list(tmp_path.glob(f"{PREFIX}*")) == []
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


async def test_what_a_killed_bot_left_goes_when_it_starts_again(tmp_path: Path) -> None:
    (tmp_path / f"{PREFIX}x").mkdir()
    (tmp_path / f"{PREFIX}x" / "package.zip").write_bytes(b"words")
    HandingIn(tmp_path / "config.toml", tmp_path).tidy_up()
    assert list(tmp_path.iterdir()) == []
