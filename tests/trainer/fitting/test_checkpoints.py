"""Which checkpoint a cut-off fit resumes: the newest whole one, of the very same fit."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch

from ledger.errors import (
    RunCancelled,
)
from tests.trainer.conftest import train
from trainer.fitting.checkpoints import checkpoint_to_resume, last_whole
from trainer.fitting.recipe import Base, Recipe


def test_checkpoints_of_another_recipe_or_dataset_are_not_gone_on_from(tmp_path: Path) -> None:
    def checkpoint() -> Path:
        folder = tmp_path / "checkpoints" / "checkpoint-3"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "trainer_state.json").write_text('{"global_step": 3}')
        for name in ("adapter_model.safetensors", "optimizer.pt", "scheduler.pt"):
            (folder / name).touch()
        return folder

    assert checkpoint_to_resume(tmp_path, {"dataset": "a"}) is None
    folder = checkpoint()
    assert checkpoint_to_resume(tmp_path, {"dataset": "a"}) == folder
    assert checkpoint_to_resume(tmp_path, {"dataset": "b"}) is None
    assert not folder.exists()


def test_a_checkpoint_that_is_not_whole_is_removed(tmp_path: Path) -> None:
    for step, state in ((3, '{"global_step": 3}'), (6, '{"global'), (9, '{"global_step": 9}')):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        (folder / "trainer_state.json").write_text(state)
        for name in ("adapter_model.safetensors", "optimizer.pt", "scheduler.pt"):
            (folder / name).touch()
    (tmp_path / "checkpoint-9" / "optimizer.pt").unlink()
    assert last_whole(tmp_path) == tmp_path / "checkpoint-3"
    assert [folder.name for folder in tmp_path.iterdir()] == ["checkpoint-3"]
    assert last_whole(tmp_path / "nowhere") is None


def test_a_checkpoint_that_holds_a_pickled_object_is_refused(
    dataset_dir: Path, tmp_path: Path, base: Base, recipe: Recipe
) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return (os.mkdir, (str(tmp_path / "executed"),))

    steps: list[int] = []
    with pytest.raises(RunCancelled):
        train(
            dataset_dir,
            tmp_path,
            base,
            recipe,
            reporter=lambda done: steps.append(done.step),
            cancelled=lambda: len(steps) > 7,
        )
    newest = last_whole(tmp_path / "work" / "checkpoints")
    assert newest is not None
    torch.save(Evil(), newest / "optimizer.pt")
    with pytest.raises(Exception, match=r"[Ww]eights.only"):
        train(dataset_dir, tmp_path, base, recipe)
    assert not (tmp_path / "executed").exists()
