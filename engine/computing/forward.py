"""One pass of the base model, with its adapters, over new columns of rows.

Imported, not run. Its border: token ids in, logits of the last column out; it knows no requests. A model
that :mod:`engine.computing.lean_llama` can compute takes that form; whatever else, transformers'.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import torch

from engine.computing.cache import Part
from engine.computing.cached_attention import pack_queries
from engine.computing.lean_llama import LeanLlama
from engine.computing.lora_bank import LoraBank

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class Forward(Protocol):
    """A base model and the adapters on it. One thread uses it."""

    bank: LoraBank
    device: torch.device
    layers: int
    width: int
    """Size of what flows between the layers."""
    together: bool
    """Whether several parts are computed in one pass, for little more than one of them."""

    def last_logits(self, parts: Sequence[Part]) -> list[torch.Tensor]:
        """Read the parts, and add what they hold to their caches.

        Returns the logits of each part's last column, [rows, vocabulary].
        """


def forward_of(model: PreTrainedModel, peaks: Mapping[str, torch.Tensor] | None = None) -> Forward:
    """Return the fastest form of ``model``, which is of no more use: the lean one takes its weights.

    With ``peaks`` of its layers' inputs the lean one computes in 8 bits; the other has no such form.
    """
    return LeanLlama(model, peaks) if LeanLlama.fits(model) else HookedModel(model)


class HookedModel:
    """Any model of transformers, with adapters as hooks on its layers."""

    together = False

    def __init__(self, model: PreTrainedModel) -> None:
        pack_queries(model)
        self._model = model
        self.bank = LoraBank(model)
        self.device = next(model.parameters()).device
        config = model.config.get_text_config()
        self.layers, self.width = int(config.num_hidden_layers), int(config.hidden_size)
        # Only the last column is drawn from. Without this, reading 256 tokens computes 256 rows of logits,
        # 50 MB in float32 with a vocabulary of 49,152, and throws 255 away.
        keeps = "logits_to_keep" in inspect.signature(model.forward).parameters
        self._options: dict[str, Any] = {"logits_to_keep": 1} if keeps else {}

    def last_logits(self, parts: Sequence[Part]) -> list[torch.Tensor]:
        """Implement :class:`Forward`."""
        return [self._pass(part) for part in parts]

    def _pass(self, part: Part) -> torch.Tensor:
        # Before every pass: the slots compute for whichever rows were selected last.
        self.bank.select(part.adapters)
        columns = part.cache.columns
        begins = torch.tensor(part.starts, device=self.device).unsqueeze(1)
        everything = torch.arange(columns + part.ids.shape[1], device=self.device)
        # A row counts from its own first token: it must not matter what it shares the batch with.
        positions = (everything[columns:] - begins).clamp(min=0)
        output = self._model(
            input_ids=part.ids,
            attention_mask=(everything >= begins).long(),
            position_ids=positions,
            past_key_values=part.cache,
            use_cache=True,
            **self._options,
        )
        logits: torch.Tensor = output.logits[:, -1]
        return logits
