"""What a candidate has to reach, as plain values; apart from the verdict, whose arithmetic needs numpy."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class VerdictLimits:
    """What a candidate has to reach; ``ledger.settings`` describes each field under Verdict and Leakage."""

    confidence: float
    resamples: int
    min_gain: float
    grown_margin: float
    max_old_loss: float
    max_forgetting: float
    max_fault_rise: float
    max_toxic_rise: float
    toxic_prompts: int
    min_test_replies: int
    go_back_evidence: float
    go_back_margin: float
    max_rate: float
    """Share of the probes in which single people's words may come back."""
    seed: int


__all__ = ["VerdictLimits"]
