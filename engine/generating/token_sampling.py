"""Draw the next token of each row of a batch.

Imported, not run. Its border: numbers to token ids. A row's draw depends on its own logits, words,
seed and settings alone, never on its neighbours in the batch. The order of the steps is vLLM's: bias
and end tokens, penalties, temperature, min-p, top-k, top-p.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch

_THROWS = 4
"""How often a row with top-p draws from the whole vocabulary before its likeliest tokens are looked for: with
a top-p of 0.95 one row in 160,000 is left after four."""
_NUCLEI = (64, 1024)
"""How many of the likeliest tokens are looked at, one after the other, before all are sorted: of a vocabulary
of 49,152 and for 16 rows, 64 are found in 1.1 ms and 1,024 in 6.6, a tenth of a step of the small model."""


@dataclass(frozen=True, slots=True)
class SamplingParameters:
    """How one answer is drawn; the defaults draw from the model's own probabilities.

    ``temperature`` 0 takes the likeliest token; ``top_p`` is in (0, 1], ``top_k`` 0 is all, ``min_p`` is a
    share of the likeliest token's probability. Penalties and ``logit_bias`` are vLLM's and OpenAI's.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    seed: int | None = None
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    min_tokens: int = 0
    logit_bias: tuple[tuple[int, float], ...] = ()


class Dice:
    """How one row draws: its parameters, its random numbers, and the tokens that it has seen."""

    def __init__(self, sampling: SamplingParameters, prompt: Sequence[int] = ()) -> None:
        self.sampling = sampling
        # Python's generator, not torch's: a seed then gives the same numbers on a CPU and on any GPU.
        self._random = random.Random(sampling.seed)  # noqa: S311 - words, not secrets
        self.prompt = frozenset(prompt) if sampling.repetition_penalty != 1 else frozenset()
        self.written: Counter[int] = Counter()

    @property
    def greedy(self) -> bool:
        return self.sampling.temperature < 1e-5

    @property
    def cuts(self) -> bool:
        """Whether unlikely tokens are left out."""
        return self.sampling.top_p < 1 or self.sampling.top_k > 0 or self.sampling.min_p > 0

    @property
    def simple(self) -> bool:
        """Whether a token can be judged by itself: no top-k and no min-p, of whose rest top-p is a share."""
        return self.sampling.top_k == 0 and self.sampling.min_p == 0

    def note(self, token: int) -> None:
        """Remember a token that the answer holds."""
        self.written[token] += 1

    def throw(self) -> float:
        """Return the next number in [0, 1)."""
        return self._random.random()


def draw(logits: torch.Tensor, dice: Sequence[Dice]) -> list[int]:
    """Return one token id a row; ``logits`` has the shape [rows, vocabulary], penalties applied."""
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
    temperatures = _column([die.sampling.temperature for die in dice], logits)
    # Large logits over a small temperature (1e-5 is the least that is drawn with) may be infinite, and
    # infinity less infinity is NaN. With the largest taken off first, only losers can overflow, and to
    # minus infinity, which is a probability of 0.
    probabilities = ((logits - logits.amax(dim=-1, keepdim=True)) / temperatures).softmax(dim=-1)
    chosen = [0] * len(dice)
    left = list(range(len(dice)))
    for _ in range(_THROWS):
        thrown = [at for at, row in enumerate(left) if dice[row].simple]
        if not thrown:
            break
        fine = _throw_once(probabilities, left, thrown, dice, chosen)
        more = [at for at in range(len(left)) if at not in fine]
        left, probabilities = [left[at] for at in more], probabilities[more]
    for width in _NUCLEI:
        if not left or width >= probabilities.shape[-1]:
            break
        best, ids = probabilities.topk(width)
        enough = _enough(best, [dice[row] for row in left])
        found = [at for at, fine in enumerate(enough) if fine]
        if found:
            _choose([left[at] for at in found], best[found], ids[found], dice, chosen)
            more = [at for at, fine in enumerate(enough) if not fine]
            left, probabilities = [left[at] for at in more], probabilities[more]
    if left:
        _choose(left, *probabilities.sort(dim=-1, descending=True), dice, chosen)
    return chosen


