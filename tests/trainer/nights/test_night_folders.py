"""A night's files: put in place whole, cleared of what is not theirs, and removed in time."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.model.adapter_files import verify, write_manifest
from engine.model.loading import base_fingerprint
from ledger.errors import AdapterError
from ledger.settings import Settings
from ledger.store import Ledger
from tests.trainer.conftest import GUILD, changed, fill, night
from trainer.nights.night_folders import DATASETS_KEPT, NightFolders, drop_old_datasets, publish


async def test_what_another_run_left_in_a_versions_place_is_not_taken_for_its_own(
    ledger: Ledger, quick: Settings
) -> None:
    """A database that was restored counts versions anew, and a folder of a later one may lie there still."""
    await fill(ledger)
    folder = quick.adapters_dir / str(GUILD) / f"g{GUILD}-v000001"
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text("{}", encoding="utf-8")
    (folder / "adapter_model.safetensors").write_bytes(b"what somebody forgotten said")
    write_manifest(folder, version=folder.name, base_fingerprint="0" * 64, run=f"g{GUILD}-20300101T000000")
    outcome = await night(ledger, changed(quick, "training", epochs=1))
    assert outcome.error is None
    manifest = verify(folder, base_fingerprint=base_fingerprint(quick.base_model()))
    assert manifest.fields["run"] == outcome.run


def test_a_version_is_published_whole_and_never_twice(tmp_path: Path) -> None:
    folders = NightFolders.of("g7-run", datasets_dir=tmp_path / "datasets", runs_dir=tmp_path / "runs")
    folders.fitted.mkdir(parents=True)
    (folders.fitted / "report.md").write_text("whole", encoding="utf-8")
    final = tmp_path / "adapters" / "7" / "g7-v000001"
    publish(folders.fitted, final)
    assert (final / "report.md").read_text(encoding="utf-8") == "whole"
    assert not folders.fitted.exists()
    folders.fitted.mkdir(parents=True)
    with pytest.raises(AdapterError, match="never written twice"):
        publish(folders.fitted, final)
    assert (final / "report.md").is_file()


def test_a_guilds_newest_datasets_stay_and_other_guilds_are_left_alone(tmp_path: Path) -> None:
    mine = [tmp_path / f"g7-2026030{day}T030000" for day in range(1, DATASETS_KEPT + 3)]
    others = [tmp_path / "g70-20260101T030000", tmp_path / "by-hand"]
    for folder in (*mine, *others):
        folder.mkdir()
    drop_old_datasets(tmp_path, 7)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        folder.name for folder in (*mine[-DATASETS_KEPT:], *others)
    )


def test_checkpoints_go_and_the_rest_of_a_run_stays(tmp_path: Path) -> None:
    folders = NightFolders.of("g7-run", datasets_dir=tmp_path, runs_dir=tmp_path / "runs")
    (folders.work / "checkpoints" / "checkpoint-3").mkdir(parents=True)
    folders.metrics.write_text("{}", encoding="utf-8")
    folders.drop_checkpoints()
    assert [path.name for path in folders.work.iterdir()] == ["metrics.json"]
    folders.drop_checkpoints()  # nothing to do is no fault
