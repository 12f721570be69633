"""The contestants that every environment has write answers of the length that was asked for."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

import serving_contestants
from bench_serving import Process
from engine.building import peaks_for
from engine.model.loading import choose_placement, load_base, load_tokenizer
from serving_contestants import Measures, Question, measure, number_format

PROMPTS = [[(7 * seed + place) % 200 for place in range(20)] for seed in range(3)]


def asked(name: str, base: Path, files: Path, adapters: list[int | None]) -> dict[str, Any]:
    """Return what a contestant measured, in a process of its own: some libraries' threads know no end."""
    command = [sys.executable, str(serving_contestants.__file__), name]
    command += ["--base", str(base), "--files", str(files), "--threads", "1"]
    with Process(name, command, files / f"{name}.log") as process:
        return process.ask({"prompts": PROMPTS, "adapters": adapters, "tokens": 6})


@pytest.mark.slow
@pytest.mark.parametrize("name", ["engine", "generate", "continuous"])
def test_each_writes_whole_answers_and_times_their_first_tokens(
    name: str, tiny_base: Path, tmp_path: Path
) -> None:
    found = asked(name, tiny_base, tmp_path, [None] * 3)
    assert len(found["firsts"]) == 3
    assert all(0 < first <= found["seconds"] for first in found["firsts"])
    assert found["memory_mb"] > 0


@pytest.mark.slow
def test_the_engine_has_four_adapters_and_ends_where_one_is_missing(tiny_base: Path, tmp_path: Path) -> None:
    assert len(asked("engine", tiny_base, tmp_path, [0, 3, None])["firsts"]) == 3
    with pytest.raises(SystemExit, match="engine ended"):
        asked("engine", tiny_base, tmp_path, [9, None, None])
    assert "9" in (tmp_path / "engine.log").read_text(encoding="utf-8").splitlines()[-1]


@pytest.mark.slow
def test_the_engines_number_format_is_the_one_that_it_serves_in(tiny_base: Path) -> None:
    placement = choose_placement("cpu")
    model = load_base(str(tiny_base), placement=placement)
    rounded = peaks_for(model, load_tokenizer(str(tiny_base)), "auto") is not None
    expected = "8-bit" if rounded else str(placement.dtype).removeprefix("torch.")
    assert number_format("engine") == expected
    assert number_format("generate") == str(placement.dtype).removeprefix("torch.")
    assert number_format("llama-q8") == "Q8_0"


def test_answers_of_another_length_are_no_measurement() -> None:
    def short(question: Question, measures: Measures) -> None:
        for number in range(len(question.prompts)):
            measures.note(number, question.tokens - number)

    with pytest.raises(RuntimeError, match="not of 6 tokens"):
        measure(short, Question(PROMPTS, [None] * 3, 6))


def test_a_first_token_is_noted_once() -> None:
    measures = Measures()
    measures.note(0, 0)
    assert measures.firsts == {}
    measures.note(0, 1)
    first = measures.firsts[0]
    measures.note(0, 2)
    assert measures.firsts == {0: first}
    assert measures.written == {0: 3}
