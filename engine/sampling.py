"""Draw the next token of each row of a batch.

Imported, not run. Its border: numbers to token ids. A row's draw depends on its own logits, seed and
settings alone, never on its neighbours in the batch.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch

_NUCLEUS = 1024
"""Likeliest tokens looked at first: sorting a vocabulary of 49,152 takes longer than the layer before it."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How one answer is drawn: ``temperature`` 0 takes the likeliest token, ``top_p`` is in (0, 1]."""

    temperature: float = 1.0
    top_p: float = 1.0
    seed: int | None = None


class Dice:
    """One row's way of drawing, with random numbers of its own."""

    def __init__(self, sampling: Sampling) -> None:
        self.temperature = sampling.temperature
        self.top_p = sampling.top_p
        self._random = random.Random(sampling.seed)  # noqa: S311 - words, not secrets

    @property
    def greedy(self) -> bool:
        return self.temperature < 1e-5

    def throw(self) -> float:
        """Return the next number in [0, 1)."""
        return self._random.random()


def draw(logits: torch.Tensor, dice: Sequence[Dice]) -> list[int]:
    """Return one token id a row; ``logits`` has the shape [rows, vocabulary]."""
    chosen = [0] * len(dice)
    greedy = [row for row, die in enumerate(dice) if die.greedy]
    if greedy:
        for row, token in zip(greedy, logits[greedy].argmax(dim=-1).tolist(), strict=True):
            chosen[row] = token
    thrown = [row for row, die in enumerate(dice) if not die.greedy]
    if thrown:
        drawn = _throw(logits[thrown].float(), [dice[row] for row in thrown])
        for row, token in zip(thrown, drawn, strict=True):
            chosen[row] = token
    return chosen


def _throw(logits: torch.Tensor, dice: Sequence[Dice]) -> list[int]:
    """Draw each row from the smallest set of tokens that reaches its top-p (Holtzman et al. 2020)."""
    temperatures = torch.tensor([[die.temperature] for die in dice], device=logits.device)
    probabilities = (logits / temperatures).softmax(dim=-1)
    best, ids = probabilities.topk(min(_NUCLEUS, probabilities.shape[-1]))
    reached = best.sum(dim=-1).tolist()
    return [
        _draw_row(probabilities[row], best[row], ids[row], reached[row], die) for row, die in enumerate(dice)
    ]


def _draw_row(
    probabilities: torch.Tensor, best: torch.Tensor, ids: torch.Tensor, reached: float, die: Dice
) -> int:
    if die.top_p >= 1:
        return _pick(probabilities, die.throw())
    if reached < die.top_p and len(best) < len(probabilities):
        best, ids = probabilities.sort(descending=True)
    before = best.cumsum(dim=-1) - best
    nucleus = best.masked_fill(before >= die.top_p, 0.0)
    return int(ids[_pick(nucleus, die.throw())])


def _pick(weights: torch.Tensor, throw: float) -> int:
    """Return the index on which ``throw`` in [0, 1) falls when ``weights`` are laid end to end."""
    edges = weights.cumsum(dim=-1)
    place = int(torch.searchsorted(edges, edges[-1:] * throw, right=True))
    return min(place, int(weights.nonzero()[-1]))
