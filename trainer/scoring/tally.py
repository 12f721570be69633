"""What a model scored, as sums that can be added: nats, tokens, likeliest choices, replies.

Plain values without a model or a file. Sums rather than means, because means of parts with different
numbers of tokens do not add up to the mean of the whole.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tally:
    """What one model scored on one conversation: ``nll`` is a sum in nats over ``tokens`` tokens."""

    nll: float
    tokens: int
    correct: int = 0
    """Tokens that the model would have written itself (its likeliest choice)."""
    replies: int = 0
    """Replies that the tokens belong to."""

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.nll + other.nll,
            self.tokens + other.tokens,
            self.correct + other.correct,
            self.replies + other.replies,
        )

    @property
    def mean(self) -> float:
        """Nats a token; not a number when there is no token."""
        return self.nll / self.tokens if self.tokens else math.nan

    @property
    def perplexity(self) -> float:
        """Exponential of the mean; infinite where that leaves the range of a float."""
        return math.exp(self.mean) if self.mean < 700 else self.mean * math.inf

    @property
    def accuracy(self) -> float:
        return self.correct / self.tokens if self.tokens else math.nan


def total(tallies: Iterable[Tally]) -> Tally:
    """Add up ``tallies``."""
    return sum(tallies, Tally(0.0, 0))


__all__ = ["Tally", "total"]
