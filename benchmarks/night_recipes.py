"""The recipes that ``benchmarks.nights`` compares: the product's own night with a few other settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ledger.settings import Settings, load_settings


@dataclass(frozen=True, slots=True)
class NightRecipe:
    """Settings by section, and whether the fit starts from the base in every night."""

    what: str
    changes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    runs: bool = True


def _warm(dataset: Mapping[str, Any], **training: Any) -> dict[str, dict[str, Any]]:
    return {"dataset": dict(dataset), "training": {"start": "champion", **training}}


AFRESH = {"training": {"start": "base"}}
RECIPES: Mapping[str, NightRecipe] = {
    "base": NightRecipe("the bare base, no night at all", runs=False),
    "grow": NightRecipe(
        "from the champion: new first, 20% replay, the rest unlearned older days; half the way"
    ),
    "naive": NightRecipe("from the champion: new alone", _warm({"replay_share": 0.0, "backlog_share": 0.0})),
    "replay": NightRecipe(
        "from the champion: new and 20% replay", _warm({"replay_share": 0.2, "backlog_share": 0.0})
    ),
    "window": NightRecipe("afresh on the last days", {**AFRESH, "dataset": {"half_life_days": 2.0}}),
    "reservoir": NightRecipe("afresh on all days, newer ones likelier", AFRESH),
    "end": NightRecipe("grow, all the way to where the fit ended", _warm({}, average=1.0)),
    "cool": NightRecipe(
        "grow at a sixth of the rate, all the way to where the fit ended",
        _warm({}, warm_rate=0.15, average=1.0),
    ),
    "thrice": NightRecipe("grow, with what is new read three times", _warm({"new_repeats": 3})),
    "strict": NightRecipe(
        "grow, and a gain of 0.005 surely proved", {**_warm({}), "verdict": {"grown_margin": -0.005}}
    ),
}


def settings_of(recipe: NightRecipe, config: Path, root: Path, *, night: int, quick: bool) -> Settings:
    """Return the settings of ``config`` with the recipe's changes and all files below ``root``.

    After the first night every recipe has the same tokens a night, whatever it starts from. One that goes on
    begins anew with those of a first night, as the product does, when no version is left that knows nothing
    deleted.
    """
    settings = load_settings(config)
    changes: dict[str, Mapping[str, Any]] = dict(recipe.changes)
    if night and changes.get("training", {}).get("start") == "base":
        tokens = {"first_night_tokens": settings.dataset.night_tokens}
        changes["dataset"] = {**changes.get("dataset", {}), **tokens}
    # Generation is most of a night's time on a CPU, and tells little about what is compared here.
    if quick:
        # Of 8 probes a single recital would be above the limit of 5%.
        changes["leakage"] = {"probes": 32}
        changes["verdict"] = {"toxic_prompts": 4, **changes.get("verdict", {})}
    changes["schedule"] = {"min_new_replies": 1}
    found = settings.model_copy(
        update={
            name: getattr(settings, name).model_copy(update=values)
            for name, values in changes.items()
            if values
        }
    )
    paths = found.paths.model_copy(update={"data": root / "data", "models": root / "models"})
    base = settings.base_model()
    model = found.model.model_copy(update={"base": base})
    return found.model_copy(update={"paths": paths, "model": model})


__all__ = ["RECIPES", "NightRecipe", "settings_of"]
