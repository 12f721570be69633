"""What follows the training loop from outside: progress reports, and a leave between updates.

Callbacks of transformers' Trainer over figures and steps; they see no batch and no text.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from trainer.fitting.preflight import check_loss
from trainer.progress import Reporter, StageProgress, Stopwatch

log = logging.getLogger("trainer")


CHECKPOINT_SECONDS = 240.0
"""With a step of a minute at most, a kill costs five minutes of training."""


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


class SaveByTheClock(TrainerCallback):
    """Writes a checkpoint every few minutes, so that a kill costs no more than that."""

    def __init__(
        self, seconds: float = CHECKPOINT_SECONDS, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._seconds, self._now = seconds, now
        self._last = now()

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._last = self._now()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if self._now() - self._last >= self._seconds:
            control.should_save = True

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._last = self._now()


__all__ = ["LeaveAtStep", "ProgressReports", "SaveByTheClock"]
