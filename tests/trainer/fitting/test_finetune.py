"""Fine-tuning: what changes and what must not, kills and resumes, early stops, full disks, trackers."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
from collections import namedtuple
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from engine.model.adapter_files import verify
from engine.model.loading import base_fingerprint, choose_placement, load_base
from ledger.errors import (
    AdapterError,
    ConfigurationError,
    DatasetError,
    ModelError,
    NightschoolError,
    RunCancelled,
)
from tests.trainer.conftest import replies, write_dataset
from trainer.fitting.checkpoints import checkpoint_to_resume, last_whole
from trainer.fitting.finetune import fit
from trainer.fitting.loop import Loop
from trainer.fitting.preflight import check_finite
from trainer.fitting.recipe import Base, FitResult, Recipe
from trainer.fitting.scalars import Scalars
from trainer.progress import StageProgress

ROOT = Path(__file__).resolve().parents[3]


def train(dataset: Path, folder: Path, base: Base, recipe: Recipe, **options: Any) -> FitResult:
    return fit(
        dataset,
        folder / "adapter",
        base=base,
        recipe=recipe,
        work_dir=folder / "work",
        version="g7-v000001",
        **options,
    )


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


def test_the_adapter_directory_is_whole_and_loads_with_plain_peft(
    dataset_dir: Path, tmp_path: Path, base: Base, recipe: Recipe
) -> None:
    from peft import PeftModel

    train(dataset_dir, tmp_path, base, recipe, fields={"guild": 7})
    folder = tmp_path / "adapter"
    manifest = verify(folder, base_fingerprint=base_fingerprint(base.name))
    assert manifest.version == "g7-v000001"
    assert manifest.fields["guild"] == 7
    assert manifest.fields["recipe"]["lora_r"] == recipe.lora_r
    assert manifest.fields["libraries"]["torch"] == torch.__version__
    assert "train.jsonl" in manifest.fields["dataset"]
    config = json.loads((folder / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == base.name
    model = load_base(base.name, placement=choose_placement("cpu", "none", "float32"))
    PeftModel.from_pretrained(model, str(folder))
    saved = load_file(folder / "adapter_model.safetensors")
    assert all(tensor.dtype == torch.float32 and bool(tensor.any()) for tensor in saved.values())
    assert not list(folder.glob("*.bin"))
    assert not (folder / "README.md").exists()


def test_a_run_leaves_figures_and_no_message_text(
    dataset_dir: Path, tmp_path: Path, base: Base, recipe: Recipe
) -> None:
    result = train(dataset_dir, tmp_path, base, recipe)
    metrics = json.loads((tmp_path / "work" / "metrics.json").read_text())
    assert metrics["steps"] == result.steps
    assert metrics["peak_memory_bytes"] > 0
    logged = [entry for entry in metrics["history"] if "grad_norm" in entry]
    assert len(logged) == result.steps
    assert list((tmp_path / "work" / "tensorboard").glob("events.*"))
    log = (tmp_path / "work" / "training.log").read_text()
    assert "step 6 of 6" in log
    for path in (tmp_path / "work").rglob("*"):
        if path.is_file():
            assert b"umbrella" not in path.read_bytes() or path.name == "tokenizer.json"
    assert not logging.getLogger("trainer").handlers


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


KILLED = """
    import os, signal, sys
    from pathlib import Path
    from trainer.fitting.finetune import fit
    from trainer.fitting.loop import Loop
    from tests.trainer.conftest import base_at, recipe_with
    original = Loop._save_checkpoint
    def save_and_die(self, *arguments, **options):
        original(self, *arguments, **options)
        os.kill(os.getpid(), signal.SIGKILL)
    Loop._save_checkpoint = save_and_die
    dataset, folder, base = map(Path, sys.argv[1:4])
    fit(dataset, folder / "adapter", base=base_at(base),
        recipe=recipe_with(**eval(sys.argv[4])), work_dir=folder / "work", version="g7-v000001")
