"""Attention for packed rows, which are laid end to end in one line and never see each other.

Registers one function with transformers' attention interface. Knows query, key and value tensors and
the lengths of the rows; no tokenizer, no loss.

A mask over a packed line costs the square of the whole line's length; attending row by row costs the
squares of the rows' lengths, and needs no mask at all. Measured in
``benchmarks/bench_finetune.py``: on a CPU, a mask over four rows took more than a third of a
training step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, PreTrainedModel

from ledger.errors import ModelError

NAME = "nightschool_packed"
SHORT = 400
"""Up to so many tokens, plain matrix products in bf16 take half the time of PyTorch's fused kernel on a
CPU, forward and backward; they keep a square of weights for each head, so longer rows take the kernel."""


def packed_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    scaling: float | None = None,
    dropout: float = 0.0,
    segments: Sequence[int] | None = None,
    **others: Any,
) -> tuple[torch.Tensor, None]:
    """Attend causally within each of ``segments``, the lengths in tokens of the rows in the line.

    Tensors are (1, heads, tokens, width); gives (1, tokens, heads, width).

    Raises:
        ModelError: the model asks for something that plain causal attention does not do.
    """
    unknown = [name for name in ("softcap", "s_aux", "position_bias") if others.get(name) is not None]
    if segments is None or attention_mask is not None or unknown:
        raise ModelError("This base model's attention cannot be packed: set [training] packing to false.")
    if others.get("sliding_window") and max(segments) > others["sliding_window"]:
        raise ModelError(
            "This base model sees fewer tokens at once than an example has: lower [training] max_tokens."
        )
    # Grouped-query attention: several heads share a key, and plain matrix products need a copy for each.
    groups = query.shape[1] // key.shape[1]
    if groups > 1:
        key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
    rows = (torch.split(tensor, list(segments), dim=2) for tensor in (query, key, value))
    parts = [_attend(q, k, v, scaling, dropout) for q, k, v in zip(*rows, strict=True)]
    return torch.cat(parts, dim=2).transpose(1, 2).contiguous(), None


def _attend(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float | None, dropout: float
) -> torch.Tensor:
    """Attend causally within one row: (1, heads, tokens, width) each."""
    tokens = query.shape[2]
    if query.device.type != "cpu" or query.dtype != torch.bfloat16 or tokens > SHORT or dropout:
        return scaled_dot_product_attention(
            query, key, value, is_causal=True, scale=scaling, dropout_p=dropout
        )
    future = torch.ones(tokens, tokens, dtype=torch.bool).triu_(1)
    scores = (query * (scaling or query.shape[3] ** -0.5)) @ key.transpose(2, 3)
    return scores.masked_fill(future, float("-inf")).softmax(-1) @ value


def use_packed_attention(model: PreTrainedModel) -> bool:
    """Let ``model`` attend row by row; tell whether it can."""
    AttentionInterface.register(NAME, packed_attention)
    model.set_attn_implementation(NAME)  # may silently keep another, which the next line finds out
    return bool(model.config._attn_implementation == NAME)


def use_plain_attention(model: PreTrainedModel) -> None:
    """Let ``model`` attend over whole lines again."""
    model.set_attn_implementation("sdpa")


__all__ = ["packed_attention", "use_packed_attention", "use_plain_attention"]
