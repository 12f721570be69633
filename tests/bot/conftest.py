"""Fixtures of the bot's tests: an engine stand-in, a furnished house, and the real engine."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.bot.house import House, StandInEngine, open_house, settings_for, stand_in_engine


@pytest.fixture
async def engine() -> AsyncIterator[StandInEngine]:
    """An engine stand-in on a free port."""
    async with stand_in_engine() as running:
        yield running


@pytest.fixture
async def house(tmp_path: Path, engine: StandInEngine) -> AsyncIterator[House]:
    """A bot at work with the stand-in for its engine."""
    async with open_house(settings_for(tmp_path, engine.url)) as opened:
        yield opened


@pytest.fixture
def script(tmp_path: Path) -> Callable[[str], Path]:
    """Return a function that writes a Python script and gives its path."""

    def write(text: str) -> Path:
        path = tmp_path / "script.py"
        path.write_text(text, encoding="utf-8")
        return path

    return write
