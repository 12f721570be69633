"""Fine-tuning: a dataset directory and a base model become an adapter directory.

``python -m trainer fit`` and the night both run ``fit``. It needs nothing but these two, so it can run on
another machine; it knows no ledger, no guild's rules and no champion. Started several times by
``torchrun``, the processes share each update, and the first alone writes.
"""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from peft.helpers import disable_input_dtype_casting
from transformers import EarlyStoppingCallback, PreTrainedTokenizerBase, set_seed

from engine.model.adapter_files import verify, write_manifest
from engine.model.loading import Placement, base_fingerprint, choose_placement, load_base, load_tokenizer
from ledger.errors import AdapterError, RunCancelled
from ledger.process.extras import missing
from ledger.talk.prompts import FORM
from trainer.fitting.arguments import training_arguments
from trainer.fitting.callbacks import LeaveAtStep, SaveByTheClock
from trainer.fitting.checkpoints import WEIGHTS, checkpoint_to_resume
from trainer.fitting.instruments import library_versions, peak_memory, training_log
from trainer.fitting.loop import Loop
from trainer.fitting.lora_training import (
    averaged,
    continuable,
    keep_differentiable,
    pack_if_possible,
    trained,
    with_lora,
)
from trainer.fitting.preflight import (
    check_disk,
    check_finite,
    check_gradients,
    check_trackers,
    exhaustion_explained,
)
from trainer.fitting.processes import Processes
from trainer.fitting.recipe import Base, FitResult, Recipe
from trainer.preparing.dataset_files import read_manifest, sha256
from trainer.progress import Reporter, silent
from trainer.scoring.batches import EncodedRow, pack, pad
from trainer.scoring.encoded_rows import load_part, rows_of
from trainer.stopping import LEFT

log = logging.getLogger("trainer")


def fit(
    dataset_dir: Path,
    out_dir: Path,
    *,
    base: Base,
    recipe: Recipe,
    work_dir: Path,
    version: str,
    start: Path | None = None,
    fields: dict[str, Any] | None = None,
    reporter: Reporter = silent,
    cancelled: Callable[[], bool] = lambda: False,
    leaving: Callable[[], bool] = lambda: False,
) -> FitResult:
    """Train LoRA matrices on ``dataset_dir`` and write them to ``out_dir``, which appears whole.

    They begin as those of the adapter directory ``start``, or fresh where that is None.

    ``work_dir`` holds checkpoints, ``training.log``, ``metrics.json`` and TensorBoard files; a run that was
    cut off resumes the last whole checkpoint there. ``fields`` are added to the manifest.

    Raises:
        AdapterError: ``start`` is altered, of another base, or has matrices of another shape.
        DatasetError: the dataset is broken, has no usable reply, or the disk is too full.
        ModelError: the base model cannot be loaded or trained, or what it learned is not finite.
        ConfigurationError: a tracker is not installed.
        RunCancelled: ``cancelled`` asked for it, or ``leaving`` did, which first writes a checkpoint.
    """
    check_trackers(recipe.trackers)
    manifest = read_manifest(dataset_dir)
    processes = Processes.from_environment()
    processes.share_of(recipe.accumulation_steps)  # refused before the model is loaded
    began_from = ""
    if start is not None:
        began_from = begun_from(start, base, recipe)
    work_dir.mkdir(parents=True, exist_ok=True)
    with training_log(work_dir / "training.log") if processes.is_main else nullcontext():
        placement = choose_placement(base.device, base.quantization, base.dtype)
        log.info("placement: %s", placement.reason)
        tokenizer = load_tokenizer(base.name, revision=base.revision, chat_template=base.chat_template)
        load = partial(load_part, dataset_dir, tokenizer=tokenizer, max_tokens=recipe.max_tokens)
        train, validation = load(part="train"), rows_of(load(part="val"))
        log.info("%d examples to train on, %d to validate with", len(train), len(validation))
        set_seed(recipe.seed)
        processes.take_device(placement.device)
        model = load_base(base.name, revision=base.revision, placement=placement)
        fitting = _Fitting(
            base,
            recipe,
            placement,
            work_dir,
            tokenizer,
            processes,
            start,
            reporter=reporter if processes.is_main else silent,
            cancelled=cancelled,
            leaving=leaving,
        )
        try:
            return fitting.run(
                model,
                train,
                validation,
                out_dir,
                version,
                {
                    "dataset": manifest["files"],
                    # What the dataset does not say, a later fit must not take for granted.
                    "form": manifest.get("form", ""),
                    "started_from": began_from,
                    **(fields or {}),
                },
            )
        finally:
            processes.close()


