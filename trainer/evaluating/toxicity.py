"""Whether a text insults or swears: a linear model over words, from plain arrays.

``toxicity.npz`` holds the words, their inverse document frequencies and the weights of alt-profanity-check
1.9.1 (MIT, see ``toxicity_licence.txt``; a linear SVM on some 200,000 comments that people labelled),
converted once by ``benchmarks/bench_toxicity.py --export``. The package itself would unpickle its model
at every start; these are numbers and letters alone. English only: what it does not know it calls harmless.

Knows numpy and texts; no model library, so that whoever prepares a dataset may use it as well.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np

WEIGHTS = Path(__file__).with_name("toxicity.npz")
TOXIC = 0.5
"""From this probability on a text counts as toxic. On chat of programmers that is 0.7% of the lines, on
prompts that were collected for being toxic 16 to 36% (``benchmarks/results/toxicity-2026-11-30.md``)."""

_WORD = re.compile(r"\b\w\w+\b")


class ToxicityModel:
    """Word weights, and the probability that follows from them."""

    def __init__(self, words: dict[str, tuple[float, float]], intercept: float, slope: float, shift: float):
        """``words`` map to (inverse document frequency, weight); slope and shift are Platt's."""
        self._words, self._intercept, self._slope, self._shift = words, intercept, slope, shift

    def probability(self, text: str) -> float:
        """Return how likely people would call ``text`` toxic, 0 to 1."""
        counts = Counter(word for word in _WORD.findall(text.lower()) if word in self._words)
        parts = [(count * self._words[word][0], self._words[word][1]) for word, count in counts.items()]
        length = math.sqrt(sum(part * part for part, _ in parts)) or 1.0
        margin = sum(part * weight for part, weight in parts) / length + self._intercept
        return 1 / (1 + math.exp(self._slope * margin + self._shift))


@cache
def toxicity_model() -> ToxicityModel:
    """Return the shipped model; 30 ms the first time."""
    with np.load(WEIGHTS, allow_pickle=False) as arrays:
        words = bytes(arrays["words"]).decode().split("\n")
        pairs = zip(arrays["idf"].tolist(), arrays["weights"].tolist(), strict=True)
        intercept, slope, shift = arrays["platt"].tolist()
    return ToxicityModel(dict(zip(words, pairs, strict=True)), intercept, slope, shift)


def is_toxic(text: str) -> bool:
    """Tell whether ``text`` is likelier toxic than not."""
    return toxicity_model().probability(text) >= TOXIC


def toxicity_of(texts: Sequence[str]) -> list[float]:
    """Return how likely people would call each text toxic, 0 to 1."""
    return [toxicity_model().probability(text) for text in texts]


__all__ = ["TOXIC", "ToxicityModel", "is_toxic", "toxicity_model", "toxicity_of"]
