"""From settings to plain values: where ``config.toml`` ends and the trainer's own parameters begin."""

from __future__ import annotations

from ledger.settings import Settings
from trainer.evaluating.evaluation import Evaluation
from trainer.fitting.recipe import Base, Recipe
from trainer.judging.verdict import Decision, judge, with_recitals


def base_of(settings: Settings) -> Base:
    """Return the base model that the settings name."""
    return Base(name=settings.base_model(), **settings.model.model_dump(exclude={"base"}))


def recipe_of(settings: Settings) -> Recipe:
    """Return the training recipe that the settings hold."""
    return Recipe(**settings.training.model_dump())


def decide(found: Evaluation, settings: Settings) -> Decision:
    """Judge an evaluation by the settings' limits."""
    limits = settings.verdict
    decision = judge(
        found.scores["candidate"].conversations,
        found.scores[found.reference].conversations,
        against="champion" if found.reference == "champion" else "base",
        candidate_general=found.scores["candidate"].general,
        base_general=found.scores["base"].general,
        confidence=limits.confidence,
        resamples=limits.resamples,
        max_forgetting=limits.max_forgetting,
        min_test_replies=limits.min_test_replies,
        seed=settings.training.seed,
    )
    if found.recitals is None:
        return decision
    return with_recitals(decision, found.recitals, max_rate=settings.leakage.max_rate)


def interval_of(decision: Decision) -> dict[str, float]:
    """Return the bootstrap's figures in nats a token."""
    difference = decision.difference
    if difference is None:
        return {}
    return {
        name: round(getattr(difference, name), 5)
        for name in ("estimate", "low", "high", "better", "confidence")
    }


__all__ = ["base_of", "decide", "interval_of", "recipe_of"]
