"""Fine-tuning: what changes and what must not, kills and resumes, early stops, full disks, trackers."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from engine.model.adapter_files import verify
from engine.model.loading import base_fingerprint, choose_placement, load_base
from ledger.errors import AdapterError, DatasetError
from tests.trainer.conftest import replies, train, write_dataset
from trainer.fitting.finetune import begun_from
from trainer.fitting.recipe import Base, Recipe

ROOT = Path(__file__).resolve().parents[3]


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


def test_a_fit_goes_on_from_what_says_its_form_of_prompts_alone(
    dataset_dir: Path, tmp_path: Path, base: Base, recipe: Recipe
) -> None:
    quick = replace(recipe, epochs=1)
    train(dataset_dir, tmp_path, base, quick)
    assert begun_from(tmp_path / "adapter", base, quick)
    manifest = dataset_dir / "manifest.json"
    fields = json.loads(manifest.read_text(encoding="utf-8"))
    assert fields.pop("form")
    manifest.write_text(json.dumps(fields), encoding="utf-8")  # as people write one by hand
    train(dataset_dir, tmp_path / "by hand", base, quick)
    with pytest.raises(AdapterError, match="names none"):
        begun_from(tmp_path / "by hand" / "adapter", base, quick)


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


@pytest.mark.gpu
def test_a_4bit_fit_on_a_gpu_learns(dataset_dir: Path, tmp_path: Path, base: Base, recipe: Recipe) -> None:
    result = train(
        dataset_dir, tmp_path, replace(base, device="cuda", quantization="4bit", dtype="auto"), recipe
    )
    assert result.packed
    assert "4-bit" in result.placement
    assert result.validation["best"] < result.validation["before"]
    assert result.peak_memory_bytes > 0
