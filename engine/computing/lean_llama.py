"""A Llama's forward pass on a CPU in a tenth of the operator calls that transformers makes.

Imported, not run. Its border: the same as :mod:`engine.computing.forward`; it computes what
``LlamaForCausalLM`` computes, up to rounding. A token of a small model costs more in calls than in
arithmetic: transformers makes some 6,600 of them a step for 30 layers. Here the products that share an
input are one product, weights lie as oneDNN reads them fastest (18 ms for all of the small model's against
37 in PyTorch's own layout, one row in bf16 on one core), and masks exist only where rows differ in length.
Weights are read once for all that a pass computes: rows that write and prompts are one long line of tokens,
which part again for attention alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional

from engine.computing.cache import Part
from engine.computing.eight_bit import EightBitWeight
from engine.computing.lora_bank import LoraBank, Slot

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_ROTATIONS = frozenset({"default", "linear", "llama3"})
"""Kinds of rotary positions whose frequencies are fixed when the model is loaded."""
_FORMATS = frozenset({torch.float32, torch.bfloat16})


class _Product:
    """One or several linear layers on the same input: ``W x`` and what the rows' adapters add to it."""

    def __init__(
        self, weights: Sequence[torch.Tensor], slot: Slot, peaks: torch.Tensor | None, *, fine: bool
    ) -> None:
        """With ``peaks``, how large each input becomes, the product is computed in 8 bits."""
        weight = weights[0] if len(weights) == 1 else torch.cat(list(weights))
        self._dtype, self._slot = weight.dtype, slot
        self._eight_bit = EightBitWeight(weight, peaks, fine=fine) if peaks is not None else None
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

    together = True

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
            # The product of gate and up has the longest tail of all inputs.
            fine=names[0].endswith("down_proj"),
        )
        for module in modules:
            # Both layouts at once would be twice the model's size; the last module to go frees a weight.
            module.weight = nn.Parameter(module.weight.new_empty(0), requires_grad=False)
        return product

    def last_logits(self, parts: Sequence[Part]) -> list[torch.Tensor]:
        """Implement :class:`engine.computing.forward.Forward`."""
        # Each token is a row of its own to the adapters, since parts differ in columns.
        self.bank.select([name for part in parts for name in part.adapters for _ in range(part.ids.shape[1])])
        views = [_View(part, self._heads // self._groups) for part in parts]
        ends = list(accumulate(part.ids.numel() for part in parts))
        spans = list(zip([0, *ends], ends, views, strict=False))
        cosines, sines = self._rotation(torch.cat([view.positions.reshape(-1) for view in views]))
        # What flows between the layers stays in float32, in which norms and adapters compute anyway.
        flow = functional.embedding(torch.cat([part.ids.reshape(-1) for part in parts]), self._embedding)
        flow = flow.float().unsqueeze(0)
        for at, layer in enumerate(self._layers):
            found = layer.queries_keys_values(self._normed(flow, layer.before_attention))[0]
            found = found.view(-1, self._heads + 2 * self._groups, self._size)
            turned = found[:, : self._heads + self._groups]
            turned = torch.addcmul(turned * cosines, turned.roll(self._size // 2, -1), sines)
            values = found[:, self._heads + self._groups :]
            attended = [self._attend(at, view, turned[a:b], values[a:b]) for a, b, view in spans]
            flow = flow.add_(layer.attended(torch.cat(attended).unsqueeze(0)))
            both = layer.gate_and_up(self._normed(flow, layer.before_mlp))
            gate, up = both.chunk(2, dim=-1)
            flow = flow.add_(layer.down(functional.silu(gate).mul_(up)))
        last = [a + (row + 1) * view.new - 1 for a, _, view in spans for row in range(view.rows)]
        self.bank.select([name for part in parts for name in part.adapters])
        logits = self._head(self._normed(flow[:, last], self._norm))[0]
        return list(torch.split(logits, [view.rows for view in views]))

    def _normed(self, flow: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return functional.rms_norm(flow, (self.width,), weight, self._epsilon)

    def _rotation(self, positions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return cosines and signed sines, [tokens, 1, size of a head]."""
        angles = (positions.unsqueeze(-1) * self._frequencies).unsqueeze(1)
        cosines, sines = angles.cos() * self._scale, angles.sin() * self._signs * self._scale
        dtype = self._embedding.dtype
        return cosines.to(dtype), sines.to(dtype)

    def _attend(self, at: int, view: _View, turned: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        """Return what the tokens of a part see in layer ``at``, [tokens, width].

        ``turned`` holds queries and keys, [tokens, heads + groups, size], ``values`` the rest.
        """
        rows, new, heads, size = view.rows, view.new, self._heads, self._size
        turned = turned.view(rows, new, -1, size)
        queries = turned[:, :, :heads].transpose(1, 2)
        keys, values = view.part.cache.memories[at].update(
            turned[:, :, heads:].transpose(1, 2), values.view(rows, new, -1, size).transpose(1, 2)
        )
        repeats = heads // self._groups
        attention = functional.scaled_dot_product_attention
        if view.causal:
            keys, values = keys.repeat_interleave(repeats, 1), values.repeat_interleave(repeats, 1)
            found = attention(queries, keys, values, is_causal=True)
        else:
            # The heads that share keys, as if they were several queries: PyTorch 2.13's kernel reads the keys
            # once for each head otherwise, and a portion of a long prompt would copy all that is read for it.
            packed = queries.reshape(rows, self._groups, repeats * new, size)
            found = attention(packed, keys, values, attn_mask=view.mask).reshape(rows, heads, new, size)
        return found.transpose(1, 2).reshape(rows * new, heads * size)


class _View:
    """Where the tokens of a part stand, and what each sees."""

    def __init__(self, part: Part, repeats: int) -> None:
        """``repeats`` are the heads that share keys."""
        self.part = part
        self.rows, self.new = part.ids.shape
        columns, padded = part.cache.columns, max(part.starts) > 0
        begins = torch.tensor(part.starts).unsqueeze(1)
        self.positions = (torch.arange(columns, columns + self.new) - begins).clamp(min=0)
        self.causal = columns == 0 and not padded and self.new > 1
        hides = padded or (self.new > 1 and not self.causal)
        self.mask = _mask(begins, columns, self.new).repeat(1, 1, repeats, 1) if hides else None


def _mask(begins: torch.Tensor, columns: int, new: int) -> torch.Tensor:
    """Return [rows, 1, new, all columns], true where a new column sees a column; each sees itself."""
    every, own = torch.arange(columns + new), torch.arange(columns, columns + new).unsqueeze(1)
    # Padding sees itself alone: a row of the mask without any column would give no number.
    seen = (every <= own) & (every >= begins.unsqueeze(2)) | (every == own)
    return seen.unsqueeze(1)
