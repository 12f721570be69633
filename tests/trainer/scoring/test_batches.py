"""Batches: each row once, and only what is predicted is scored."""

from __future__ import annotations

from trainer.scoring.batches import EncodedRow, by_length


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
