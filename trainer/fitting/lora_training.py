"""Preparing a base model for LoRA training: adding the matrices, choosing attention and dropout.

Takes and returns models; reads no dataset and trains nothing.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model, prepare_model_for_kbit_training
from transformers import PreTrainedModel

from engine.model.loading import Placement
from ledger.errors import ModelError
from trainer.fitting.dropout import use_byte_dropout
from trainer.fitting.recipe import Recipe
from trainer.scoring.batches import EncodedRow
from trainer.scoring.packed_attention import use_packed_attention, use_plain_attention
from trainer.scoring.perplexity import score_rows
from trainer.scoring.tally import total

log = logging.getLogger("trainer")

AGREEMENT = {torch.float32: 1e-3, torch.bfloat16: 0.05, torch.float16: 0.05}
"""Nats a token by which packed and plain attention may differ: no more than rounding explains."""


def with_lora(
    model: PreTrainedModel, recipe: Recipe, placement: Placement, *, start: Path | None = None
) -> PeftModel:
    """Put LoRA matrices on all linear layers of ``model``, whose own weights are frozen.

    They are fresh, or those of the adapter directory ``start``, which :func:`continuable` allows.

    LoRA's weights are always float32: updates of 2e-4 would vanish in bf16's eight bits.
    """
    if placement.quantization == "4bit":
        model = prepare_model_for_kbit_training(
            model,
            use_gradient_checkpointing=recipe.gradient_checkpointing,
            # Reentrant checkpointing finds no gradient to hang on to, since the inputs need none.
            gradient_checkpointing_kwargs={"use_reentrant": False},
        )
    elif recipe.gradient_checkpointing:
        model.activation_checkpointing_enable({"use_reentrant": False})
    config = LoraConfig(
        r=recipe.lora_r,
        lora_alpha=recipe.lora_alpha,
        lora_dropout=recipe.lora_dropout,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
    adapted: PeftModel
    if start is None:
        adapted = get_peft_model(model, config, autocast_adapter_dtype=True)
    else:
        # The config is tonight's: dropout may have changed, and target_modules may be a list by now.
        saved = LoraConfig.from_pretrained(str(start))
        saved.lora_dropout, saved.inference_mode = recipe.lora_dropout, False
        adapted = PeftModel.from_pretrained(
            model, str(start), is_trainable=True, config=saved, autocast_adapter_dtype=True
        )
    if placement.device == "cpu":  # a GPU draws random numbers in parallel
        use_byte_dropout(adapted)
    return adapted


def keep_differentiable(model: Any) -> None:
    """Keep bitsandbytes from repacking 4-bit weights on a CPU for inference.

    With AVX-512 bf16 it does so at the first forward pass in evaluation mode, and its product over repacked
    weights has no gradient. Training after a validation would continue without an error, and only the last
    layer would learn.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def pack_if_possible(model: PreTrainedModel, rows: Sequence[EncodedRow], *, wanted: bool) -> bool:
    """Switch ``model`` to packed attention where its losses stay the same; tell whether it did.

    Tried on real rows instead of looked up by the model's name: an architecture whose attention differs
    gives other numbers, and is then trained with padding.
    """
    if not wanted:
        return False
    tried = list(rows[:3])
    plain = total(score_rows(model, tried, packed=False)).mean
    try:
        if use_packed_attention(model):
            packed = total(score_rows(model, tried, packed=True)).mean
            if abs(packed - plain) <= AGREEMENT.get(model.dtype, 0.05):
                return True
            log.warning("packed, the loss is %.4f instead of %.4f: padding instead", packed, plain)
    except (ModelError, TypeError, ValueError) as error:
        log.warning("this base model cannot be packed (%s): padding instead", type(error).__name__)
    use_plain_attention(model)  # the failed attempt may have left the packed one in place
    return False


def continuable(start: Path, recipe: Recipe) -> bool:
    """Tell whether the adapter directory ``start`` has the matrices that ``recipe`` wants."""
    try:
        saved = json.loads((start / "adapter_config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return (saved.get("r"), saved.get("lora_alpha")) == (recipe.lora_r, recipe.lora_alpha)


def averaged(model: Any, begun: Mapping[str, torch.Tensor], share: float) -> None:
    """Move the trained weights back towards where they began: ``share`` of the way is kept."""
    with torch.no_grad():
        for name, weight in trained(model).items():
            weight.lerp_(begun[name].to(weight.device), 1 - share)


def trained(model: Any) -> dict[str, torch.nn.Parameter]:
    """Return the parameters that training changes, by name."""
    return {name: weight for name, weight in model.named_parameters() if weight.requires_grad}


__all__ = ["averaged", "continuable", "keep_differentiable", "pack_if_possible", "trained", "with_lora"]
