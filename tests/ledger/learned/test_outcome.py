"""A night's outcome: one record on both sides of the pipe."""

from __future__ import annotations

import json
import typing
from dataclasses import replace
from typing import Any

import pytest

from ledger.learned.outcome import DONE, STAGES, Ending, NightStage, Outcome, Score
from ledger.records import Run

BASE: Score = {"nll": 4.34, "perplexity": 76.71, "token_accuracy": 0.3, "general_nll": 3.9}
BETTER: Score = {**BASE, "nll": 3.8, "perplexity": 44.7}
PROMOTED = Outcome(
    run="g7-20260302T030000",
    guild=7,
    stage="promoted",
    candidate="g7-v000002",
    champion="g7-v000002",
    verdict="promote",
    reasons=["better"],
    scores={"base": BASE, "candidate": BETTER},
    counts={"train_replies": 1200, "left_out": {"no consent in force": 31}},
    interval={"estimate": -0.3},
    recitals={"rate": 0.0},
    samples=[{"context": "ann: hi", "before": "", "after": "hello"}],
)


def test_what_the_trainer_prints_is_what_the_bot_reads() -> None:
    line = json.dumps(PROMOTED.as_json())
    assert Outcome.from_json(json.loads(line)) == PROMOTED


def test_the_record_holds_no_samples() -> None:
    assert "samples" not in PROMOTED.facts()
    assert "ann" not in json.dumps(PROMOTED.facts())


def test_figures_name_every_model_once_anything_was_scored() -> None:
    assert PROMOTED.perplexity == {"base": 76.71, "champion": None, "candidate": 44.7}
    assert PROMOTED.nll == {"base": 4.34, "champion": None, "candidate": 3.8}
    assert Outcome().perplexity == {}


def test_a_night_that_could_not_begin_is_read_from_the_little_that_is_told() -> None:
    told = {"stage": "failed", "guild": None, "error": "There is no GPU."}
    assert Outcome.from_json(told) == Outcome(error="There is no GPU.")


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ({"stage": "won"}, "stage"),
        ({"stage": "kept", "scores": {"base": {"nll": "secret"}}}, "scores"),
        ({"stage": "kept", "samples": [{"context": "secret"}]}, "samples"),
    ],
)
def test_what_is_no_outcome_is_refused_by_field_and_without_its_words(
    value: dict[str, object], field: str
) -> None:
    with pytest.raises(ValueError, match=f"unreadable: {field}") as refusal:
        Outcome.from_json(value)
    assert "secret" not in str(refusal.value)
    assert refusal.value.__cause__ is None


@pytest.mark.parametrize("ending", typing.get_args(Ending))
def test_the_exit_code_says_whether_the_work_was_done(ending: Ending) -> None:
    assert Outcome(stage=ending).exit_code == (0 if ending in DONE else 1)


def test_the_stages_are_those_of_the_type_in_their_order() -> None:
    assert typing.get_args(NightStage) == STAGES


@pytest.mark.parametrize(
    "metrics",
    [
        {},
        {"scores": None},
        {"scores": {"candidate": {"nll": None, "perplexity": 2.0}}},
        {"scores": {"base": {"nll": 1.0}}, "recitals": {"rate": None}},
        {"interval": {"low": "?"}},
    ],
)
def test_a_row_of_another_version_gives_what_can_be_read_of_it(metrics: dict[str, Any]) -> None:
    run = Run("g7-x", 7, "kept", "schedule", 0, finished_at=2_000, reasons=("no better",), metrics=metrics)
    outcome = Outcome.of_run(run)
    assert (outcome.stage, outcome.reasons, outcome.seconds) == ("kept", ("no better",), 2.0)
    assert outcome.scores == {}


def test_a_finished_run_gives_the_outcome_that_it_had() -> None:
    run = Run(
        PROMOTED.run,
        7,
        "promoted",
        "schedule",
        1_000,
        finished_at=61_000,
        candidate=PROMOTED.candidate,
        verdict="promote",
        reasons=("better",),
        counts=PROMOTED.counts,
        metrics=PROMOTED.metrics(),
    )
    wanted = replace(PROMOTED, champion=None, samples=(), seconds=60.0)
    assert Outcome.of_run(run) == replace(wanted, reasons=("better",))
