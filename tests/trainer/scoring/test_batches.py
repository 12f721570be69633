"""Batches: each row once, and only what is predicted is scored."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from trainer.scoring.batches import Batch, EncodedRow, by_length, only_first, pack, pad


def test_batches_hold_each_example_once_and_no_more_padded_tokens_than_allowed() -> None:
    lengths = [3, 50, 7, 7, 20, 1, 49]
    examples = [
        EncodedRow(ids=[1] * length, scored=[True] * length, conversation=0, replies=1) for length in lengths
    ]
    batches = list(by_length(examples, max_tokens=60))
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    assert all(
        len(batch) == 1 or max(lengths[index] for index in batch) * len(batch) <= 60 for batch in batches
    )
    assert batches[0] == [1]


def row(*scored: int, length: int = 4) -> EncodedRow:
    """Return a row whose tokens at ``scored`` are learned."""
    flags = [index in scored for index in range(length)]
    return EncodedRow(ids=[10 + index for index in range(length)], scored=flags, conversation=0, replies=1)


@pytest.mark.parametrize("collate", [pack, partial(pad, pad_id=0)])
def test_the_position_before_a_scored_token_predicts_it(collate: Callable[..., Batch]) -> None:
    batch = collate([row(1, 3), row(2, length=3)])
    assert batch["labels"].tolist() == [11, 13, 12]
    assert batch["owners"].tolist() == [0, 0, 1]
    predicting = batch["position_ids"][batch["predicts"]]
    assert predicting.tolist() == [0, 2, 1]
    assert batch["input_ids"][batch["predicts"]].tolist() == [10, 12, 11]


@pytest.mark.parametrize("collate", [pack, partial(pad, pad_id=0)])
@pytest.mark.parametrize(("count", "labels"), [(0, []), (1, [11]), (2, [11, 12, 13]), (9, [11, 12, 13, 11])])
def test_only_the_first_rows_of_a_batch_are_scored(
    collate: Callable[..., Batch], count: int, labels: list[int]
) -> None:
    whole = collate([row(1), row(2, 3), row(1)])
    batch = only_first(whole, count)
    assert batch["labels"].tolist() == labels
    assert int(batch["predicts"].sum()) == len(labels) == len(batch["owners"])
    assert (batch["input_ids"][batch["predicts"]] + 1).tolist() == labels
    assert int(whole["predicts"].sum()) == 4  # the batch itself stays as it is
