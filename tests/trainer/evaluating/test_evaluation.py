"""Candidate, champion and bare base on the same replies; what cannot be compared is refused or noted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ledger.errors import (
    AdapterError,
)
from tests.trainer.conftest import train
from trainer.fitting.recipe import Base, Recipe


def test_an_adapter_with_a_wrong_hash_is_refused(
    dataset_dir: Path, tmp_path: Path, base: Base, recipe: Recipe
) -> None:
    from trainer.evaluating.evaluation import evaluate

    train(dataset_dir, tmp_path, base, replace(recipe, epochs=1))
    weights = tmp_path / "adapter" / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    with pytest.raises(AdapterError, match="was altered"):
        evaluate(dataset_dir, tmp_path / "adapter", base=base, max_tokens=256)
