"""From settings to plain values: everything arrives, and nothing is a setting any more."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest
from pydantic import BaseModel

from ledger.settings import LeakageSection, ModelSection, Settings, TrainingSection, VerdictSection
from trainer.builders import (
    base_of,
    dataset_limits_of,
    plan_of,
    recipe_of,
    verdict_limits_of,
)
from trainer.fitting.recipe import Recipe


def test_a_recipe_holds_every_training_setting_and_no_default_of_its_own() -> None:
    training = TrainingSection(epochs=7, learning_rate=1e-5, packing=False, trackers=("mlflow",))
    assert asdict(recipe_of(Settings(training=training))) == training.model_dump()
    with pytest.raises(TypeError):
        Recipe()  # type: ignore[call-arg]


def test_the_base_is_named_as_the_loader_wants_it(tmp_path: Path) -> None:
    model = ModelSection(base="models/small", device="cpu", revision="v2")
    assert base_of(Settings(model=model)).name == "models/small"
    (tmp_path / "models" / "small").mkdir(parents=True)
    base = base_of(Settings(root=tmp_path, model=model))
    assert base.name == str((tmp_path / "models" / "small").resolve())
    assert (base.device, base.revision) == ("cpu", "v2")


def test_limits_are_those_of_their_sections() -> None:
    settings = Settings(
        verdict=VerdictSection(confidence=0.8),
        leakage=LeakageSection(max_rate=0.2),
        training=TrainingSection(seed=9),
    )
    cut = settings.dataset.model_dump(exclude={"quarantine_days"})
    assert asdict(dataset_limits_of(settings)) == {**cut, "max_tokens": 512, "seed": 9}
    limits = asdict(verdict_limits_of(settings))
    assert limits == {**settings.verdict.model_dump(), "max_rate": 0.2, "seed": 9}


def test_a_nights_plan_holds_plain_values_alone(settings: Settings) -> None:
    plan = plan_of(settings)
    values = [getattr(plan, name) for name in plan.__slots__]
    assert not any(isinstance(value, BaseModel) for value in values)
    assert (plan.datasets_dir, plan.runs_dir) == (settings.datasets_dir, settings.runs_dir)
    assert plan.probes == settings.leakage.probes
    assert plan.recipe == recipe_of(settings)
