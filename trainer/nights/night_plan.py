"""What a night needs to know before it begins, as plain frozen values; no settings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from trainer.fitting.recipe import Base, Recipe
from trainer.judging.verdict_limits import VerdictLimits
from trainer.preparing.dataset import DatasetLimits


@dataclass(frozen=True, slots=True)
class NightPlan:
    """Where a night reads and writes, how it learns, and what its candidate has to reach."""

    data_dir: Path
    datasets_dir: Path
    runs_dir: Path
    adapters_dir: Path
    base: Base
    recipe: Recipe
    dataset: DatasetLimits
    verdict: VerdictLimits
    bot_name: str
    discord_permission: str
    """Discord's permission to train on what came through its API; empty keeps that locked."""
    min_new_replies: int
    quarantine_days: float
    """How long nights leave out who may be trying to spoil what is learned."""
    probes: int
    """Beginnings of training replies that the candidate is tried with; 0 tries none."""


__all__ = ["NightPlan"]
