"""From settings to plain values: where ``config.toml`` ends and the trainer's own parameters begin.

Loads no model library, so that commands that train nothing stay quick.
"""

from __future__ import annotations

from ledger.settings import Settings
from trainer.fitting.recipe import Base, Recipe
from trainer.judging.verdict_limits import VerdictLimits
from trainer.nights.night_plan import NightPlan
from trainer.preparing.dataset import DatasetLimits


def base_of(settings: Settings) -> Base:
    """Return the base model that the settings name."""
    return Base(name=settings.base_model(), **settings.model.model_dump(exclude={"base"}))


def recipe_of(settings: Settings) -> Recipe:
    """Return the training recipe that the settings hold."""
    return Recipe(**settings.training.model_dump())


def dataset_limits_of(settings: Settings) -> DatasetLimits:
    """Return how the settings want conversations cut and split."""
    return DatasetLimits(
        **settings.dataset.model_dump(exclude={"quarantine_days"}),
        max_tokens=settings.training.max_tokens,
        seed=settings.training.seed,
    )


def verdict_limits_of(settings: Settings) -> VerdictLimits:
    """Return what the settings ask of a candidate; the bootstrap draws with the training's seed."""
    return VerdictLimits(
        **settings.verdict.model_dump(), max_rate=settings.leakage.max_rate, seed=settings.training.seed
    )


def plan_of(settings: Settings) -> NightPlan:
    """Return all that a night needs to know of the settings."""
    return NightPlan(
        data_dir=settings.data_dir,
        datasets_dir=settings.datasets_dir,
        runs_dir=settings.runs_dir,
        adapters_dir=settings.adapters_dir,
        base=base_of(settings),
        recipe=recipe_of(settings),
        dataset=dataset_limits_of(settings),
        verdict=verdict_limits_of(settings),
        bot_name=settings.bot.name,
        discord_permission=settings.policy.discord_permission,
        min_new_replies=settings.schedule.min_new_replies,
        quarantine_days=settings.dataset.quarantine_days,
        probes=settings.leakage.probes,
    )


__all__ = ["base_of", "dataset_limits_of", "plan_of", "recipe_of", "verdict_limits_of"]
