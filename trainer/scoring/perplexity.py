"""How well a model predicts what people really wrote: negative log-likelihood on chosen tokens.

Scores a loaded model on encoded rows; reads no ledger, and decides nothing.

Why the figures can be compared: candidate, champion and bare base are one loaded base model whose
adapters are switched, and they are scored on the very same tokens; a conversation's figure is a sum
in nats with its number of tokens, and means are formed once, at the end, from totals; rows in a
batch cannot see each other or the padding, so that the batch does not change the number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from trainer.scoring.batches import Batch, EncodedRow, by_length, pack, pad
from trainer.scoring.tally import Tally, total

GENERAL_TEXT = Path(__file__).with_name("general_text.txt")
BATCH_TOKENS = 1024
"""Tokens in a batch: with 49,000 words, 200 MB of scores at most."""


def token_losses(model: Any, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Return for each scored token its negative log-likelihood in nats and whether it was the likeliest.

    Both have the order of ``batch["labels"]``. Only scored positions are projected onto the vocabulary.
    """
    inputs = {
        name: batch[name]
        for name in ("input_ids", "position_ids", "attention_mask", "segments")
        if name in batch
    }
    logits = model(**inputs, logits_to_keep=batch["predicts"], use_cache=False).logits
    # bf16's 8 bits would round the sum over 49,000 words.
    logits = logits.reshape(-1, logits.shape[-1]).float()
    return cross_entropy(logits, batch["labels"], reduction="none"), logits.argmax(-1) == batch["labels"]


@torch.no_grad()
def score_rows(
    model: PreTrainedModel,
    rows: Sequence[EncodedRow],
    *,
    packed: bool,
    pad_id: int = 0,
    batch_tokens: int = BATCH_TOKENS,
    on_batch: Callable[[int, int], None] | None = None,
) -> list[Tally]:
    """Return one tally a row, in the order given.

    ``packed`` needs a model with :mod:`trainer.scoring.packed_attention`; ``on_batch`` is called with
    the number of rows done and their total, and may raise to stop.
    """
    tallies: list[Tally | None] = [None] * len(rows)
    was_training = model.training
    model.eval()
    done = 0
    try:
        for indices in by_length(rows, max_tokens=batch_tokens):
            chosen = [rows[index] for index in indices]
            batch = pack(chosen) if packed else pad(chosen, pad_id=pad_id)
            for index, tally in zip(indices, _tallies(model, batch, chosen), strict=True):
                tallies[index] = tally
            done += len(indices)
            if on_batch is not None:
                on_batch(done, len(rows))
    finally:
        model.train(was_training)  # validation happens in the middle of training
    return [tally for tally in tallies if tally is not None]


def _tallies(model: PreTrainedModel, batch: Batch, rows: Sequence[EncodedRow]) -> list[Tally]:
    owners = batch["owners"]
    nll, correct = token_losses(model, on_device(batch, model.device))
    # Sums in float64 on the CPU: a conversation may have thousands of tokens.
    sums = torch.zeros(len(rows), dtype=torch.float64).index_add_(0, owners, nll.double().cpu())
    hits = torch.zeros(len(rows), dtype=torch.int64).index_add_(0, owners, correct.long().cpu())
    counts = torch.bincount(owners, minlength=len(rows))
    return [
        Tally(float(sums[index]), int(counts[index]), int(hits[index]), row["replies"])
        for index, row in enumerate(rows)
    ]


def on_device(batch: Batch, device: torch.device) -> Batch:
    """Return ``batch`` with its tensors on ``device``."""
    return {
        name: value.to(device) if isinstance(value, torch.Tensor) else value for name, value in batch.items()
    }


def tallies_by_conversation(tallies: Sequence[Tally], rows: Sequence[EncodedRow]) -> dict[int, Tally]:
    """Add the rows' tallies up to one a conversation, by the conversations' numbers, in their order."""
    groups: dict[int, list[Tally]] = {}
    for tally, row in zip(tallies, rows, strict=True):
        groups.setdefault(row["conversation"], []).append(tally)
    return {number: added for number in sorted(groups) if (added := total(groups[number])).tokens}


def general_rows(tokenizer: PreTrainedTokenizerBase, *, max_tokens: int) -> list[EncodedRow]:
    """Return the shipped paragraphs of general English as rows in which every token is scored.

    They have nothing to do with any guild, so what a candidate loses on them it has forgotten. They are
    plain text without chat roles.
    """
    paragraphs = GENERAL_TEXT.read_text(encoding="utf-8").split("\n\n")
    rows: list[EncodedRow] = []
    for paragraph in paragraphs:
        text = " ".join(paragraph.split())
        ids = list(tokenizer(text, add_special_tokens=False)["input_ids"])[:max_tokens]
        if len(ids) > 1:
            rows.append(EncodedRow(ids=ids, scored=[True] * len(ids), conversation=len(rows), replies=0))
    return rows


__all__ = [
    "BATCH_TOKENS",
    "general_rows",
    "on_device",
    "score_rows",
    "tallies_by_conversation",
    "token_losses",
]
