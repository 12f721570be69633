"""Examples to batches: laid end to end without padding, or padded to the longest; same losses.

Pure functions over token ids. Either way a batch says at which positions the next token is scored, and
the model projects onto its vocabulary there alone: of a chat window most tokens are context, and the
projection onto 49,000 words is a fifth of a small model's work.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypedDict

import torch


class Example(TypedDict):
    """One encoded example: ``scored`` marks the tokens to learn, ``conversation`` where it is from."""

    ids: list[int]
    scored: list[bool]
    conversation: int
    replies: int


Batch = dict[str, Any]
"""What the model takes: ``input_ids`` and ``position_ids`` (rows, tokens); ``predicts``, a mask of the
positions whose next token is scored; ``labels``, those tokens in the mask's order; ``owners``, the place
in the batch of the example that each belongs to; and ``segments`` (packed) or ``attention_mask``."""


def pack(examples: Sequence[Mapping[str, Any]]) -> Batch:
    """Lay ``examples`` end to end in one row; positions start anew with each."""
    ids = [token for example in examples for token in example["ids"]]
    positions = [place for example in examples for place in range(len(example["ids"]))]
    predicts = [flag for example in examples for flag in _predicts(example)]
    return {
        "input_ids": torch.tensor([ids]),
        "position_ids": torch.tensor([positions]),
        "predicts": torch.tensor([predicts], dtype=torch.bool),
        "segments": [len(example["ids"]) for example in examples],
        **_labels(examples),
    }


def pad(examples: Sequence[Mapping[str, Any]], *, pad_id: int) -> Batch:
    """Give each of ``examples`` a row of its own, filled up with ``pad_id`` at its end."""
    width = max(len(example["ids"]) for example in examples)
    lengths = torch.tensor([[len(example["ids"])] for example in examples])
    places = torch.arange(width).expand(len(examples), width)

    def rows(values: list[list[Any]], filler: Any) -> torch.Tensor:
        return torch.tensor([row + [filler] * (width - len(row)) for row in values])

    return {
        "input_ids": rows([example["ids"] for example in examples], pad_id),
        "position_ids": places.clone(),
        "predicts": rows([_predicts(example) for example in examples], False),
        "attention_mask": (places < lengths).long(),
        **_labels(examples),
    }


def _predicts(example: Mapping[str, Any]) -> list[bool]:
    """Mark the positions before the scored ones; a first token is predicted from nowhere."""
    return [*example["scored"][1:], False]


def _labels(examples: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
    labels: list[int] = []
    owners: list[int] = []
    for place, example in enumerate(examples):
        mine = [
            token for token, scored in zip(example["ids"][1:], example["scored"][1:], strict=True) if scored
        ]
        labels += mine
        owners += [place] * len(mine)
    return {"labels": torch.tensor(labels), "owners": torch.tensor(owners)}


def only_first(batch: Batch, count: int) -> Batch:
    """Return ``batch`` with the tokens of its first ``count`` examples scored, and no others."""
    kept = batch["owners"] < count
    predicts = batch["predicts"].clone()
    # The mask's order is the labels' order, row by row.
    predicts[batch["predicts"]] = kept
    return {**batch, "predicts": predicts, "labels": batch["labels"][kept], "owners": batch["owners"][kept]}


def by_length(examples: Sequence[Mapping[str, Any]], *, max_tokens: int) -> Iterator[list[int]]:
    """Yield batches of indices, longest examples first, each of at most ``max_tokens`` padded tokens.

    The longest come first so that a batch that does not fit into memory fails at once.
    """
    order = sorted(range(len(examples)), key=lambda index: -len(examples[index]["ids"]))
    batch: list[int] = []
    for index in order:
        if batch and len(examples[batch[0]]["ids"]) * (len(batch) + 1) > max_tokens:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


__all__ = ["Batch", "Example", "by_length", "only_first", "pack", "pad"]
