"""A house in which somebody agreed: what is kept is kept of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.bot.house import House, StandInEngine, open_house, settings_for


@pytest.fixture
async def house(tmp_path: Path, engine: StandInEngine) -> AsyncIterator[House]:
    """A house in which ann has opted in, and ben and the boss have not."""
    async with open_house(settings_for(tmp_path, engine.url)) as opened:
        await opened.ann.slash(opened.general, "privacy opt-in")
        yield opened
