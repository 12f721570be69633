"""One trained server a session, for the tests that forget somebody in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.forgetting.trained import build


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, tiny_base: Path) -> Path:
    """A root folder with a ledger, a dataset, a run and two versions that saw ann's words."""
    return build(tmp_path_factory.mktemp("trained") / "root", tiny_base)
