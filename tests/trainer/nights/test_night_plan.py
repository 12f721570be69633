"""The plan of a night: said in full or not at all, unchangeable, and quick to make."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import pytest

from ledger.settings import Settings
from tests.conftest import ROOT
from trainer.builders import plan_of
from trainer.nights.night_plan import NightPlan


def test_a_plan_has_no_default_that_could_differ_from_the_settings() -> None:
    for field in dataclasses.fields(NightPlan):
        assert field.default is dataclasses.MISSING, field.name
        assert field.default_factory is dataclasses.MISSING, field.name


def test_a_plan_cannot_change_while_its_night_is_under_way(settings: Settings) -> None:
    plan = plan_of(settings)
    with pytest.raises(dataclasses.FrozenInstanceError):
        plan.probes = 0  # type: ignore[misc]


def test_a_night_that_differs_in_one_thing_has_another_plan(settings: Settings) -> None:
    plan = plan_of(settings)
    assert dataclasses.replace(plan, probes=plan.probes) == plan
    assert dataclasses.replace(plan, discord_permission="granted") != plan


def test_making_a_plan_loads_no_model_library() -> None:
    script = (
        "import sys\nfrom ledger.settings import Settings\nfrom trainer.builders import plan_of\n"
        "plan_of(Settings())\nprint({'torch', 'transformers', 'datasets'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    assert done.stdout == "set()\n"
