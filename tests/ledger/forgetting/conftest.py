"""What tests of forgetting share: the deletion path of a ledger, over folders inside the test's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from ledger.forgetting.deletion_path import Forgetting
from ledger.store import Ledger


@pytest.fixture
def forgetting(house: Ledger, tmp_path: Path) -> Forgetting:
    return Forgetting(house, datasets_dir=tmp_path / "datasets", runs_dir=tmp_path / "runs")
