"""A dataset directory: whole or not there, and read only where it is what its manifest says."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ledger.errors import DatasetError
from ledger.settings import Settings
from ledger.store import Ledger
from tests.trainer.conftest import GUILD, fill, replies, write_dataset
from trainer.builders import dataset_limits_of
from trainer.preparing.dataset import DatasetLimits, Prepared, prepare
from trainer.preparing.dataset_files import MORE_PARTS, PARTS, has_part, read_lines, read_manifest

LIMITS = replace(dataset_limits_of(Settings()), max_messages=8, overlap_messages=2)


async def prepared(ledger: Ledger, folder: Path, limits: DatasetLimits = LIMITS, **options: Any) -> Prepared:
    return await prepare(ledger, GUILD, folder, limits, bot_name="Nightschool", **options)


async def test_a_dataset_that_cannot_be_written_leaves_the_old_one(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(ledger, 30)
    await prepared(ledger, tmp_path / "set")
    before = read_manifest(tmp_path / "set")

    def full(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("trainer.preparing.dataset_files.os.fsync", full)
    with pytest.raises(DatasetError, match="No space left on device"):
        await prepared(ledger, tmp_path / "set")
    assert read_manifest(tmp_path / "set") == before
    assert [path.name for path in tmp_path.iterdir() if "set" in path.name] == ["set"]


async def test_the_manifest_says_what_is_in_the_dataset(
    ledger: Ledger, tmp_path: Path, settings: Settings
) -> None:
    await fill(ledger, 30)
    await prepared(ledger, tmp_path / "set", dataset_limits_of(settings), run="g7-night")
    manifest = json.loads((tmp_path / "set" / "manifest.json").read_text())
    assert manifest["run"] == "g7-night"
    assert manifest["guild"] == GUILD
    assert manifest["settings"]["max_messages"] == 8
    assert set(manifest["files"]) == {f"{part}.jsonl" for part in (*PARTS, *MORE_PARTS)}
    assert manifest["files"]["train.jsonl"]["targets"] == manifest["counts"]["train_replies"]


def test_a_dataset_of_which_a_file_was_altered_or_is_missing_is_refused(dataset_dir: Path) -> None:
    assert set(read_manifest(dataset_dir)["files"]) == {"train.jsonl", "val.jsonl", "test.jsonl"}
    (dataset_dir / "val.jsonl").write_text("")
    with pytest.raises(DatasetError, match=r"val\.jsonl is missing or not what its manifest says"):
        read_manifest(dataset_dir)
    (dataset_dir / "val.jsonl").unlink()
    with pytest.raises(DatasetError, match=r"val\.jsonl is missing or not what its manifest says"):
        read_manifest(dataset_dir)


@pytest.mark.parametrize(
    "broken", ["[]", "{", '{"messages": [], "targets": [0]}', '{"messages": [1], "targets": [0]}', ""]
)
def test_a_broken_line_is_named_by_its_number_and_never_quoted(tmp_path: Path, broken: str) -> None:
    whole = '{"messages": [{"role": "assistant", "content": "hello"}], "targets": [0]}'
    (tmp_path / "val.jsonl").write_text(f"{whole}\n{broken}\n")
    with pytest.raises(DatasetError, match=r"^Line 2 of .*val\.jsonl is no training example; make"):
        list(read_lines(tmp_path, "val"))


def test_a_part_that_is_missing_or_empty_is_not_there(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "set", {"train": replies(0, 1), "old": []})
    assert has_part(folder, "train")
    assert not has_part(folder, "old")
    assert not has_part(folder, "fresh")
