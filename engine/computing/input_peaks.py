"""How large each input of a model's linear layers becomes, column by column, on a text that ships with it.

Imported, not run. Its border: a model of transformers and token ids. Which columns are far larger than the
rest belongs to a model, not to what it reads, so that a short text finds them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:
    from transformers import PreTrainedModel

TEXT = Path(__file__).with_name("plain_talk.txt")
TOKENS = 256
"""Tokens of the text that are read: 2 s for the small model on one core without bf16."""


@torch.inference_mode()
def input_peaks(model: PreTrainedModel, ids: Sequence[int]) -> Mapping[str, torch.Tensor]:
    """Return the largest magnitude of each input column, [in], by the names of the linear layers."""
    found: dict[str, torch.Tensor] = {}
    linear = [(name, module) for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    hooks = [module.register_forward_pre_hook(partial(_note, found, name)) for name, module in linear]
    try:
        model(input_ids=torch.tensor([list(ids[:TOKENS])], device=model.device), use_cache=False)
    finally:
        for hook in hooks:
            hook.remove()
    return found


def _note(found: dict[str, torch.Tensor], name: str, module: nn.Module, inputs: tuple[Any, ...]) -> None:
    found[name] = inputs[0].detach().float().abs().flatten(0, -2).amax(0)


__all__ = ["TEXT", "TOKENS", "input_peaks"]
