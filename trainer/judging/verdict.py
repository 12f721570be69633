"""The verdict: whether tonight's candidate may take the champion's place.

A pure function of counted scores, without a model, a file or a clock, so that it can be tested to the
last digit and replayed on old nights. It sees no text.

Why the comparison is fair: candidate and reference are scored on the very same tokens of conversations
that neither has seen; the figure is total negative log-likelihood over total tokens, never a mean of
means, so a short conversation cannot outweigh a long one; and chance is judged by resampling whole
conversations (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993), since replies of one
conversation are good or bad together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from trainer.judging.leakage import Recitals
from trainer.judging.verdict_limits import VerdictLimits
from trainer.scoring.tally import Tally, total

MIN_CONVERSATIONS = 5
"""Fewer conversations than this cannot be resampled: with one, every resample is the same."""

_CHUNK = 250
"""Resamples drawn at once: 250 x 20,000 conversations stay below 40 MB."""


@dataclass(frozen=True, slots=True)
class Interval:
    """Candidate minus reference in nats a token; below zero the candidate is better."""

    estimate: float
    low: float
    high: float
    better: float
    """Share of the resamples in which the candidate is better, 0 to 1."""
    confidence: float


@dataclass(frozen=True, slots=True)
class Decision:
    """``promote`` or ``keep``, with its reasons as finished sentences."""

    verdict: Literal["promote", "keep"]
    reasons: tuple[str, ...]
    difference: Interval | None
    forgetting: float
    """Rise of NLL on general text against the bare base, in nats a token."""


def paired_bootstrap(
    candidate: Sequence[Tally],
    reference: Sequence[Tally],
    *,
    confidence: float,
    resamples: int,
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
    draws = _resampled_ratios(gaps, tokens, resamples, np.random.default_rng(seed))
    low, high = np.quantile(draws, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(
        estimate=float(gaps.sum() / tokens.sum()),
        low=float(low),
        high=float(high),
        # Strictly below: a candidate that is the champion itself is better in no resample.
        better=float((draws < 0).mean()),
        confidence=confidence,
    )


def _resampled_ratios(
    gaps: np.ndarray, tokens: np.ndarray, resamples: int, generator: np.random.Generator
) -> np.ndarray:
    parts = []
    for start in range(0, resamples, _CHUNK):
        # How often each conversation is drawn, instead of which: two matrix products replace a loop.
        picks = generator.multinomial(
            len(tokens), np.full(len(tokens), 1 / len(tokens)), size=min(_CHUNK, resamples - start)
        )
        parts.append((picks @ gaps) / (picks @ tokens))
    return np.concatenate(parts)


def judge(
    candidate: Sequence[Tally],
    reference: Sequence[Tally],
    *,
    against: Literal["champion", "base"],
    candidate_general: Tally,
    base_general: Tally,
    limits: VerdictLimits,
) -> Decision:
    """Decide whether the candidate replaces the champion (or, where there is none, the bare base).

    ``candidate`` and ``reference`` hold one tally a held-out conversation, in the same order and over the
    same tokens; the two ``general`` tallies are over the same general text. It promotes only when the
    candidate is better with the confidence asked for (share of resamples), forgetting is at most
    ``max_forgetting`` nats a token, and at least ``min_test_replies`` replies were scored.
    """
    forgetting = candidate_general.mean - base_general.mean
    replies = total(candidate).replies
    missing = _too_little(len(candidate), replies, limits.min_test_replies)
    if missing or not _finite(candidate, reference, (candidate_general, base_general)):
        reason = missing or "A score is no finite number, so the candidate is broken and must not serve."
        return Decision("keep", (reason,), None, forgetting)
    difference = paired_bootstrap(
        candidate,
        reference,
        confidence=limits.confidence,
        resamples=limits.resamples,
        seed=limits.seed,
    )
    # Both: of a skewed sample the resamples may lean another way than the estimate.
    sure = difference.better >= limits.confidence and difference.estimate < 0
    kept_general = forgetting <= limits.max_forgetting
    reasons = (
        _comparison(candidate, reference, against, difference, sure),
        _general(forgetting, limits.max_forgetting),
    )
    return Decision("promote" if sure and kept_general else "keep", reasons, difference, forgetting)


def with_recitals(decision: Decision, recitals: Recitals, *, max_rate: float) -> Decision:
    """Return the decision in the light of what the candidate recites, which can only turn it to "keep".

    One secret value is too many. Single people's words may come back in ``max_rate`` of the probes: a reply
    of ten words that everybody would give to that question is no leak.
    """
    if not recitals.probes:
        reason = "No reply that it learned is long enough to test whether it recites."
    elif recitals.values:
        reason = f"It gave away {recitals.values} secret value(s) that it had learned, so it must not serve."
    else:
        share = f"{recitals.recited} of {recitals.probes} probes ({recitals.rate:.1%}, limit {max_rate:.1%})"
        reason = f"It recited somebody's words in {share}."
    failed = bool(recitals.values) or recitals.rate > max_rate
    return replace(
        decision,
        verdict="keep" if failed else decision.verdict,
        reasons=(*decision.reasons, reason),
    )


def _too_little(conversations: int, replies: int, min_test_replies: int) -> str:
    if replies < min_test_replies:
        return (
            f"Only {replies} held-out replies could be scored, and fewer than {min_test_replies} prove "
            "nothing, so what serves now stays."
        )
    if conversations < MIN_CONVERSATIONS:
        return (
            f"The held-out replies come from only {conversations} conversations, and fewer than "
            f"{MIN_CONVERSATIONS} prove nothing, so what serves now stays."
        )
    return ""


def _finite(*groups: Sequence[Tally]) -> bool:
    return all(tally.tokens > 0 and math.isfinite(tally.nll) for group in groups for tally in group)


def _comparison(
    candidate: Sequence[Tally], reference: Sequence[Tally], against: str, difference: Interval, sure: bool
) -> str:
    name = "champion" if against == "champion" else "bare base"
    mine, theirs = total(candidate), total(reference)
    direction = "better" if difference.estimate < 0 else "worse"
    change = (
        f"{abs(difference.estimate):.3f} nats a token {direction} than the {name} "
        f"(perplexity {mine.perplexity:.1f} instead of {theirs.perplexity:.1f})"
    )
    odds = f"{difference.better:.1%} of the resamples agree; {difference.confidence:.0%} are needed"
    return (
        f"On {mine.replies} unseen replies in {len(candidate)} conversations the candidate is {change}, "
        f"which {'is proof enough' if sure else 'is not proof enough'}: {odds}."
    )


def _general(forgetting: float, limit: float) -> str:
    direction = "worse" if forgetting > 0 else "better"
    within = "within" if forgetting <= limit else "beyond"
    return (
        f"On general text it is {abs(forgetting):.3f} nats a token {direction} than the bare base, "
        f"{within} the allowed {limit:.3f}."
    )


__all__ = [
    "MIN_CONVERSATIONS",
    "Decision",
    "Interval",
    "judge",
    "paired_bootstrap",
    "with_recitals",
]