"""


def test_a_killed_run_goes_on_from_its_checkpoint_and_ends_with_the_same_steps(
    dataset_dir: Path, tmp_path: Path, base: Base, recipe: Recipe
) -> None:
    plain = {name: getattr(recipe, name) for name in recipe.__slots__}
    command = [sys.executable, "-c", textwrap.dedent(KILLED), str(dataset_dir), str(tmp_path), base.name]
    done = subprocess.run(
        [*command, repr(plain)], cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False
    )
    assert done.returncode == -signal.SIGKILL
    assert not (tmp_path / "adapter").exists()
    half = tmp_path / "work" / "checkpoints" / "checkpoint-99"
    half.mkdir()  # what a kill in the middle of a save leaves
    (half / "adapter_model.safetensors").write_bytes(b"half")
    resumed = train(dataset_dir, tmp_path, base, recipe)
    straight = train(dataset_dir, tmp_path / "straight", base, recipe)
    assert resumed.resumed_from == 3
    assert resumed.steps == straight.steps == 6
    ends = [
        load_file(folder / "adapter" / "adapter_model.safetensors")
        for folder in (tmp_path, tmp_path / "straight")
    ]
    for name, tensor in ends[1].items():
        torch.testing.assert_close(ends[0][name], tensor, atol=1e-5, rtol=1e-4)
    assert [entry["step"] for entry in resumed.history if "eval_loss" in entry] == [0, 3, 6]


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


def test_a_full_disk_is_told_before_training_starts(
    dataset_dir: Path, tmp_path: Path, base: Base, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("trainer.fitting.preflight.shutil.disk_usage", lambda path: usage(10, 9, 1_000_000))
    with pytest.raises(DatasetError, match=r"needs .* MB of disk at .* and only 1 MB are free: make room"):
        train(dataset_dir, tmp_path, base, recipe)
    assert not (tmp_path / "adapter").exists()


def test_a_dataset_without_a_usable_reply_is_refused(tmp_path: Path, base: Base, recipe: Recipe) -> None:
    dataset = write_dataset(tmp_path / "dataset", {"train": [], "val": replies(0, 2), "test": replies(2, 2)})
    with pytest.raises(DatasetError, match="no usable reply to learn from"):
        train(dataset, tmp_path, base, recipe)


def test_a_dataset_that_was_altered_is_refused(
    dataset_dir: Path, tmp_path: Path, base: Base, recipe: Recipe
) -> None:
    with (dataset_dir / "val.jsonl").open("a") as file:
        file.write("\n")
    with pytest.raises(DatasetError, match=r"val\.jsonl is missing or not what its manifest says"):
        train(dataset_dir, tmp_path, base, recipe)
    with pytest.raises(DatasetError, match=r"no manifest\.json"):
        train(tmp_path, tmp_path, base, recipe)


def test_a_tracker_that_is_not_installed_is_named_with_the_fix(
    dataset_dir: Path, tmp_path: Path, base: Base, recipe: Recipe
) -> None:
    with pytest.raises(ConfigurationError, match="`pip install mlflow`") as told:
        train(dataset_dir, tmp_path, base, replace(recipe, trackers=("mlflow",)))
    assert list(told.value.problems) == ["training.trackers"]


def test_an_adapter_with_a_wrong_hash_is_refused(
    dataset_dir: Path, tmp_path: Path, base: Base, recipe: Recipe
) -> None:
    from trainer.evaluating.evaluation import evaluate

    train(dataset_dir, tmp_path, base, replace(recipe, epochs=1))
    weights = tmp_path / "adapter" / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    with pytest.raises(AdapterError, match="was altered"):
        evaluate(dataset_dir, tmp_path / "adapter", base=base, max_tokens=256)


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


@pytest.mark.gpu
def test_a_4bit_fit_on_a_gpu_learns(dataset_dir: Path, tmp_path: Path, base: Base, recipe: Recipe) -> None:
    result = train(
        dataset_dir, tmp_path, replace(base, device="cuda", quantization="4bit", dtype="auto"), recipe
    )
    assert result.packed
    assert "4-bit" in result.placement
    assert result.validation["best"] < result.validation["before"]
    assert result.peak_memory_bytes > 0


@pytest.mark.slow
def test_a_4bit_fit_on_a_cpu_reaches_every_layer_and_leaves_the_base_alone(
    dataset_dir: Path, tmp_path: Path, base: Base, recipe: Recipe, watched: dict[str, Any]
) -> None:
    result = train(dataset_dir, tmp_path, replace(base, quantization="4bit", dtype="bfloat16"), recipe)
    assert result.validation["best"] < result.validation["before"]
    assert unchanged(watched) == {name for name in watched["before"] if "lora_" not in name}


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


def test_a_deletion_that_takes_the_tensorboard_folder_away_leaves_no_strangers_traceback(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    threads = threading.active_count()
    scalars = Scalars(tmp_path / "tensorboard")
    arguments, state, control = (SimpleNamespace(global_step=3) for _ in range(3))
    scalars.on_log(arguments, state, control, {"loss": 2.5, "note": "not a figure"})  # type: ignore[arg-type]
    [file] = (tmp_path / "tensorboard").iterdir()
    [_, event] = EventFileLoader(str(file)).Load()
    assert event.step == 3
    [value] = event.summary.value
    assert (value.tag, value.tensor.float_val[0]) == ("loss", 2.5)
    shutil.rmtree(tmp_path / "tensorboard")
    scalars.on_log(arguments, state, control, {"loss": 2.4})  # type: ignore[arg-type]
    scalars.close()
    assert not (tmp_path / "tensorboard").exists()
    assert threading.active_count() == threads
    assert capfd.readouterr().err == ""


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
