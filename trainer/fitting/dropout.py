"""LoRA's dropout, drawn eight elements a random number on a CPU.

PyTorch draws one number of its sequential CPU generator for every element, which took a seventh of a
training step (``benchmarks/bench_finetune.py``). One 64-bit number holds eight independent bytes, and
a byte is fine enough to decide: the share of dropped elements is the nearest 256th, and the rest is
scaled by exactly what was dropped, so that the expected value stays the same. Knows tensors alone.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from peft import PeftModel


class ByteDropout(torch.nn.Module):
    """Dropout with the share ``round(256 p) / 256``; nothing in evaluation mode."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.threshold = min(round(p * 256), 255)
        self.scale = 256 / (256 - self.threshold)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training or not self.threshold:
            return x
        # The upper bound None lets the draw reach 2**63 - 1, so that all 64 bits are random.
        numbers = torch.empty((x.numel() + 7) // 8, dtype=torch.int64).random_(-(2**63), None)
        kept = numbers.view(torch.uint8)[: x.numel()].view(x.shape) >= self.threshold
        return x * torch.where(kept, x.new_tensor(self.scale), x.new_zeros(()))


def use_byte_dropout(model: PeftModel) -> int:
    """Replace the dropout in front of ``model``'s LoRA matrices; return how many were replaced."""
    replaced = 0
    for module in cast(Any, model).modules():
        dropouts = getattr(module, "lora_dropout", None)
        if not isinstance(dropouts, torch.nn.ModuleDict):
            continue
        for name, dropout in list(dropouts.items()):
            if isinstance(dropout, torch.nn.Dropout):
                dropouts[name] = ByteDropout(dropout.p).train(dropout.training)
                replaced += 1
    return replaced


__all__ = ["ByteDropout", "use_byte_dropout"]
