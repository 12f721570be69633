"""The verdict: whether tonight's candidate may take the champion's place.

A pure function of counted scores, without a model, a file or a clock, so that it can be tested to the
last digit and replayed on old nights. It sees no text.

Why the comparison is fair: candidate and reference are scored on the very same tokens of conversations
that neither has seen, and chance is judged by :mod:`trainer.judging.bootstrap`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from trainer.judging.bootstrap import Interval, conversations_needed, paired_bootstrap
from trainer.judging.guards import Guard
from trainer.judging.verdict_limits import VerdictLimits
from trainer.scoring.tally import Tally, total

MIN_CONVERSATIONS = 5
"""Fewer conversations than this cannot be resampled: with one, every resample is the same."""

Need = Literal["gain", "grown"]
"""What it takes to serve: to be better by ``min_gain``; or no worse than by a margin, where the candidate
goes on from what it is held against, and so knows what was said since."""

SMALLEST_EFFECT = 0.005
"""Nats a token; how many conversations are lacking is counted for no smaller difference than this."""


@dataclass(frozen=True, slots=True)
class Decision:
    """``promote`` or ``keep``, with its reasons as finished sentences."""

    verdict: Literal["promote", "keep"]
    reasons: tuple[str, ...]
    difference: Interval | None
    forgetting: float
    """Rise of NLL on general text against the bare base, in nats a token."""
    failed: tuple[str, ...] = ()
    """Names of the guards that it failed."""
    mendable: bool = False
    """Whether it failed guards that the same adapter at a smaller scale may pass, and no others."""
    scale: float = 1.0
    """The share of the adapter's strength that was judged; a promoted version has to serve at it."""


def judge(
    candidate: Sequence[Tally],
    reference: Sequence[Tally],
    *,
    against: str,
    limits: VerdictLimits,
    guards: Sequence[Guard] = (),
    forgetting: float = math.nan,
    need: Need = "gain",
    scale: float = 1.0,
) -> Decision:
    """Decide whether the candidate replaces the champion (or, where there is none, the bare base).

    ``candidate`` and ``reference`` hold one tally an exam conversation, in the same order and over the
    same tokens; ``against`` is what to call the reference. It promotes when the candidate is better by more
    than ``min_gain`` with the confidence asked for (share of resamples), at least ``min_test_replies``
    replies were scored, and all guards passed.

    Where the ``need`` is less than a gain, it has to be surely no worse than by ``grown_margin``.
    """
    failed = tuple(guard.name for guard in guards if not guard.passed)
    mendable = bool(failed) and all(guard.mendable for guard in guards if not guard.passed)
    told = tuple(guard.reason for guard in guards)
    missing = _too_little(len(candidate), total(candidate).replies, limits.min_test_replies)
    if missing:
        return Decision("keep", (missing,), None, forgetting, failed, False, scale)
    if not _finite(candidate, reference):
        reason = "A score is no finite number, so the candidate is broken and must not serve."
        return Decision("keep", (reason,), None, forgetting, failed, False, scale)
    difference = paired_bootstrap(
        candidate,
        reference,
        confidence=limits.confidence,
        resamples=limits.resamples,
        margin=margin_of(need, limits),
        seed=limits.seed,
    )
    # Both: of a skewed sample the resamples may lean another way than the estimate.
    sure = difference.better >= limits.confidence and difference.estimate < difference.margin
    reasons = [_comparison(candidate, reference, against, difference, sure, need)]
    if not sure and 1 - difference.better < limits.confidence:
        reasons.append(_lacking(difference, limits))
    verdict: Literal["promote", "keep"] = "promote" if sure and not failed else "keep"
    return Decision(verdict, (*reasons, *told), difference, forgetting, failed, mendable, scale)


def margin_of(need: Need, limits: VerdictLimits) -> float:
    """Return what the difference has to be below, in nats a token; a gain is below zero."""
    return limits.grown_margin if need == "grown" else -limits.min_gain


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
    candidate: Sequence[Tally],
    reference: Sequence[Tally],
    against: str,
    difference: Interval,
    sure: bool,
    need: Need,
) -> str:
    mine, theirs = total(candidate), total(reference)
    direction = "better" if difference.estimate < 0 else "worse"
    change = (
        f"{abs(difference.estimate):.3f} nats a token {direction} than the {against} "
        f"(perplexity {mine.perplexity:.1f} instead of {theirs.perplexity:.1f})"
    )
    less = difference.margin > 0
    why = f", since it goes on from the {against} and knows what was said since" if less else ""
    asked = f"more than {-difference.margin:.3f} better" if difference.margin < 0 else "better"
    if less:
        asked = f"no worse than {difference.margin:.3f}"
    odds = (
        f"{difference.better:.1%} of the resamples are {asked}{why}; {difference.confidence:.0%} are needed"
    )
    return (
        f"On {mine.replies} unseen replies in {len(candidate)} conversations the candidate is {change}, "
        f"which {'is proof enough' if sure else 'is not proof enough'}: {odds}."
    )


def _lacking(difference: Interval, limits: VerdictLimits) -> str:
    """Say what it would take to tell, where the exam proved neither."""
    smallest = max(abs(difference.margin), SMALLEST_EFFECT)
    needed = conversations_needed(difference.spread, smallest, confidence=limits.confidence)
    lacking = max(needed - difference.conversations, 0)
    effect = f"{smallest:.3f} nats a token"
    if not lacking:
        left = (
            "it may well be worse by about as much"
            if difference.margin > 0
            else ("a smaller gain is all that there can be")
        )
        return f"The exam is large enough to tell {effect} apart, so {left}."
    return (
        f"It takes about {needed:,} conversations to tell {effect} apart, and the exam still lacks "
        f"{lacking:,} of them."
    )


__all__ = ["MIN_CONVERSATIONS", "Decision", "Need", "judge", "margin_of"]
