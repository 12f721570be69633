"""A version at half of its strength: the same in its files as switched in memory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from engine.model.adapter_files import read_manifest, verify, write_manifest
from engine.model.loading import base_fingerprint
from ledger.errors import AdapterError
from tests.trainer.conftest import train
from trainer.evaluating.measuring import encoded_part
from trainer.evaluating.scaling import bake_scale
from trainer.evaluating.switched_model import SwitchedModel
from trainer.fitting.recipe import Base, Recipe
from trainer.scoring.tally import total

WEIGHTS = "adapter_model.safetensors"


@pytest.fixture
def adapter(dataset_dir: Path, tmp_path: Path, base: Base, recipe: Recipe) -> Path:
    train(dataset_dir, tmp_path, base, replace(recipe, epochs=1))
    return tmp_path / "adapter"


def nll(adapter: Path, dataset: Path, base: Base, *, scale: float = 1.0) -> float:
    rows = encoded_part(dataset, "test", base, 256)
    model = SwitchedModel(
        base,
        {"version": adapter},
        max_tokens=256,
        rows=rows,
        packing=False,
        reporter=lambda progress: None,
        cancelled=lambda: False,
    )
    return total(model.score("version", rows, scale=scale)).mean


def test_baked_into_its_files_a_scale_gives_what_was_measured(
    adapter: Path, dataset_dir: Path, base: Base
) -> None:
    full, measured = nll(adapter, dataset_dir, base), nll(adapter, dataset_dir, base, scale=0.5)
    assert abs(full - measured) > 1e-4
    before = load_file(adapter / WEIGHTS)
    bake_scale(adapter, 0.5)
    after = load_file(adapter / WEIGHTS)
    assert all(after[name].equal(before[name] * (0.5 if "lora_B" in name else 1.0)) for name in before)
    assert nll(adapter, dataset_dir, base) == pytest.approx(measured, abs=1e-6)
    manifest = verify(adapter, base_fingerprint=base_fingerprint(base.name, base.revision))
    assert manifest.fields["scale"] == 0.5


def test_a_resumed_night_weakens_nothing_twice(adapter: Path) -> None:
    bake_scale(adapter, 1.0)
    assert "scale" not in read_manifest(adapter).fields
    bake_scale(adapter, 0.75)
    once = load_file(adapter / WEIGHTS)
    bake_scale(adapter, 0.75)
    assert all(weight.equal(once[name]) for name, weight in load_file(adapter / WEIGHTS).items())
    with pytest.raises(AdapterError, match=r"weakened to 0\.75 before"):
        bake_scale(adapter, 0.5)


def test_an_adapter_without_lora_weights_is_refused(adapter: Path) -> None:
    weights = load_file(adapter / WEIGHTS)
    save_file({"strange": next(iter(weights.values()))}, str(adapter / WEIGHTS))
    write_manifest(adapter, **read_manifest(adapter).fields)
    with pytest.raises(AdapterError, match="no LoRA weights"):
        bake_scale(adapter, 0.5)
