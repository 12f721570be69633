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
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import torch
from transformers import (
    PreTrainedModel,
    Trainer,
)
from transformers.trainer_callback import PrinterCallback

from ledger.errors import RunCancelled
from trainer.fitting.callbacks import ProgressReports
from trainer.fitting.processes import Processes
from trainer.progress import Reporter, Stopwatch
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


__all__ = ["Loop"]
