"""What a fit can run out of, told before it starts or in a sentence that says what to do."""

from __future__ import annotations

from collections import namedtuple
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from ledger.errors import (
    ConfigurationError,
    DatasetError,
    ModelError,
    NightschoolError,
)
from tests.trainer.conftest import train
from trainer.fitting.loop import Loop
from trainer.fitting.preflight import check_finite
from trainer.fitting.recipe import Base, Recipe


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), "GPU ran out of memory while training: lower"),
        (OSError(28, "No space left on device"), "No space left on device"),
    ],
)
def test_memory_or_disk_that_runs_out_while_training_is_told_in_a_sentence(
    dataset_dir: Path,
    tmp_path: Path,
    base: Base,
    recipe: Recipe,
    monkeypatch: pytest.MonkeyPatch,
    fault: Exception,
    told: str,
) -> None:
    def burst(*arguments: Any, **options: Any) -> Any:
        raise fault

    monkeypatch.setattr(Loop, "compute_loss", burst)
    with pytest.raises(NightschoolError, match=told):
        train(dataset_dir, tmp_path, base, recipe)
    assert not (tmp_path / "adapter").exists()


def test_a_full_disk_is_told_before_training_starts(
    dataset_dir: Path, tmp_path: Path, base: Base, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("trainer.fitting.preflight.shutil.disk_usage", lambda path: usage(10, 9, 1_000_000))
    with pytest.raises(DatasetError, match=r"needs .* MB of disk at .* and only 1 MB are free: make room"):
        train(dataset_dir, tmp_path, base, recipe)
    assert not (tmp_path / "adapter").exists()


def test_a_tracker_that_is_not_installed_is_named_with_the_fix(
    dataset_dir: Path, tmp_path: Path, base: Base, recipe: Recipe
) -> None:
    with pytest.raises(ConfigurationError, match="`pip install mlflow`") as told:
        train(dataset_dir, tmp_path, base, replace(recipe, trackers=("mlflow",)))
    assert list(told.value.problems) == ["training.trackers"]


@pytest.mark.parametrize("change", [{"learning_rate": 1e30}, {"lora_alpha": 10**30}])
def test_a_loss_that_is_no_number_is_told_and_leaves_no_adapter(
    change: dict[str, Any], dataset_dir: Path, tmp_path: Path, base: Base, recipe: Recipe
) -> None:
    with pytest.raises(ModelError, match=r"no finite number.*learning_rate"):
        train(dataset_dir, tmp_path, base, replace(recipe, accumulation_steps=1, **change))
    assert not (tmp_path / "adapter").exists()
    assert not (tmp_path / "work" / "metrics.json").exists()


def test_weights_that_are_no_numbers_are_refused_by_name_of_the_setting() -> None:
    good, bad = torch.ones(2), torch.tensor([1.0, float("nan")])
    check_finite({"a": good})
    with pytest.raises(ModelError, match="1 of 2 trained matrices"):
        check_finite({"a": good, "b": bad})
