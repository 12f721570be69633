"""Products of a linear layer in 8 bits, for CPUs that compute nothing smaller than float32.

Imported, not run. Its border: matrices; it knows no model. Weights are whole numbers with a scale for each
output, and inputs are rounded as they come, with a scale for each row. A few input columns of a language
model are tens of times larger than the rest and would leave the others no digits (Dettmers et al. 2022,
"LLM.int8()", arXiv 2208.07339): those stay in float32, with their weights.
"""

from __future__ import annotations

import warnings

import torch

LARGEST = 96
"""Weights are rounded to −96 … 96. Without VNNI a processor adds products in pairs of 16 bits, which overflow
where both are large: up to 127 a product's error was twice that of rounding, up to 100 it was 3% more."""
LEFT_OUT = 12
"""One input column of a product in so many stays in float32. On eight stretches of 512 tokens of real chat
the small model's next-token KL to float32 is 0.0041 then; with 32 columns of each product, however wide, it
is 0.0067, with one in nine 0.0037. With the product of gate and up rounded to 16 bits it is 0.0018."""
_ENDS = 2
_STEPS, _MOST = 127.5, 127
"""Steps of 8 bits from 0 to 1, as PyTorch takes them for a range from −1 to 1; how many of them are whole."""


def available() -> bool:
    """Tell whether this PyTorch has the products for this processor."""
    return "fbgemm" in torch.backends.quantized.supported_engines and hasattr(torch, "quantize_per_channel")


class EightBitWeight:
    """The matrix of one product, [out, in]."""

    def __init__(self, weight: torch.Tensor, peaks: torch.Tensor, *, fine: bool = False) -> None:
        """Round ``weight``; ``peaks``, [in], is how large each input column becomes.

        With ``fine`` inputs are rounded to 16 bits: what is left of the first 8 is a row of its own.
        """
        inputs = weight.shape[1]
        left_out = peaks.topk(max(_ENDS, inputs // LEFT_OUT)).indices.sort().values
        self._columns, self._kept = left_out, weight[:, left_out].float().t().contiguous()
        self._packed = _packed(weight.float().index_fill(1, left_out, 0.0))
        self._rest = torch.ones(inputs).index_fill_(0, left_out, 0.0)
        # PyTorch finds one scale for all of its input. In two columns whose weights are zero stand the ends
        # of the range, so that it is always the same and a row's result does not depend on its neighbours.
        self._ends = torch.zeros(inputs).index_put_((left_out[:_ENDS],), torch.tensor([1.0, -1.0]))
        self._fine = fine

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Return [rows, out] for ``x``, [rows, in], both in float32."""
        rest = x * self._rest
        peaks = _row_peaks(rest)
        if self._fine:
            whole = (rest * (_STEPS / peaks)).round_().clamp_(-_MOST, _MOST).mul_(peaks / _STEPS)
            rest = torch.cat([whole, rest.sub_(whole)])
            peaks = torch.cat([peaks, _row_peaks(rest[len(x) :])])
        rounded = torch.addcdiv(self._ends, rest, peaks)
        found: torch.Tensor = torch.ops.quantized.linear_dynamic(rounded, self._packed, False).mul_(peaks)
        if self._fine:
            found = found[: len(x)].add_(found[len(x) :])
        result: torch.Tensor = found.addmm_(x.index_select(1, self._columns), self._kept)
        return result


def _row_peaks(rows: torch.Tensor) -> torch.Tensor:
    """Return the largest magnitude of each row, [rows, 1]; a row of zeros stays one when divided by it."""
    peaks: torch.Tensor = torch.linalg.vector_norm(rows, torch.inf, -1, keepdim=True)
    return peaks.clamp_(min=1e-30)


def _packed(weight: torch.Tensor) -> object:
    """Return the matrix as fbgemm reads it."""
    scales = weight.abs().amax(1).clamp(min=1e-30) / LARGEST
    zeros = torch.zeros(len(scales), dtype=torch.long)
    with warnings.catch_warnings():
        # PyTorch will drop tensors of this kind and names no other way to fbgemm; its version is pinned.
        warnings.filterwarnings("ignore", message=".*quantized tensor creation functions")
        whole = torch.quantize_per_channel(weight, scales.double(), zeros, 0, torch.qint8)
    packed: object = torch.ops.quantized.linear_prepack(whole, None)
    return packed


__all__ = ["LARGEST", "LEFT_OUT", "EightBitWeight", "available"]
