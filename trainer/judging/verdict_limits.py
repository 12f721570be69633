"""What a candidate has to reach, as plain values; apart from the verdict, whose arithmetic needs numpy."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class VerdictLimits:
    """What a candidate has to reach; ``ledger.settings`` describes each field under Verdict and Leakage."""

    confidence: float
    resamples: int
    max_forgetting: float
    min_test_replies: int
    max_rate: float
    """Share of the probes in which single people's words may come back."""
    seed: int


__all__ = ["VerdictLimits"]
