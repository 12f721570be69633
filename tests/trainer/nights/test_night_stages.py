"""A stage does nothing once the night is to end."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import pytest

from ledger.errors import RunCancelled
from ledger.settings import Settings
from ledger.store import Ledger
from tests.trainer.conftest import GUILD
from trainer.builders import plan_of
from trainer.nights.night_stages import NightStages
from trainer.progress import silent

T = TypeVar("T")


def stages(ledger: Ledger, settings: Settings, *, ending: bool) -> NightStages:
    async def work(work: Callable[[], T]) -> T:
        return work()

    return NightStages(
        ledger,
        plan_of(settings),
        GUILD,
        1,
        silent,
        lambda stage, step, steps: None,
        work,
        lambda: ending,
        lambda: False,
        lambda: ending,
    )


async def test_a_night_that_is_to_end_stops_before_its_next_stage(ledger: Ledger, settings: Settings) -> None:
    with pytest.raises(RunCancelled):
        stages(ledger, settings, ending=True).stop_if_ending()
    stages(ledger, settings, ending=False).stop_if_ending()
    assert await ledger.adapters.champion(GUILD) is None
