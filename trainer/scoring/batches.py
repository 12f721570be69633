"""Encoded rows to batches: end to end without padding, or padded to the longest; the losses are the same.

Pure functions over token ids. Either way a batch says at which positions the next token is scored, and
the model projects onto its vocabulary there alone: of a chat window most tokens are context, and the
projection onto 49,000 words is a fifth of a small model's work.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypedDict

import torch


class EncodedRow(TypedDict):
    """One example as token ids: ``scored`` marks those to learn, ``conversation`` says where it is from."""

    ids: list[int]
    scored: list[bool]
    conversation: int
    replies: int


Batch = dict[str, Any]
"""What the model takes: ``input_ids`` and ``position_ids`` (lines, tokens); ``predicts``, a mask of the
positions whose next token is scored; ``labels``, those tokens in the mask's order; ``owners``, the index
in the batch of the row that each belongs to; and ``segments`` (packed) or ``attention_mask``. Packed, a
batch is one line of many rows; padded, each row is a line."""


def pack(rows: Sequence[Mapping[str, Any]]) -> Batch:
    """Lay ``rows`` end to end in one line; positions start anew with each."""
    ids = [token for row in rows for token in row["ids"]]
    positions = [position for row in rows for position in range(len(row["ids"]))]
    predicts = [flag for row in rows for flag in _predicts(row)]
    return {
        "input_ids": torch.tensor([ids]),
        "position_ids": torch.tensor([positions]),
        "predicts": torch.tensor([predicts], dtype=torch.bool),
        "segments": [len(row["ids"]) for row in rows],
        **_labels(rows),
    }


def pad(rows: Sequence[Mapping[str, Any]], *, pad_id: int) -> Batch:
    """Give each of ``rows`` a line of its own, filled up with ``pad_id`` at its end."""
    width = max(len(row["ids"]) for row in rows)
    lengths = torch.tensor([[len(row["ids"])] for row in rows])
    positions = torch.arange(width).expand(len(rows), width)

    def padded(values: list[list[Any]], filler: Any) -> torch.Tensor:
        return torch.tensor([value + [filler] * (width - len(value)) for value in values])

    return {
        "input_ids": padded([row["ids"] for row in rows], pad_id),
        "position_ids": positions.clone(),
        "predicts": padded([_predicts(row) for row in rows], False),
        "attention_mask": (positions < lengths).long(),
        **_labels(rows),
    }


def _predicts(row: Mapping[str, Any]) -> list[bool]:
    """Mark the positions before the scored ones; nothing predicts a first token."""
    return [*row["scored"][1:], False]


def _labels(rows: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
    labels: list[int] = []
    owners: list[int] = []
    for position, row in enumerate(rows):
        mine = [token for token, scored in zip(row["ids"][1:], row["scored"][1:], strict=True) if scored]
        labels += mine
        owners += [position] * len(mine)
    return {"labels": torch.tensor(labels), "owners": torch.tensor(owners)}


def only_first(batch: Batch, count: int) -> Batch:
    """Return ``batch`` with the tokens of its first ``count`` rows scored, and no others."""
    kept = batch["owners"] < count
    predicts = batch["predicts"].clone()
    # The mask's order is the labels' order, line by line.
    predicts[batch["predicts"]] = kept
    return {**batch, "predicts": predicts, "labels": batch["labels"][kept], "owners": batch["owners"][kept]}


def by_length(rows: Sequence[Mapping[str, Any]], *, max_tokens: int) -> Iterator[list[int]]:
    """Yield batches of indices, longest rows first, each of at most ``max_tokens`` padded tokens.

    The longest come first so that a batch that does not fit into memory fails at once.
    """
    order = sorted(range(len(rows)), key=lambda index: -len(rows[index]["ids"]))
    batch: list[int] = []
    for index in order:
        # The first is the longest, so the whole batch would be padded to its length.
        if batch and len(rows[batch[0]]["ids"]) * (len(batch) + 1) > max_tokens:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


__all__ = ["Batch", "EncodedRow", "by_length", "only_first", "pack", "pad"]
