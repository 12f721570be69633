"""The training loop: transformers' Trainer with our loss, our validation, and reports of its progress.

Knows a model, batches and figures; no dataset directory, no adapter directory, no ledger.

Why the loss is fair: the negative log-likelihood of all scored tokens of an accumulated batch is
summed and divided by their number, so a token weighs the same in a short batch and in a long one,
packed or padded. Validation is total NLL over total tokens for the same reason.

Several processes share each update's batches. They agree once an update on how many tokens it scores in
all and on whether somebody stopped the night, since one process that left alone would let the others
wait for it.
"""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.summary.writer import record_writer
from transformers import (
    PreTrainedModel,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from transformers.trainer_callback import PrinterCallback

from ledger.errors import RunCancelled
from trainer.fitting.preflight import check_loss
from trainer.fitting.processes import Processes
from trainer.progress import Reporter, StageProgress, Stopwatch
from trainer.scoring.batches import Batch, EncodedRow, only_first
from trainer.scoring.perplexity import score_rows, token_losses
from trainer.scoring.tally import Tally, total
from trainer.stopping import STOPPED

log = logging.getLogger("trainer")


class Loop(Trainer):
    """Trainer over :mod:`trainer.scoring.batches` batches; ``cancelled`` is asked before each of them."""

    # Else transformers divides by the accumulation steps what is already a share of the whole update.
    loss_is_scaled_for_ga = True

    def __init__(
        self,
        *,
        validation: Sequence[EncodedRow],
        packed: bool,
        pad_id: int,
        compute_dtype: torch.dtype | None,
        reporter: Reporter,
        cancelled: Callable[[], bool],
        processes: Processes,
        **arguments: Any,
    ) -> None:
        super().__init__(**arguments, callbacks=[ProgressReports(reporter, self.speed)])
        self.validation = validation
        self.tokens = 0
        self._packed, self._pad_id = packed, pad_id
        self._compute_dtype = compute_dtype
        self._cancelled, self._processes = cancelled, processes
        self._watch = Stopwatch()
        self._scoring_seconds = 0.0
        self.remove_callback(PrinterCallback)  # it prints to stdout, where the command's JSON goes

    def speed(self) -> float:
        """Return trained tokens a second, context tokens included and validation left out."""
        return self.tokens / max(self._watch.elapsed - self._scoring_seconds, 1e-9)

    def train(self, *arguments: Any, **options: Any) -> Any:
        """Train, and measure the speed from here on."""
        self._watch = Stopwatch()
        return super().train(*arguments, **options)

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[Any], torch.Tensor]:
        """Fetch this process's batches of one update; count the tokens that all processes' score.

        Raises:
            RunCancelled: somebody stopped the night, in whichever process.
        """
        batches, _ = super().get_batch_samples(epoch_iterator, num_batches, device)
        if self._processes.count > 1:
            batches = self._without_repeats(batches)
        scored = sum(batch["labels"].numel() for batch in batches)
        mine = sum(map(self._size, batches))
        scored_by_all, of_all, cancelled = self._processes.sums([scored, mine, float(self._cancelled())])
        if cancelled:
            raise RunCancelled(STOPPED)
        self.tokens += int(of_all) - mine  # compute_loss counts this process's own, batch by batch
        return batches, torch.tensor(int(scored_by_all), device=device)

    def _without_repeats(self, batches: Sequence[Batch]) -> list[Batch]:
        """Score no example twice an epoch.

        accelerate deals batches out in turn, the first to process 0, and fills up what is missing in
        the last round with the epoch's first examples, so that no process waits for another that has
        no batch left.
        """
        examples, size = len(cast("Any", self.train_dataset)), self.args.per_device_train_batch_size
        rounds = math.ceil(math.ceil(examples / size) / self._processes.count)
        updates = math.ceil(rounds / self.args.gradient_accumulation_steps)
        first = self.state.global_step % updates * self.args.gradient_accumulation_steps
        kept = []
        for index, batch in enumerate(batches, start=first):
            begin = (index * self._processes.count + self._processes.index) * size
            kept.append(only_first(batch, max(0, examples - begin)))
        return kept

    def _size(self, batch: Batch) -> int:
        """Return the batch's tokens, context included and padding left out."""
        return batch["input_ids"].numel() if self._packed else int(batch["attention_mask"].sum())

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        """Return this batch's share of the update's loss."""
        self.check_cancelled()
        with self.autocast():
            nll, _ = token_losses(model, inputs)
        self.tokens += self._size(inputs)
        loss = nll.sum() / (num_items_in_batch if num_items_in_batch is not None else nll.numel())
        # Gradients, and the loss that is logged, are means over the processes; the update's are sums.
        loss = loss * self._processes.count
        return (loss, {}) if return_outputs else loss

    @property
    def autocasts(self) -> bool:
        return self._compute_dtype is not None

    def autocast(self) -> contextlib.AbstractContextManager[Any]:
        """Compute in the base's number format, while LoRA's own weights stay float32."""
        if self._compute_dtype is None:
            return contextlib.nullcontext()
        return torch.autocast(self.args.device.type, dtype=self._compute_dtype)

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: list[str] | None = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """Score the validation examples; ``eval_loss`` is total NLL over total tokens.

        Each process scores its share, and all get the same sums: they must stop early together.
        """
        watch = Stopwatch()
        with self.autocast():
            mine = total(
                score_rows(
                    cast("PreTrainedModel", self.model),
                    self.validation[self._processes.index :: self._processes.count],
                    packed=self._packed,
                    pad_id=self._pad_id,
                    on_batch=lambda done, of: self.check_cancelled(),
                )
            )
        nll, tokens, correct, cancelled = self._processes.sums(
            [mine.nll, mine.tokens, mine.correct, float(self._processes.count > 1 and self._cancelled())]
        )
        if cancelled:
            raise RunCancelled(STOPPED)
        tally = Tally(nll, int(tokens), int(correct))
        self._scoring_seconds += watch.elapsed
        metrics = {f"{metric_key_prefix}_loss": tally.mean, f"{metric_key_prefix}_accuracy": tally.accuracy}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def check_cancelled(self) -> None:
        """Raise RunCancelled if somebody stopped the night; several processes agree on that elsewhere."""
        if self._processes.count == 1 and self._cancelled():
            raise RunCancelled(STOPPED)


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
        self._write(file_version="brain.Event:2")

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
        self._file.flush()

    def close(self) -> None:
        self._file.close()


__all__ = ["LeaveAtStep", "Loop", "ProgressReports", "Scalars"]
