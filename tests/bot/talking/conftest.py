"""A desk at which answers are thought up and written down."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from ledger.store import Ledger
from tests.bot.house import StandInEngine
from tests.bot.talking.desk import Desk, Ticks, desk_at


@pytest.fixture
def ticks() -> Ticks:
    return Ticks()


@pytest.fixture
async def desk(engine: StandInEngine, ledger: Ledger, ticks: Ticks) -> AsyncIterator[Desk]:
    async with desk_at(engine.url, ledger, ticks) as opened:
        yield opened
