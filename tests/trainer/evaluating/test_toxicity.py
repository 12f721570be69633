"""Toxic words: found by weights that are plain arrays, and rough but harmless lines mostly left alone."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.test_house import ROOT
from tests.timing import cpu_seconds
from trainer.evaluating.toxicity import WEIGHTS, ToxicityModel, is_toxic, toxicity_model


@pytest.mark.parametrize("text", ["you are an idiot", "shut up you stupid cow", "YOU MORON, you broke it"])
def test_an_insult_is_toxic(text: str) -> None:
    assert is_toxic(text)


@pytest.mark.parametrize(
    "text", ["", "…", "good morning everyone", "who has the ladder?", "the kettle boils"]
)
def test_what_everybody_says_is_not(text: str) -> None:
    assert not is_toxic(text)


def test_the_lines_of_the_benchmark_are_told_apart_as_its_page_says() -> None:
    path = ROOT / "benchmarks" / "toxicity_lines.jsonl"
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    found = {
        kind: [is_toxic(line["text"]) for line in lines if line["toxic"] is kind] for kind in (True, False)
    }
    assert np.mean(found[True]) == pytest.approx(0.8, abs=0.01)
    assert np.mean(found[False]) == pytest.approx(0.23, abs=0.01)


def test_the_score_is_the_cosine_of_known_words_with_platts_curve() -> None:
    model = ToxicityModel({"bad": (2.0, 3.0), "tea": (1.0, -1.0)}, 0.5, -1.0, 0.0)
    assert model.probability("unknown words only") == pytest.approx(1 / (1 + np.exp(-0.5)))
    margin = (4.0 * 3.0 - 1.0) / np.hypot(4.0, 1.0) + 0.5
    assert model.probability("Bad, bad tea!") == pytest.approx(1 / (1 + np.exp(-margin)))


def test_the_weights_hold_no_objects_and_load_quickly() -> None:
    with np.load(WEIGHTS, allow_pickle=False) as arrays:
        assert {name: arrays[name].dtype.kind for name in arrays} == {
            "words": "u",
            "idf": "f",
            "weights": "f",
            "platt": "f",
        }
    load = cpu_seconds(lambda: toxicity_model().probability("tea"), prepare=toxicity_model.cache_clear)
    assert load < 0.5
