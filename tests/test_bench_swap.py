"""The benchmark of swaps: what it counts, what its page says, and a whole small run of it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest

from bench_swap import Phase, measure, memory, page, ratio, share


def phase(swaps: int, longest: float, **more: Any) -> dict[str, Any]:
    seen = Phase(swaps, gaps=[0.01] * 98 + [0.05, longest], first=[0.2], pieces=100, answers=3, seconds=2.0)
    return {**seen.figures(), **more}


def test_a_share_is_the_value_that_so_many_do_not_exceed() -> None:
    assert share([3.0, 1.0, 2.0], 0.5) == 2.0
    assert share([1.0] * 99 + [9.0], 0.99) == 9.0
    assert share([4.0], 0.99) == 4.0


def test_a_phase_counts_gaps_answers_and_failures() -> None:
    seen = Phase(
        5, gaps=[0.01, 0.03, 0.02], first=[0.4], pieces=4, answers=1, failed=["broke off"], seconds=2.0
    )
    assert seen.figures() == {
        "swaps": 5,
        "answers": 1,
        "failed": 1,
        "pieces_a_second": 2.0,
        "gap_p50": 0.02,
        "gap_p99": 0.03,
        "gap_longest": 0.03,
        "first_p50": 0.4,
    }


def test_the_ratio_is_of_the_medians_of_the_longest_gaps() -> None:
    plain = [phase(0, longest) for longest in (0.1, 0.2, 0.9)]
    swapped = [phase(9, longest) for longest in (0.3, 5.0, 0.1)]
    assert ratio([*plain, *swapped]) == pytest.approx(1.5)


def test_memory_is_told_where_it_was_asked_for_and_at_the_end() -> None:
    assert list(memory([*range(1, 121)])) == [[1, 1], [10, 10], [50, 50], [100, 100], [120, 120]]
    assert list(memory([7, 8])) == [[1, 7], [2, 8]]


def test_the_page_names_failures() -> None:
    result = {
        "date": "2026-12-01",
        "hardware": "a machine",
        "versions": {"python": "3.11.7"},
        "load": 0.1,
        "load_after": 2.0,
        "streams": 8,
        "tokens": 64,
        "phases": [phase(0, 0.1), phase(4, 0.2, failed=1)],
        "failures": ["the engine broke off"],
        "switched": [0.1, 0.3, 0.2, 0.2],
        "gone": [0.5, 0.7, 0.6, 0.6],
        "rss_mb": [900, 901, 902, 903],
    }
    text = page(result)
    assert "| with swaps | 1 | 4 | 3 | 1 | 50.0 | 200 | 10 | 200 | 200 |" in text
    assert "longest gap with swaps to without: 2.00" in text
    assert "failed: the engine broke off" in text
    assert "| until the old one is gone | 0.6 | 0.7 |" in text
    assert "| 4 | 903 |" in text


@pytest.mark.slow
async def test_a_small_run_swaps_a_real_engine_under_load_without_a_failure(tiny_base: Path) -> None:
    options = argparse.Namespace(swaps=3, streams=2, phases=1, every=0.4, tokens=8, base=tiny_base)
    found = await measure(options)
    plain, swapped = found["phases"]
    assert (plain["swaps"], swapped["swaps"]) == (0, 3)
    assert found["failures"] == []
    assert min(plain["answers"], swapped["answers"]) > 0
    assert len(found["switched"]) == len(found["gone"]) == len(found["rss_mb"]) == 3
    assert all(0 < quick <= slow for quick, slow in zip(found["switched"], found["gone"], strict=True))
