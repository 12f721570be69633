"""The figures and the table of the benchmark of serving."""

from __future__ import annotations

from typing import Any

import pytest

from serving_page import percentile, summary, table


def cell(seconds: float, firsts: list[float], memory: int = 500) -> dict[str, Any]:
    return {"seconds": seconds, "firsts": firsts, "memory_mb": memory}


def test_a_percentile_is_one_of_the_values() -> None:
    values = [float(number) for number in range(1, 81)]
    assert percentile(values, 50) == 40.0
    assert percentile(values, 95) == 76.0
    assert percentile([7.0], 95) == 7.0
    with pytest.raises(ValueError, match="no values"):
        percentile([], 50)


def test_speeds_are_medians_over_turns_and_first_tokens_are_pooled() -> None:
    sixteen = [
        {"engine": cell(seconds, [first] * 16, memory)}
        for seconds, first, memory in ((4.0, 0.5, 900), (8.0, 1.0, 1000), (5.0, 3.0, 950))
    ]
    measured = {"1": [{"engine": cell(2.0, [0.1])}], "16": sixteen, "64": []}
    found = summary(measured, 48)["engine"]
    assert found["tokens_per_second"] == {"1": 24.0, "16": 153.6}
    assert found["lowest_and_highest"]["16"] == [96.0, 192.0]
    assert found["first_tokens"] == {"1": [0.1, 0.1], "16": [1.0, 3.0]}
    assert found["memory_mb"] == 1000


def test_who_was_not_asked_something_has_a_dash_and_who_is_missing_is_named() -> None:
    result = {
        "date": "2026-12-01",
        "hardware": "a processor, 2 threads",
        "base": "small",
        "versions": {"python": "3.11.7"},
        "prompt_tokens": 150,
        "tokens": 48,
        "turns": {"1": 3, "64": 1},
        "contestants": summary({"1": [{"generate": cell(3.0, [0.2], 1234)}]}, 48),
        "missing": {"llama-q8": "xllamacpp is not installed"},
        "loads": [1.2, 1.9],
        "idle_cores": 0.01,
        "quiet": 0.25,
        "formats": {"generate": "float32"},
        "foreign_cores": {"generate": 0.256},
    }
    page = table(result)
    assert "| transformers `generate`, one at a time, float32 | 16.0 | – | – | – | – | – |" in page
    assert "| transformers `generate`, one at a time | 0.2 / 0.2 | – | 1,234 MB |" in page
    assert "kept: transformers `generate`, one at a time 0.26." in page
    assert "medians of 3 turns (64: 1), in which" in page
    assert "when measures began: 1.2 to 1.9." in page
    assert "Missing: llama.cpp, quantised, because xllamacpp is not installed." in page
