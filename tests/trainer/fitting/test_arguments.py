"""A recipe in the Trainer's words."""

from __future__ import annotations

from pathlib import Path

import torch

from engine.model.loading import choose_placement
from tests.trainer.conftest import recipe_with
from trainer.fitting.arguments import training_arguments


def test_a_recipe_arrives_and_only_figures_are_reported(tmp_path: Path) -> None:
    recipe = recipe_with(epochs=7, learning_rate=3e-4, batch_size=2, accumulation_steps=8, seed=5)
    placement = choose_placement("cpu", "none", "float32")
    made = training_arguments(
        recipe, placement, warm=False, output_dir=tmp_path / "out", accumulation_steps=4
    )
    assert (made.num_train_epochs, made.learning_rate) == (7, 3e-4)
    assert (made.per_device_train_batch_size, made.gradient_accumulation_steps) == (2, 4)
    assert (made.seed, made.data_seed) == (5, 5)
    assert made.report_to == []
    assert made.device == torch.device("cpu")
    assert made.n_gpu <= 1
    assert not made.logging_nan_inf_filter
    assert not made.average_tokens_across_devices
