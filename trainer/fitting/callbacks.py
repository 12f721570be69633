"""What follows the training loop from outside: progress reports, a leave between updates, TensorBoard's file.

Callbacks of transformers' Trainer over figures and steps; they see no batch and no text.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.summary.writer import record_writer
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from trainer.fitting.preflight import check_loss
from trainer.progress import Reporter, StageProgress, Stopwatch

log = logging.getLogger("trainer")


class ProgressReports(TrainerCallback):
    """Reports each batch, and writes each logged figure to ``training.log``."""

    def __init__(self, reporter: Reporter, speed: Callable[[], float]) -> None:
        self._reporter = reporter
        self._speed = speed
        self._watch = Stopwatch()
        self._loss: float | None = None
        self._batches = 0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._batches = state.global_step * args.gradient_accumulation_steps

    def on_substep_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._batches += 1
        self._report(args, state)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        # An epoch's last update may hold fewer batches than the others.
        self._batches = state.global_step * args.gradient_accumulation_steps
        self._report(args, state)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        figures = {name: value for name, value in (logs or {}).items() if isinstance(value, int | float)}
        for name in ("loss", "eval_loss"):
            if name in figures:
                check_loss(figures[name], state.global_step)
        self._loss = figures.get("loss", self._loss)
        text = " ".join(f"{name}={value:.6g}" for name, value in figures.items() if name != "total_flos")
        log.info("step %d of %d: %s", state.global_step, state.max_steps, text)

    def _report(self, args: TrainingArguments, state: TrainerState) -> None:
        of = state.max_steps * args.gradient_accumulation_steps
        self._reporter(
            StageProgress(
                "fit",
                self._batches,
                of,
                loss=self._loss,
                tokens_per_second=self._speed(),
                eta_seconds=self._watch.eta(self._batches, of),
            )
        )


class LeaveAtStep(TrainerCallback):
    """Ends training after an update, with a checkpoint to resume, when the night was asked to leave."""

    def __init__(self, leaving: Callable[[], bool]) -> None:
        self._leaving = leaving

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if self._leaving():
            control.should_save = True
            control.should_training_stop = True


class Scalars(TrainerCallback):
    """Writes a TensorBoard file: figures only, never a text.

    TensorBoard's own writer reopens the file for each record, in a thread of its own, where a deletion
    that removes the run's folder ends in a traceback. This one keeps the file open.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = (folder / f"events.out.tfevents.{time.time_ns()}.nightschool").open("wb")
        self._records: Any = cast(Any, record_writer).RecordWriter(self._file)
        self._write(file_version="brain.Event:2")  # the first record of every such file

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        summary: Any = cast(Any, summary_pb2).Summary
        values = [
            summary.Value(tag=name, simple_value=value)
            for name, value in (logs or {}).items()
            if isinstance(value, int | float)
        ]
        self._write(step=state.global_step, summary=summary(value=values))

    def _write(self, **fields: Any) -> None:
        self._records.write(cast(Any, event_pb2).Event(wall_time=time.time(), **fields).SerializeToString())
        self._file.flush()  # whoever watches sees each update at once

    def close(self) -> None:
        self._file.close()


__all__ = ["LeaveAtStep", "ProgressReports", "Scalars"]
