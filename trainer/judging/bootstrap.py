"""How sure a difference between two versions is, by resampling whole conversations.

Pure functions over tallies; no model, no file, no clock. Conversations are the clusters (Miller 2024,
"Adding Error Bars to Evals", arXiv 2411.00640; Efron and Tibshirani, "An Introduction to the Bootstrap",
1993), since replies of one conversation are good or bad together. The figure is total nats over total
tokens, never a mean of means, so a short conversation cannot outweigh a long one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from trainer.scoring.tally import Tally

POWER = 0.8
"""How likely a true difference should be found; the usual convention (Cohen 1988)."""

_CHUNK = 250
"""Resamples drawn at once: 250 x 20,000 conversations take 40 MB an array, three at once."""


@dataclass(frozen=True, slots=True)
class Interval:
    """Candidate minus reference in nats a token; below zero the candidate is better."""

    estimate: float
    low: float
    high: float
    better: float
    """Share of the resamples in which the candidate is better than asked (below ``margin``), 0 to 1."""
    confidence: float
    margin: float = 0.0
    """What the candidate has to be below, in nats a token."""
    spread: float = 0.0
    """Standard deviation of one conversation's share in the estimate, in nats a token."""
    conversations: int = 0


def paired_bootstrap(
    candidate: Sequence[Tally],
    reference: Sequence[Tally],
    *,
    confidence: float,
    resamples: int,
    margin: float = 0.0,
    seed: int = 0,
) -> Interval:
    """Resample conversations with replacement and give the interval of the difference.

    Both sequences hold one tally a conversation, in the same order and over the same tokens.

    Raises:
        ValueError: there is no conversation, or the two were not scored on the same tokens.
    """
    tokens = np.array([tally.tokens for tally in candidate], dtype=np.float64)
    # Without tokens a resample would divide by zero.
    if not len(tokens) or tokens.tolist() != [tally.tokens for tally in reference] or tokens.min() <= 0:
        raise ValueError("candidate and reference must be scored on the same tokens, at least one each")
    gaps = np.array([mine.nll - theirs.nll for mine, theirs in zip(candidate, reference, strict=True)])
    estimate = float(gaps.sum() / tokens.sum())
    draws = _resampled_ratios(gaps, tokens, resamples, np.random.default_rng(seed))
    draws = estimate + (draws - estimate) * _widening(tokens, confidence)
    low, high = np.quantile(draws, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(
        estimate=estimate,
        low=float(low),
        high=float(high),
        # Strictly below: a candidate that is the champion itself is better in no resample.
        better=float((draws < margin).mean()),
        confidence=confidence,
        margin=margin,
        spread=_spread(gaps, tokens, estimate),
        conversations=len(tokens),
    )


def conversations_needed(spread: float, effect: float, *, confidence: float) -> int:
    """Return how many conversations tell an ``effect`` from none, with a power of 80%.

    ``spread`` is :attr:`Interval.spread`, both in nats a token. At 95%, one-sided, that is
    6.18 x (spread / effect) squared (Miller 2024, section 5).
    """
    normal = NormalDist()
    quantiles = normal.inv_cdf(confidence) + normal.inv_cdf(POWER)
    return math.ceil((quantiles * spread / effect) ** 2)


def _widening(tokens: np.ndarray, confidence: float) -> float:
    """Return by how much the resamples are too close together, for few conversations of unlike lengths.

    Resamples scatter like the normal curve around a spread that is itself estimated; Student's t knows that.
    Its degrees of freedom come from the effective number of conversations (Kish, "Survey Sampling", 1965):
    ten with one that holds most tokens are hardly more than one. Without this, equal candidates on 30
    conversations of a real chat were promoted in 6.5 to 8% of the simulated verdicts instead of 5%.
    """
    effective = float(tokens.sum() ** 2 / (tokens**2).sum())
    freedom = max(effective - 1, 2.0)
    return (
        _student(confidence, freedom) / NormalDist().inv_cdf(confidence) * math.sqrt((freedom + 1) / freedom)
    )


def _student(probability: float, freedom: float) -> float:
    """Return Student's quantile by its expansion (Abramowitz and Stegun, 26.7.5); 1% off at 2 degrees."""
    z = NormalDist().inv_cdf(probability)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return z + sum(term / freedom**power for power, term in enumerate(terms, start=1))


def _spread(gaps: np.ndarray, tokens: np.ndarray, estimate: float) -> float:
    """Return the deviation of the ratio's linearised shares (Cochran, "Sampling Techniques", 1977, 6.4)."""
    if len(tokens) < 2:
        return math.inf
    shares = (gaps - estimate * tokens) / tokens.mean()
    return float(shares.std(ddof=1))


def _resampled_ratios(
    gaps: np.ndarray, tokens: np.ndarray, resamples: int, generator: np.random.Generator
) -> np.ndarray:
    parts = []
    for start in range(0, resamples, _CHUNK):
        # Picking rows is eight times as fast as counting them by a multinomial draw (150 conversations).
        picks = generator.integers(len(tokens), size=(min(_CHUNK, resamples - start), len(tokens)))
        parts.append(gaps[picks].sum(axis=1) / tokens[picks].sum(axis=1))
    return np.concatenate(parts)


__all__ = ["Interval", "conversations_needed", "paired_bootstrap"]
