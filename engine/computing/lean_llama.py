"""A Llama's forward pass on a CPU in a tenth of the operator calls that transformers makes.

Imported, not run. Its border: the same as :mod:`engine.computing.forward`; it computes what
``LlamaForCausalLM`` computes, up to rounding. A token of a small model costs more in calls than in
arithmetic: transformers makes some 6,600 of them a step for 30 layers. Here the products that share an
input are one product, weights lie as oneDNN reads them fastest (18 ms for all of the small model's against
37 in PyTorch's own layout, one row in bf16 on one core), and masks exist only where rows differ in length.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional

from engine.computing.cache import RowCache
from engine.computing.eight_bit import EightBitWeight
from engine.computing.lora_bank import LoraBank, Slot

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_ROTATIONS = frozenset({"default", "linear", "llama3"})
"""Kinds of rotary positions whose frequencies are fixed when the model is loaded."""
_FORMATS = frozenset({torch.float32, torch.bfloat16})


class _Product:
    """One or several linear layers on the same input: ``W x`` and what the rows' adapters add to it."""

    def __init__(self, weights: Sequence[torch.Tensor], slot: Slot, peaks: torch.Tensor | None) -> None:
        """With ``peaks``, how large each input becomes, the product is computed in 8 bits."""
        weight = weights[0] if len(weights) == 1 else torch.cat(list(weights))
        self._dtype, self._slot = weight.dtype, slot
        self._eight_bit = EightBitWeight(weight, peaks) if peaks is not None else None
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight) if peaks is None else None

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Return [rows, columns, out] in the weights' format for ``x``, [rows, columns, in]."""
        found = self._slot.add(self._multiplied(x), x)
        # Always in the same format: it must not matter to a row whether a neighbour has an adapter.
        return found.to(self._dtype)

    def _multiplied(self, x: torch.Tensor) -> torch.Tensor:
        if self._eight_bit is not None:
            return self._eight_bit(x.flatten(0, 1).float()).view(*x.shape[:2], -1)
        product: torch.Tensor = torch.ops.mkldnn._linear_pointwise(
            x.to(self._dtype), self._weight, None, "none", [], ""
        )
        return product


@dataclass(frozen=True, slots=True)
class _Block:
    before_attention: torch.Tensor
    queries_keys_values: _Product
    attended: _Product
    before_mlp: torch.Tensor
    gate_and_up: _Product
    down: _Product


