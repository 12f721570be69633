"""The loop: losses, early stops, what it is told from outside, and TensorBoard's file."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from ledger.errors import (
    RunCancelled,
)
from tests.trainer.conftest import replies, train, write_dataset
from trainer.fitting.recipe import Base, Recipe
from trainer.progress import StageProgress


def test_packed_or_padded_training_ends_with_the_same_loss(
    dataset_dir: Path, tmp_path: Path, base: Base, recipe: Recipe
) -> None:
    packed = train(dataset_dir, tmp_path / "packed", base, recipe)
    padded = train(dataset_dir, tmp_path / "padded", base, replace(recipe, packing=False))
    assert packed.packed
    assert not padded.packed
    assert packed.train_tokens == padded.train_tokens
    losses = [[entry["loss"] for entry in run.history if "loss" in entry] for run in (packed, padded)]
    assert losses[0] == pytest.approx(losses[1], abs=2e-3)


def test_training_stops_early_and_keeps_the_best_epoch(tmp_path: Path, base: Base, recipe: Recipe) -> None:
    parts = {"train": replies(0, 12), "val": replies(12, 4), "test": replies(16, 4)}
    for value in parts["val"]:  # what is learned makes these less likely
        value["messages"][2]["content"] = "zzz qqq xxx"
    dataset = write_dataset(tmp_path / "dataset", parts)
    result = train(dataset, tmp_path, base, replace(recipe, epochs=12, learning_rate=2e-2))
    assert result.epochs < 12
    checks = [entry for entry in result.history if "eval_loss" in entry]
    best = min(checks[1:], key=lambda entry: entry["eval_loss"])
    assert result.best_step == best["step"]


def test_a_stop_ends_training_and_leaves_no_adapter(
    dataset_dir: Path, tmp_path: Path, base: Base, recipe: Recipe
) -> None:
    steps: list[int] = []

    def reporter(done: StageProgress) -> None:
        steps.append(done.step)

    with pytest.raises(RunCancelled):
        train(dataset_dir, tmp_path, base, recipe, reporter=reporter, cancelled=lambda: len(steps) >= 3)
    assert len(steps) == 3
    assert not (tmp_path / "adapter").exists()
    assert not logging.getLogger("trainer").handlers


def test_a_fit_that_has_to_be_left_goes_on_from_the_update_it_had_come_to(
    dataset_dir: Path, tmp_path: Path, base: Base, recipe: Recipe
) -> None:
    told: list[int] = []

    def reporter(done: StageProgress) -> None:
        told.append(done.step)

    long = replace(recipe, epochs=3, accumulation_steps=1)  # 6 updates an epoch, a checkpoint at its end
    with pytest.raises(RunCancelled, match="goes on from where it was"):
        train(dataset_dir, tmp_path, base, long, reporter=reporter, leaving=lambda: 3 in told)
    left = max(told)
    assert left < 6
    result = train(dataset_dir, tmp_path, base, long)
    assert result.resumed_from in {left, left + 1}
    assert result.steps == 18
