"""Candidate, champion and bare base on the same replies; what cannot be compared is refused or noted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import trainer.evaluating.switched_model as switched_module
from ledger.errors import AdapterError, DatasetError
from tests.trainer.conftest import replies, train, write_dataset
from trainer.evaluating.evaluation import evaluate, score_first
from trainer.evaluating.measuring import GENERAL
from trainer.fitting.recipe import Base, Recipe
from trainer.judging.comparison import Evaluation
from trainer.scoring.tally import Tally


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    """A dataset with all five parts, and an adapter beside it."""
    return write_dataset(
        tmp_path / "whole",
        {
            "train": replies(0, 12),
            "val": replies(12, 2),
            "test": replies(20, 6),
            "old": replies(30, 4),
            "fresh": replies(40, 3),
        },
    )


@pytest.fixture
def adapter(parts: Path, tmp_path: Path, base: Base, recipe: Recipe) -> Path:
    train(parts, tmp_path, base, replace(recipe, epochs=1))
    return tmp_path / "adapter"


@pytest.fixture
def scored(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of rows that were really scored, call by call."""
    counts: list[int] = []
    score_rows = vars(switched_module)["score_rows"]

    def counting(model: Any, rows: Sequence[Any], **options: Any) -> Any:
        counts.append(len(rows))
        return score_rows(model, rows, **options)

    monkeypatch.setattr(switched_module, "score_rows", counting)
    return counts


def test_an_adapter_with_a_wrong_hash_is_refused(
    dataset_dir: Path, tmp_path: Path, base: Base, recipe: Recipe
) -> None:
    train(dataset_dir, tmp_path, base, replace(recipe, epochs=1))
    weights = tmp_path / "adapter" / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    with pytest.raises(AdapterError, match="was altered"):
        evaluate(dataset_dir, tmp_path / "adapter", base=base, max_tokens=256)


def test_exam_old_days_and_provoking_lines_are_measured_of_whom_they_are_needed(
    parts: Path, adapter: Path, base: Base
) -> None:
    found = evaluate(
        parts,
        adapter,
        champion=adapter,
        base=base,
        max_tokens=256,
        sampled_replies=2,
        max_new_tokens=4,
        toxic_prompts=3,
    )
    assert set(found.scores) == {"base", "champion", "candidate"}
    for score in found.scores.values():
        assert list(score.exam) == list(range(20, 26))
        assert list(score.old) == list(range(30, 34))
    assert found.scores["candidate"].exam == found.scores["champion"].exam
    assert {name: len(score.toxic) for name, score in found.scores.items()} == {
        "base": 6,
        "champion": 0,
        "candidate": 6,
    }
    assert {name: len(score.faults) for name, score in found.scores.items()} == {
        "base": 0,
        "champion": 2,
        "candidate": 2,
    }
    assert len(found.samples) == 2
    assert found.scale == 1.0


def test_known_conversations_are_not_scored_again(
    parts: Path, adapter: Path, base: Base, scored: list[int]
) -> None:
    options: dict[str, Any] = {"base": base, "max_tokens": 256, "sampled_replies": 0}
    first = evaluate(parts, adapter, **options).scores
    scored.clear()
    known = {
        "base": {**first["base"].exam, **first["base"].old, GENERAL: first["base"].general},
        "candidate": {20: Tally(1.0, 10)},
    }
    again = evaluate(parts, adapter, known=known, **options).scores
    assert again["base"] == first["base"]
    assert again["candidate"].exam[20] == Tally(1.0, 10)
    assert list(again["candidate"].exam) == list(first["candidate"].exam)
    assert scored[:2] == [5, 4]  # nothing of the base's; five and four of the candidate's
    assert len(scored) == 3


def test_a_candidate_is_tried_at_smaller_scales_until_it_needs_no_less(
    parts: Path, adapter: Path, base: Base
) -> None:
    tried: list[Evaluation] = []

    def weaken_until(scale: float) -> Any:
        def weaken(found: Evaluation) -> bool:
            tried.append(found)
            return found.scale > scale

        return weaken

    general = {GENERAL: Tally(1.0, 1)}  # not to be scored in each of five measurings
    known = {"base": general, "candidate": general}
    options: dict[str, Any] = {"base": base, "max_tokens": 256, "sampled_replies": 0, "known": known}
    found = evaluate(parts, adapter, weaken=weaken_until(0.75), **options)
    assert found.scale == 0.75
    assert "at 75% of its strength" in found.notes[-1]
    assert [found.scale for found in tried] == [1.0, 0.75]
    exams = [found.scores["candidate"].exam for found in tried]
    assert exams[0] != exams[1]
    assert tried[0].scores["base"] == tried[1].scores["base"]
    tried.clear()
    given_up = evaluate(parts, adapter, weaken=weaken_until(0.0), **options)
    assert given_up.scale == 1.0
    assert given_up.notes == ("Neither 75% nor 50% of its strength passed the guards either.",)
    assert [found.scale for found in tried[:3]] == [1.0, 0.75, 0.5]


def test_what_nobody_has_learned_is_scored_by_base_and_versions(
    parts: Path, adapter: Path, tmp_path: Path, base: Base, scored: list[int]
) -> None:
    versions = {"g7-v000001": adapter, "g7-v000002": tmp_path / "gone"}
    found = score_first(parts, base=base, versions=versions, max_tokens=256)
    assert set(found) == {"base", "g7-v000001"}
    assert all(list(scores) == [40, 41, 42] for scores in found.values())
    assert found["base"] != found["g7-v000001"]
    test = score_first(parts, base=base, versions={}, part="test", max_tokens=256)
    assert list(test) == ["base"]
    scored.clear()
    assert score_first(parts, base=base, versions=versions, max_tokens=256, known=found) == found
    assert scored == []  # nothing was open, and no model was loaded


def test_a_dataset_without_fresh_replies_has_no_next_day(
    dataset_dir: Path, base: Base, scored: list[int]
) -> None:
    assert score_first(dataset_dir, base=base, versions={}, max_tokens=256) == {"base": {}}
    assert scored == []


def test_a_dataset_without_an_exam_is_refused(parts: Path, adapter: Path, tmp_path: Path, base: Base) -> None:
    empty = write_dataset(tmp_path / "empty", {"train": replies(0, 4), "val": replies(4, 2), "test": []})
    with pytest.raises(DatasetError, match="no usable reply"):
        evaluate(empty, adapter, base=base, max_tokens=256)
