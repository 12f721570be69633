"""One base whose adapters are switched: base and versions give their own figures, in any order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ledger.errors import RunCancelled
from tests.trainer.conftest import train
from trainer.evaluating.measuring import encoded_part
from trainer.evaluating.switched_model import SwitchedModel
from trainer.fitting.recipe import Base, Recipe
from trainer.progress import StageProgress

CONTEXTS: list[list[dict[str, Any]]] = [[{"role": "user", "content": "Ada: who has the lamp?"}]]


@pytest.fixture
def adapter(dataset_dir: Path, tmp_path: Path, base: Base, recipe: Recipe) -> Path:
    train(dataset_dir, tmp_path, base, replace(recipe, epochs=1))
    return tmp_path / "adapter"


def switched(
    dataset: Path,
    base: Base,
    adapters: dict[str, Path],
    *,
    cancelled: Callable[[], bool] = lambda: False,
    told: list[StageProgress] | None = None,
) -> SwitchedModel:
    return SwitchedModel(
        base,
        adapters,
        max_tokens=256,
        rows=encoded_part(dataset, "test", base, 256),
        packing=True,
        reporter=(told if told is not None else []).append,
        cancelled=cancelled,
    )


def test_scores_are_the_same_before_and_after_replies_and_other_scales(
    dataset_dir: Path, adapter: Path, base: Base
) -> None:
    told: list[StageProgress] = []
    model = switched(dataset_dir, base, {"one": adapter}, told=told)
    rows = encoded_part(dataset_dir, "test", base, 256)[:3]
    model.expect(4 * len(rows) + 1)
    bare, full = model.score("base", rows), model.score("one", rows)
    assert bare != full
    [reply] = model.write("one", CONTEXTS, max_new_tokens=3, temperature=0.0)
    assert isinstance(reply.ended, bool)
    assert model.score("one", rows, scale=0.5) not in (bare, full)
    again = model.score("one", rows)
    assert [tally.nll for tally in again] == pytest.approx([tally.nll for tally in full], rel=1e-5)
    assert (told[-1].step, told[-1].steps) == (13, 13)
    assert model.write("one", []) == []


def test_the_base_alone_is_asked_without_the_beginning_of_its_answer(
    dataset_dir: Path, adapter: Path, base: Base
) -> None:
    model = switched(dataset_dir, base, {"one": adapter})
    begun = [{"role": "user", "content": "Ada: who?"}, {"role": "assistant", "content": "Nightschool:"}]
    plain = [{"role": "user", "content": "who?"}]

    def written(name: str, turns: list[dict[str, Any]]) -> str:
        return model.write(name, [turns], max_new_tokens=12, temperature=0.0)[0].text

    assert written("base", begun) == written("base", plain)
    assert written("one", begun) != written("one", plain)


def test_without_versions_it_is_the_base_alone(dataset_dir: Path, base: Base) -> None:
    model = switched(dataset_dir, base, {})
    rows = encoded_part(dataset_dir, "test", base, 256)[:1]
    assert model.score("base", rows)[0].tokens > 0


def test_a_cancel_ends_it_before_the_next_batch(dataset_dir: Path, base: Base) -> None:
    model = switched(dataset_dir, base, {}, cancelled=lambda: True)
    with pytest.raises(RunCancelled):
        model.score("base", encoded_part(dataset_dir, "test", base, 256))