class LeanLlama:
    """A Llama-shaped model on a CPU, and its adapters."""

    def __init__(self, model: PreTrainedModel, peaks: Mapping[str, torch.Tensor] | None = None) -> None:
        """Take the weights of ``model``, for which :meth:`fits` is true, and leave it empty.

        With ``peaks`` of its layers' inputs (:mod:`engine.computing.input_peaks`) it computes in 8 bits.
        """
        self._peaks = peaks
        config: Any = model.config
        inner: Any = model.model
        self.device = torch.device("cpu")
        self.layers = int(config.num_hidden_layers)
        self._heads = int(config.num_attention_heads)
        self._groups = int(config.num_key_value_heads)
        self._size = int(inner.layers[0].self_attn.head_dim)
        self.width = int(config.hidden_size)
        self._epsilon = float(config.rms_norm_eps)
        # Half of the sine is negative: then swapping a head's halves is all that is left of its rotation.
        frequencies = inner.rotary_emb.inv_freq.float()
        self._frequencies = torch.cat([frequencies, frequencies])
        self._scale = float(inner.rotary_emb.attention_scaling)
        self._signs = torch.cat([-torch.ones_like(frequencies), torch.ones_like(frequencies)])
        groups = [
            tuple(f"model.layers.{at}.{part}" for part in parts)
            for at in range(self.layers)
            for parts in (
                ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
                ("self_attn.o_proj",),
                ("mlp.gate_proj", "mlp.up_proj"),
                ("mlp.down_proj",),
            )
        ]
        self.bank = LoraBank(model, [*groups, ("lm_head",)])
        self._embedding = inner.embed_tokens.weight.detach()
        self._head = self._take(model, ("lm_head",))
        self._norm = inner.norm.weight.detach().float()
        self._layers = [
            _Block(
                layer.input_layernorm.weight.detach().float(),
                self._take(model, groups[4 * at]),
                self._take(model, groups[4 * at + 1]),
                layer.post_attention_layernorm.weight.detach().float(),
                self._take(model, groups[4 * at + 2]),
                self._take(model, groups[4 * at + 3]),
            )
            for at, layer in enumerate(inner.layers)
        ]

    @staticmethod
    def fits(model: PreTrainedModel) -> bool:
        """Tell whether this computes what ``model`` does, and this PyTorch has oneDNN."""
        config: Any = model.config
        linear = [module for name, module in model.named_modules() if name.endswith(("_proj", "lm_head"))]
        return (
            config.model_type == "llama"
            and type(model).__name__ == "LlamaForCausalLM"
            and next(model.parameters()).device.type == "cpu"
            and model.dtype in _FORMATS
            and config.hidden_act == "silu"
            and model.model.rotary_emb.rope_type in _ROTATIONS
            and all(type(module) is nn.Linear and module.bias is None for module in linear)
            and (model.dtype != torch.bfloat16 or torch.ops.mkldnn._is_mkldnn_bf16_supported())
            and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        )

    def _take(self, model: PreTrainedModel, names: tuple[str, ...]) -> _Product:
        modules: list[Any] = [model.get_submodule(name) for name in names]
        product = _Product(
            [module.weight.detach() for module in modules],
            self.bank.slot(names),
            self._peaks[names[0]] if self._peaks is not None else None,
        )
        for module in modules:
            # Both layouts at once would be twice the model's size; the last module to go frees a weight.
            module.weight = nn.Parameter(module.weight.new_empty(0), requires_grad=False)
        return product

    def last_logits(self, ids: torch.Tensor, starts: Sequence[int], cache: RowCache) -> torch.Tensor:
        """Implement :class:`engine.computing.forward.Forward`."""
        columns, new = cache.columns, ids.shape[1]
        begins = torch.tensor(starts).unsqueeze(1)
        cosines, sines = self._rotation((torch.arange(columns, columns + new) - begins).clamp(min=0))
        padded = max(starts) > 0
        causal = columns == 0 and not padded and new > 1
        mask = _mask(begins, columns, new) if padded or (new > 1 and not causal) else None
        # What flows between the layers stays in float32, in which norms and adapters compute anyway.
        flow = functional.embedding(ids, self._embedding).float()
        for layer, memory in zip(self._layers, cache.memories, strict=True):
            found = layer.queries_keys_values(self._normed(flow, layer.before_attention))
            found = found.view(*ids.shape, self._heads + 2 * self._groups, self._size)
            turned = found[:, :, : self._heads + self._groups]
            turned = torch.addcmul(turned * cosines, turned.roll(self._size // 2, -1), sines)
            keys, values = memory.update(
                turned[:, :, self._heads :].transpose(1, 2),
                found[:, :, self._heads + self._groups :].transpose(1, 2),
            )
            attended = self._attend(turned[:, :, : self._heads], keys, values, mask, causal=causal)
            flow = flow.add_(layer.attended(attended))
            both = layer.gate_and_up(self._normed(flow, layer.before_mlp))
            gate, up = both.chunk(2, dim=-1)
            flow = flow.add_(layer.down(functional.silu(gate).mul_(up)))
        return self._head(self._normed(flow[:, -1:], self._norm))[:, 0]

    def _normed(self, flow: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return functional.rms_norm(flow, (self.width,), weight, self._epsilon)

    def _rotation(self, positions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return cosines and signed sines, [rows, columns, 1, size of a head]."""
        angles = (positions.unsqueeze(-1) * self._frequencies).unsqueeze(2)
        cosines, sines = angles.cos() * self._scale, angles.sin() * self._signs * self._scale
        dtype = self._embedding.dtype
        return cosines.to(dtype), sines.to(dtype)

    def _attend(
        self,
        queries: torch.Tensor,
        keys: torch.Tensor,
        values: torch.Tensor,
        mask: torch.Tensor | None,
        *,
        causal: bool,
    ) -> torch.Tensor:
        """Return [rows, columns, width]; queries are [rows, columns, heads, size], keys [rows, groups, …]."""
        rows, new, heads, size = queries.shape
        attention = functional.scaled_dot_product_attention
        if new == 1:
            # The heads that share keys, as if they were several queries: PyTorch 2.13's kernel reads the keys
            # once for each head otherwise.
            packed = queries.reshape(rows, self._groups, heads // self._groups, size)
            return attention(packed, keys, values, attn_mask=mask).reshape(rows, 1, heads * size)
        repeats = heads // self._groups
        found = attention(
            queries.transpose(1, 2),
            keys.repeat_interleave(repeats, 1),
            values.repeat_interleave(repeats, 1),
            attn_mask=mask,
            is_causal=causal,
        )
        return found.transpose(1, 2).reshape(rows, new, heads * size)


def _mask(begins: torch.Tensor, columns: int, new: int) -> torch.Tensor:
    """Return [rows, 1, new, all columns], true where a new column sees a column; each sees itself."""
    every, own = torch.arange(columns + new), torch.arange(columns, columns + new).unsqueeze(1)
    # Padding sees itself alone: a row of the mask without any column would give no number.
    seen = (every <= own) & (every >= begins.unsqueeze(2)) | (every == own)
    return seen.unsqueeze(1)
