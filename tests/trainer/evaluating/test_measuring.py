"""What is measured of one model: open conversations alone are scored, known ones are taken as they are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests.trainer.conftest import replies, write_dataset
from trainer.evaluating.measuring import DRAWS, Measuring, encoded_part, known_of, material_of, unknown
from trainer.evaluating.switched_model import BASE, SwitchedModel
from trainer.fitting.recipe import Base
from trainer.judging.leakage import Corpus
from trainer.progress import StageProgress
from trainer.scoring.batches import EncodedRow
from trainer.scoring.tally import Tally


def rows(*conversations: int) -> list[EncodedRow]:
    return [EncodedRow(ids=[1, 2], scored=[False, True], conversation=n, replies=1) for n in conversations]


def test_rows_of_known_conversations_stay_closed_however_many_they_are() -> None:
    known = {5: Tally(1.0, 2), 9: Tally(3.0, 4)}
    assert [row["conversation"] for row in unknown(rows(5, 6, 5, 7), known)] == [6, 7]
    assert known_of(rows(5, 6, 5, 7), known) == {5: Tally(1.0, 2)}


def test_the_material_is_read_once_for_all_models(tmp_path: Path, base: Base) -> None:
    dataset = write_dataset(
        tmp_path / "set", {"train": replies(0, 6), "val": replies(6, 1), "test": replies(10, 5)}
    )
    found = material_of(dataset, base, 256, 3, 4, Corpus([]), probes=2, seed=1)
    assert [row["conversation"] for row in found.exam] == [10, 11, 12, 13, 14]
    assert found.old == []
    assert len(found.general) > 50
    assert len(found.contexts) == 3
    assert len(found.provoking) == 4 * DRAWS
    assert found.provoking[0][0] == {"role": "system", "content": "You are Nightschool."}
    assert len(found.probes) == 2
    assert encoded_part(dataset, "test", base, 256) == found.exam
    bare = material_of(dataset, base, 256, 0, 0, None, probes=2, seed=1)
    assert (bare.contexts, bare.provoking, bare.probes) == ([], [], ())


def test_older_days_that_the_exam_holds_are_scored_once(tmp_path: Path, base: Base) -> None:
    dataset = write_dataset(
        tmp_path / "set",
        {
            "train": replies(0, 6),
            "val": replies(6, 1),
            "test": replies(10, 5),
            "old": replies(8, 4),
            "fresh": [*replies(4, 3), *replies(40, 2)],
        },
    )
    material = material_of(dataset, base, 256, 0, 0, None, probes=0, seed=1)
    told: list[StageProgress] = []
    model = SwitchedModel(
        base,
        {},
        max_tokens=256,
        rows=material.exam,
        packing=False,
        reporter=told.append,
        cancelled=lambda: False,
    )
    measuring = Measuring(model, replace(material, general=material.general[:2]), {}, 4, 1)
    measuring.expect(BASE, speaks=False, provoked=False)
    scores = measuring.measure(BASE, speaks=False, provoked=False).scores
    # Of what was said since, what the candidate learns from, and of versions alone.
    assert {row["conversation"] for row in material.fresh} == {4, 5}
    assert scores.fresh == {}
    assert set(scores.old) == {8, 9, 10, 11}
    assert scores.old[10] == scores.exam[10]
    assert (told[-1].step, told[-1].steps) == (9, 9)
