"""Packed attention: rows in one line never see each other, and losses and gradients stay the same."""

from __future__ import annotations

from typing import Any

import torch

from trainer.scoring.batches import EncodedRow, pack, pad
from trainer.scoring.packed_attention import use_packed_attention, use_plain_attention
from trainer.scoring.perplexity import token_losses


def test_packed_or_padded_the_loss_on_each_reply_is_the_same_number(
    model: Any, rows: list[EncodedRow]
) -> None:
    padded, _ = token_losses(model, pad(rows, pad_id=0))
    assert use_packed_attention(model)
    packed, _ = token_losses(model, pack(rows))
    assert len({len(example["ids"]) for example in rows}) > 1
    torch.testing.assert_close(packed, padded, atol=1e-5, rtol=0)


def test_the_gradients_are_the_same_packed_or_padded(model: Any, rows: list[EncodedRow]) -> None:
    gradients = []
    for batch, attention in (
        (pad(rows, pad_id=0), use_plain_attention),
        (pack(rows), use_packed_attention),
    ):
        attention(model)
        model.zero_grad()
        token_losses(model, batch)[0].sum().backward()  # type: ignore[no-untyped-call]
        gradients.append(model.model.layers[0].self_attn.q_proj.weight.grad.clone())
    torch.testing.assert_close(gradients[1], gradients[0], atol=1e-4, rtol=1e-4)


def test_an_example_cannot_see_the_one_in_front_of_it(model: Any, rows: list[EncodedRow]) -> None:
    use_packed_attention(model)
    other = {**rows[1], "ids": [7] * len(rows[1]["ids"])}
    with_one = token_losses(model, pack([rows[1], rows[0]]))[0]
    with_other = token_losses(model, pack([other, rows[0]]))[0]
    count = sum(rows[0]["scored"])
    torch.testing.assert_close(with_one[-count:], with_other[-count:], atol=1e-5, rtol=0)
