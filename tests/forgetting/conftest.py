"""One trained server a session, for the tests that forget somebody in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bot.conftest import real_engine
from tests.forgetting.trained import build

__all__ = ["real_engine", "trained"]


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Compute on one thread: on a busy machine, threads that wait for each other take most of the time."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, tiny_base: Path) -> Path:
    """A root folder with a ledger, a dataset, a run and two versions that saw ann's words."""
    return build(tmp_path_factory.mktemp("trained") / "root", tiny_base)