def _throw_once(
    probabilities: torch.Tensor, left: list[int], thrown: list[int], dice: Sequence[Dice], chosen: list[int]
) -> set[int]:
    """Throw for the rows of ``left`` at the places ``thrown``; return the places whose token may be kept.

    A token is within top-p unless those that are likelier make up that share already; of equally likely
    ones all are. Throwing again for one that is not gives each of the others its due, and sorts nothing.
    """
    weights = probabilities if len(thrown) == len(left) else probabilities[thrown]
    some = [dice[left[at]] for at in thrown]
    picked = _pick(weights, [die.throw() for die in some]).unsqueeze(1)
    if any(die.cuts for die in some):
        likelier = weights.where(weights > weights.gather(1, picked), 0).sum(dim=-1).tolist()
    else:
        likelier = [0.0] * len(some)
    fine = set()
    for at, die, token, before in zip(thrown, some, picked[:, 0].tolist(), likelier, strict=True):
        if not die.cuts or before < die.sampling.top_p:
            chosen[left[at]] = token
            fine.add(at)
    return fine


def _choose(
    rows: Sequence[int],
    weights: torch.Tensor,
    ids: torch.Tensor,
    dice: Sequence[Dice],
    chosen: list[int],
) -> None:
    """Throw for these rows among their likeliest tokens: ``weights``, sorted downwards, and their ``ids``."""
    some = [dice[row] for row in rows]
    picked = _pick(_cut(weights, some), [die.throw() for die in some])
    for row, token in zip(rows, ids.gather(1, picked.unsqueeze(1))[:, 0].tolist(), strict=True):
        chosen[row] = token


def _enough(best: torch.Tensor, dice: Sequence[Dice]) -> list[bool]:
    """Return for each row whether its likeliest tokens hold all that it may draw."""
    width = best.shape[-1]
    # Without the last one's equals, of which more may follow.
    sums = best.where(best > best[:, -1:], 0).sum(dim=-1).tolist()
    least, most = best[:, -1].tolist(), best[:, 0].tolist()
    return [
        0 < die.sampling.top_k <= width
        or least[row] < die.sampling.min_p * most[row]
        or (die.sampling.top_k == 0 and die.sampling.min_p == 0 and sums[row] >= die.sampling.top_p)
        for row, die in enumerate(dice)
    ]


def _cut(weights: torch.Tensor, dice: Sequence[Dice]) -> torch.Tensor:
    """Return ``weights``, sorted downwards, with 0 for what a row leaves out; the first always stays."""
    width = weights.shape[-1]
    ranks = torch.arange(width, device=weights.device)
    kept = weights >= weights[:, :1] * _column([die.sampling.min_p for die in dice], weights)
    kept &= ranks < _column([float(die.sampling.top_k or width) for die in dice], weights)
    # Top-p is a share of what top-k and min-p left. Without these it is a share of everything, and the
    # columns here may be only the likeliest of it.
    limited = _column([float(die.sampling.top_k > 0 or die.sampling.min_p > 0) for die in dice], weights)
    left = weights * kept
    total = torch.where(limited > 0, left.sum(dim=-1, keepdim=True), torch.ones_like(limited))
    likelier = left.cumsum(dim=-1) - left
    # Of equally likely ones all are kept or none, as where nothing is sorted.
    likelier = likelier.gather(1, torch.searchsorted(-weights, -weights))
    kept &= likelier < _column([die.sampling.top_p for die in dice], weights) * total
    kept[:, 0] = True  # a top-p of 1e-46 is 0 in float32, and would leave nothing to draw
    return weights * kept


def _pick(weights: torch.Tensor, throws: Sequence[float]) -> torch.Tensor:
    """Return, for each row, the index its throw in [0, 1) falls on when its weights are laid end to end."""
    edges = weights.cumsum(dim=-1)
    hit = torch.searchsorted(edges, edges[:, -1:] * _column(throws, weights), right=True).squeeze(1)
    # Rounding can put a throw of nearly 1 behind the last weight.
    return hit.where(hit < weights.shape[-1], weights.argmax(dim=-1))


def _column(values: Sequence[float], like: torch.Tensor) -> torch.Tensor:
    return torch.tensor(values, dtype=like.dtype, device=like.device).unsqueeze(1)
