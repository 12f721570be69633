"""The village's past is the same for all tests that only read it."""

from __future__ import annotations

import pytest

from tests.trainer.choosing import villages
from trainer.choosing.server_past import ServerPast


@pytest.fixture(scope="session")
def village() -> ServerPast:
    return villages.past()
