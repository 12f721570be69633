"""Whether what serves still deserves to: evidence from the days after a promotion.

Pure functions over what champion and predecessor scored on the same fresh conversations, night by night;
reads no ledger. The evidence is an e-process, a bet against "the champion is no worse than its predecessor by
more than the margin": capital that starts at 1 and, while that is true, exceeds 20 with a chance of at most
one in 20, however often one looks (Ville's inequality; Waudby-Smith and Ramdas 2024, "Estimating means of
bounded random variables by betting", arXiv 2010.09686). So it may be read every night and act at once.

What it assumes: whatever came before, a fresh conversation's expected difference is within the margin while
the champion is. A day on which everybody talks about what only the predecessor knew counts against the
champion as if it were typical; such days are the rule's false alarms, and the margin pays for some of them.
Differences are clipped, so that no conversation can take all of the capital; where clipping cuts off
more gains than losses, the bet is a little unfair to the champion.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from trainer.judging.verdict_limits import VerdictLimits
from trainer.scoring.tally import Tally

CLIP_NATS = 80.0
"""A conversation's difference counts as no more than this. On real differences, 20 nats cut the long
conversations off that decide the mean, and sent 23% of the equal versions back; with 160 a version that is
worse by 0.05 stays half as long again."""
STAKES = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9)
"""Shares of the capital that are bet beside each other; the evidence is their mean, so that none has to be
chosen beforehand: small ones find small differences, large ones find large ones soon."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Champion minus predecessor on one conversation: a sum in nats over ``tokens`` tokens."""

    nats: float
    tokens: int


@dataclass(frozen=True, slots=True)
class Watch:
    """What the nights since a promotion say about it."""

    evidence: float
    """Odds to one that the champion is worse than its predecessor by more than the margin."""
    go_back: bool
    reason: str


def gaps_between(champion: Mapping[int, Tally], predecessor: Mapping[int, Tally]) -> tuple[Gap, ...]:
    """Return the differences on conversations that both scored, in order of their numbers.

    Raises:
        ValueError: the two were not scored on the same tokens.
    """
    both = sorted(number for number in champion.keys() & predecessor.keys() if champion[number].tokens)
    if any(champion[number].tokens != predecessor[number].tokens for number in both):
        raise ValueError("champion and predecessor must be scored on the same tokens")
    return tuple(
        Gap(champion[number].nll - predecessor[number].nll, champion[number].tokens) for number in both
    )


def watch(nights: Sequence[Sequence[Gap]], limits: VerdictLimits) -> Watch:
    """Weigh all nights since the promotion, oldest first, and say whether to go back.

    Once the evidence has reached ``go_back_evidence``, later nights do not take it back: the guarantee holds
    for the highest that the capital ever was.
    """
    gaps = [gap for night in nights for gap in night]
    if not gaps:
        return Watch(1.0, False, "Nothing new has been written since it was promoted that both have scored.")
    capital = _capital(np.array([_payoff(gap, limits.go_back_margin) for gap in gaps]))
    highest = float(capital.max())
    back = highest >= limits.go_back_evidence
    evidence = highest if back else float(capital[-1])
    mean = sum(gap.nats for gap in gaps) / sum(gap.tokens for gap in gaps)
    direction = "worse" if mean > 0 else "better"
    reason = (
        f"On {len(gaps)} conversations in {len(nights)} nights since it was promoted it was {abs(mean):.3f} "
        f"nats a token {direction} than the version before it; the evidence that it is worse by more than "
        f"{limits.go_back_margin:.3f} stands at {_odds(evidence)} to 1, and {limits.go_back_evidence:g} to 1 "
        f"{'is reached, so the version before it serves again' if back else 'would send it back'}."
    )
    return Watch(evidence, back, reason)


def _capital(payoffs: np.ndarray) -> np.ndarray:
    """Return what the mean of all stakes has come to after each conversation."""
    # Sums of logarithms: in a thousand conversations a product may leave the range of a float.
    grown = np.cumsum(np.log1p(np.outer(payoffs, STAKES)), axis=0)
    return np.asarray(np.exp(np.minimum(grown, 700.0)).mean(axis=1))


def _payoff(gap: Gap, margin: float) -> float:
    """Return what one conversation pays a stake of 1: above zero where the champion was worse."""
    # In nats, not nats a token: what is judged is total nats over total tokens, as in the verdict.
    return min(max(gap.nats - margin * gap.tokens, -CLIP_NATS), CLIP_NATS) / CLIP_NATS


def _odds(evidence: float) -> str:
    if evidence >= 1e6:
        return "more than a million"
    return f"{evidence:.1f}" if evidence < 100 else f"{evidence:,.0f}"


__all__ = ["CLIP_NATS", "STAKES", "Gap", "Watch", "gaps_between", "watch"]