class _Fitting:
    """One call of :func:`fit`."""

    def __init__(
        self,
        base: Base,
        recipe: Recipe,
        placement: Placement,
        work_dir: Path,
        tokenizer: PreTrainedTokenizerBase,
        processes: Processes,
        start: Path | None,
        *,
        reporter: Reporter,
        cancelled: Callable[[], bool],
        leaving: Callable[[], bool],
    ) -> None:
        self.base, self.recipe, self.placement = base, recipe, placement
        self.work_dir, self.tokenizer, self.processes = work_dir, tokenizer, processes
        self.start = start
        self.reporter, self.cancelled, self.leaving = reporter, cancelled, leaving

    def run(
        self,
        model: Any,
        train: Any,
        validation: list[EncodedRow],
        out_dir: Path,
        version: str,
        fields: dict[str, Any],
    ) -> FitResult:
        keep_differentiable(model)
        packed = pack_if_possible(
            model, rows_of(train.select(range(min(3, len(train))))), wanted=self.recipe.packing
        )
        adapted = with_lora(model, self.recipe, self.placement, start=self.start)
        begun = {name: weight.detach().clone() for name, weight in trained(adapted).items()}
        check_disk(self.work_dir, sum(weight.numel() for weight in trained(adapted).values()))
        if self.placement.device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        loop = self._loop(adapted, train, validation, packed)
        checkpoint = self._checkpoint(fields)
        began = time.monotonic()
        with self._scalars(loop), exhaustion_explained(self.work_dir):
            self._train(loop, adapted, checkpoint)
        check_gradients([entry["grad_norm"] for entry in loop.state.log_history if "grad_norm" in entry])
        check_finite(trained(adapted))
        if self.start is not None and self.recipe.average < 1:
            averaged(adapted, begun, self.recipe.average)
        result = self._result(loop, packed, len(train), time.monotonic() - began, checkpoint)
        if self.processes.is_main:
            self._save(adapted, out_dir, version, result, fields)
        self.processes.wait()  # every process has read the best checkpoint, and the adapter is whole
        if self.processes.is_main:
            shutil.rmtree(self.work_dir / "checkpoints", ignore_errors=True)
        return result

    def _checkpoint(self, fields: dict[str, Any]) -> Path | None:
        """Return the checkpoint to resume, which the main process chooses; None to start afresh."""
        step = 0
        if self.processes.is_main:
            found = checkpoint_to_resume(self.work_dir, self._identity(fields))
            step = int(found.name.rpartition("-")[2]) if found else 0
        step = int(self.processes.sums([step])[0])
        return self.work_dir / "checkpoints" / f"checkpoint-{step}" if step else None

    @contextmanager
    def _scalars(self, loop: Loop) -> Iterator[None]:
        """Write TensorBoard's file while training, in the main process."""
        if not self.processes.is_main:
            yield
            return
        if missing("trackers"):
            log.info("TensorBoard is not installed (extra `trackers`): no curves are written for it")
            yield
            return
        from trainer.fitting.scalars import Scalars  # what it needs may be missing

        scalars = Scalars(self.work_dir / "tensorboard")
        loop.add_callback(scalars)
        try:
            yield
        finally:
            scalars.close()

    def _identity(self, fields: dict[str, Any]) -> dict[str, Any]:
        """Return what must match before a checkpoint may be resumed."""
        return {
            "dataset": fields["dataset"],
            "started_from": fields["started_from"],
            "base": asdict(self.base),
            "recipe": asdict(self.recipe),
            "placement": [self.placement.device, str(self.placement.dtype), self.placement.quantization],
        }

    def _loop(self, adapted: PeftModel, train: Any, validation: Sequence[EncodedRow], packed: bool) -> Loop:
        pad_id = int(self.tokenizer.pad_token_id or 0)
        loop = Loop(
            model=adapted,
            args=training_arguments(
                self.recipe,
                self.placement,
                warm=self.start is not None,
                output_dir=self.work_dir / "checkpoints",
                accumulation_steps=self.processes.share_of(self.recipe.accumulation_steps),
            ),
            train_dataset=train,
            eval_dataset=validation,
            data_collator=pack if packed else partial(pad, pad_id=pad_id),
            validation=validation,
            packed=packed,
            pad_id=pad_id,
            compute_dtype=self.placement.dtype if self.placement.dtype == torch.bfloat16 else None,
            reporter=self.reporter,
            cancelled=self.cancelled,
            processes=self.processes,
        )
        if not self.processes.is_main:
            # The same seed would drop the same elements in every process's batches.
            torch.manual_seed(self.recipe.seed + self.processes.index)
        loop.add_callback(LeaveAtStep(self._asked_to_leave))
        # Several processes' clocks differ, and a checkpoint is everybody's work.
        if self.processes.count == 1:
            loop.add_callback(SaveByTheClock())
        loop.add_callback(EarlyStoppingCallback(self.recipe.patience))
        return loop

    def _asked_to_leave(self) -> bool:
        """Tell whether any process was asked to leave: all leave together, or the others would wait."""
        return self.processes.any(self.leaving())

    def _train(self, loop: Loop, adapted: PeftModel, checkpoint: Path | None) -> None:
        if checkpoint is None:
            loop.args.eval_on_start = True  # what the fit starts from: fresh LoRA matrices change nothing
        else:
            log.info("resuming %s", checkpoint.name)
        # Under autocast the matrices are cast to the base's format, which is far less work than casting
        # every layer's input up to float32, a fifth of a step on a CPU.
        with disable_input_dtype_casting(adapted, active=loop.autocasts):
            loop.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        if self._asked_to_leave() and loop.state.global_step < loop.state.max_steps:
            raise RunCancelled(LEFT)

    def _result(
        self, loop: Loop, packed: bool, examples: int, seconds: float, checkpoint: Path | None
    ) -> FitResult:
        history = tuple(
            {name: value for name, value in entry.items() if isinstance(value, int | float)}
            for entry in loop.state.log_history
        )
        validations = [entry["eval_loss"] for entry in history if "eval_loss" in entry]
        losses = [entry["loss"] for entry in history if "loss" in entry]
        return FitResult(
            steps=loop.state.global_step,
            epochs=float(loop.state.epoch or 0),
            best_step=int(loop.state.best_global_step or 0),
            train_examples=examples,
            train_tokens=loop.tokens,
            tokens_per_second=loop.speed(),
            seconds=seconds,
            peak_memory_bytes=peak_memory(self.placement.device),
            train_loss=sum(losses[-10:]) / max(len(losses[-10:]), 1),
            validation={"before": validations[0], "best": min(validations)},
            placement=self.placement.reason,
            packed=packed,
            resumed_from=int(checkpoint.name.rpartition("-")[2]) if checkpoint else 0,
            history=history,
        )

    def _save(
        self, adapted: PeftModel, out_dir: Path, version: str, result: FitResult, fields: dict[str, Any]
    ) -> None:
        """Write beside ``out_dir`` and rename, so that a directory of that name is always whole."""
        unfinished = out_dir.with_name(f".{out_dir.name}.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        adapted.peft_config["default"].base_model_name_or_path = self.base.name
        adapted.save_pretrained(str(unfinished), safe_serialization=True)
        (unfinished / "README.md").unlink(missing_ok=True)  # PEFT's model card; report.md says more
        self.tokenizer.save_pretrained(str(unfinished))
        write_manifest(
            unfinished,
            **{
                "version": version,
                "base_model": self.base.name,
                "base_revision": self.base.revision,
                "base_fingerprint": base_fingerprint(self.base.name, self.base.revision),
                "recipe": asdict(self.recipe),
                "libraries": library_versions(),
                "device": result.placement,
                "seed": self.recipe.seed,
                "fit": result.figures(),
                **fields,
            },
        )
        # Before the adapter appears, so that an adapter always has its figures.
        _write_whole(
            self.work_dir / "metrics.json",
            json.dumps({**result.figures(), "history": list(result.history)}, indent=2) + "\n",
        )
        shutil.rmtree(out_dir, ignore_errors=True)
        out_dir.parent.mkdir(parents=True, exist_ok=True)
        unfinished.rename(out_dir)


def begun_from(start: Path, base: Base, recipe: Recipe) -> str:
    """Return the SHA-256 of the weights that the fit starts from.

    Raises:
        AdapterError: they are altered, of another base or form of prompts, or have matrices of another shape.
    """
    manifest = verify(start, base_fingerprint=base_fingerprint(base.name, base.revision))
    if manifest.fields.get("form") != FORM:
        raise AdapterError(
            f"{start} learned in another form of prompts, or from a dataset whose manifest names none: start "
            "from the base."
        )
    if not continuable(start, recipe):
        raise AdapterError(
            f"{start} has LoRA matrices of another shape than [training] lora_r and lora_alpha say: start "
            'from the base, with start = "base".'
        )
    return sha256(start / WEIGHTS)


def _write_whole(path: Path, text: str) -> None:
    """Write beside ``path`` and rename, so that a file of that name is always whole."""
    beside = path.with_name(f".{path.name}.unfinished")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)


__all__ = ["fit"]
