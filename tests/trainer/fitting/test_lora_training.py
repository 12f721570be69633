"""What LoRA training changes and what it must not, in each number format."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from ledger.errors import AdapterError, ModelError
from tests.trainer.conftest import train
from trainer.fitting.loop import Loop
from trainer.fitting.lora_training import averaged, continuable, pack_if_possible
from trainer.fitting.recipe import Base, Recipe
from trainer.scoring.batches import EncodedRow
from trainer.scoring.packed_attention import use_plain_attention


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, torch.Tensor]]:
    """All weights of the model ``before`` and ``after`` training."""
    seen: dict[str, dict[str, torch.Tensor]] = {}
    original = Loop.train

    def train_watched(loop: Loop, *arguments: Any, **options: Any) -> Any:
        weights = dict(loop.model.named_parameters())
        seen["before"] = {name: weight.detach().clone() for name, weight in weights.items()}
        result = original(loop, *arguments, **options)
        seen["after"] = {name: weight.detach().clone() for name, weight in weights.items()}
        return result

    monkeypatch.setattr(Loop, "train", train_watched)
    return seen


def unchanged(seen: dict[str, dict[str, torch.Tensor]]) -> set[str]:
    return {name for name, weight in seen["before"].items() if torch.equal(weight, seen["after"][name])}


def test_every_lora_tensor_changes_and_the_base_does_not(
    dataset_dir: Path, tmp_path: Path, base: Base, recipe: Recipe, watched: dict[str, Any]
) -> None:
    result = train(dataset_dir, tmp_path, base, recipe)
    lora = {name for name in watched["before"] if "lora_" in name}
    assert len(lora) == 2 * 7 * 2
    assert unchanged(watched) == watched["before"].keys() - lora
    assert result.validation["best"] < result.validation["before"]
    assert result.steps == 6
    assert result.packed


@pytest.mark.slow
def test_gradient_checkpointing_gives_the_same_losses(
    dataset_dir: Path, tmp_path: Path, base: Base, recipe: Recipe
) -> None:
    plain = train(dataset_dir, tmp_path / "plain", base, recipe)
    saving = train(dataset_dir, tmp_path / "saving", base, replace(recipe, gradient_checkpointing=True))
    assert saving.train_loss == pytest.approx(plain.train_loss, abs=1e-3)


@pytest.mark.slow
def test_bf16_trains_with_float32_lora_weights(
    dataset_dir: Path, tmp_path: Path, base: Base, recipe: Recipe
) -> None:
    result = train(dataset_dir, tmp_path, replace(base, dtype="bfloat16"), replace(recipe, lora_dropout=0.1))
    assert result.validation["best"] < result.validation["before"]
    saved = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    assert {tensor.dtype for tensor in saved.values()} == {torch.float32}


@pytest.mark.slow
def test_a_4bit_fit_on_a_cpu_reaches_every_layer_and_leaves_the_base_alone(
    dataset_dir: Path, tmp_path: Path, base: Base, recipe: Recipe, watched: dict[str, Any]
) -> None:
    result = train(dataset_dir, tmp_path, replace(base, quantization="4bit", dtype="bfloat16"), recipe)
    assert result.validation["best"] < result.validation["before"]
    assert unchanged(watched) == {name for name in watched["before"] if "lora_" not in name}


def test_packing_is_given_up_where_a_model_does_something_else_with_its_attention(
    model: Any, rows: list[EncodedRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert pack_if_possible(model, rows, wanted=True)
    use_plain_attention(model)
    assert not pack_if_possible(model, rows, wanted=False)

    def refuse(chosen: Any) -> bool:
        raise ModelError("This base model's attention cannot be packed.")

    monkeypatch.setattr("trainer.fitting.lora_training.use_packed_attention", refuse)
    assert not pack_if_possible(model, rows, wanted=True)
    assert model.config._attn_implementation == "sdpa"


def test_a_fit_goes_on_from_a_version_where_it_ended(
    dataset_dir: Path, tmp_path: Path, base: Base, recipe: Recipe, watched: dict[str, Any]
) -> None:
    first = train(dataset_dir, tmp_path / "one", base, recipe)
    ended = {name: weight for name, weight in watched["after"].items() if "lora_" in name}
    second = train(dataset_dir, tmp_path / "two", base, recipe, start=tmp_path / "one" / "adapter")
    assert all(torch.equal(watched["before"][name], weight) for name, weight in ended.items())
    assert unchanged(watched) == watched["before"].keys() - ended.keys()
    assert second.validation["before"] == pytest.approx(first.validation["best"], abs=1e-3)
    rates = [entry["learning_rate"] for entry in second.history if "learning_rate" in entry]
    assert max(rates) <= recipe.learning_rate * recipe.warm_rate
    assert rates[0] < max(rates) > rates[-1]  # risen and decayed anew


def test_a_start_of_another_shape_is_refused(
    dataset_dir: Path, tmp_path: Path, base: Base, recipe: Recipe
) -> None:
    train(dataset_dir, tmp_path / "one", base, recipe)
    start = tmp_path / "one" / "adapter"
    assert continuable(start, recipe)
    assert not continuable(start, replace(recipe, lora_r=2))
    assert not continuable(tmp_path / "nowhere", recipe)
    with pytest.raises(AdapterError, match="matrices of another shape"):
        train(dataset_dir, tmp_path / "two", base, replace(recipe, lora_r=2), start=start)


def test_weights_move_back_towards_where_they_began() -> None:
    layer = torch.nn.Linear(2, 2, bias=False)
    begun = {"weight": layer.weight.detach().clone()}
    with torch.no_grad():
        layer.weight.add_(1.0)
    averaged(layer, begun, 0.25)
    assert torch.allclose(layer.weight, begun["weight"] + 0.25)
