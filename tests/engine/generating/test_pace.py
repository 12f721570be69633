"""Reading is paced by what it costs: simulated passes on a clock that counts their cost."""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable

import pytest

from engine.generating.pace import Pace

MOST = 256
Cost = Callable[[int, int], float]
"""Seconds of a pass with so many rows and prompt tokens."""


class Simulated:
    """Passes on a clock of their own."""

    def __init__(self, cost: Cost, *, together: bool = True) -> None:
        self.now = 0.0
        self.cost = cost
        self.pace = Pace(MOST, together=together, clock=lambda: self.now)

    def step(self, writing: int, left: int = 0) -> tuple[int, float]:
        """Compute one pass; return the prompt tokens it read and its seconds."""
        tokens = min(self.pace.tokens(writing), left)
        seconds = self.cost(writing, tokens)
        with self.pace.measured(writing, tokens):
            self.now += seconds
        return tokens, seconds

    def read(self, writing: int, left: int) -> list[float]:
        """Read so many tokens beside the rows; return the seconds of each pass."""
        passes = []
        while left:
            tokens, seconds = self.step(writing, left)
            left -= tokens
            passes.append(seconds)
        return passes


def linear(fixed: float, each: float) -> Cost:
    return lambda writing, tokens: fixed + each * (writing + tokens)


@pytest.mark.parametrize("fixed", [0.005, 0.02, 0.2])
@pytest.mark.parametrize("writing", [1, 8, 16])
def test_no_pass_takes_more_than_half_again_as_long_once_the_pace_is_found(
    fixed: float, writing: int
) -> None:
    simulated = Simulated(linear(fixed, 0.0005))
    for _ in range(8):
        simulated.step(writing)
    step = simulated.cost(writing, 0)
    simulated.read(writing, 1000)
    found = simulated.read(writing, 1000)
    # At least one token in 32 of the most is read, however small a step is.
    bound = max(1.5 * step, simulated.cost(writing, MOST // 32))
    assert max(found) <= bound * 1.001
    # And it uses what it may: a third of the time, but for the last portion and the steps without one.
    assert statistics.median(found) > 0.9 * min(bound, simulated.cost(writing, MOST))


def test_a_crowd_is_read_in_about_three_times_what_its_tokens_cost() -> None:
    simulated = Simulated(linear(0.02, 0.0005))
    left, rows = [150] * 16, 0
    while left:
        tokens, _ = simulated.step(rows, sum(left))
        while left and tokens >= left[0]:
            tokens -= left.pop(0)
            rows += 1
        if left:
            left[0] -= tokens
    assert simulated.now < 3.2 * 16 * 150 * 0.0005 + 5 * 0.02


def test_nobody_who_writes_is_delayed_so_all_that_fits_is_read() -> None:
    assert Simulated(linear(1.0, 1.0)).step(0, 1000)[0] == MOST


def portion(simulated: Simulated) -> int:
    """Return what a pass beside eight rows reads; one in sixteen reads nothing."""
    return simulated.step(8, 1000)[0] or simulated.step(8, 1000)[0]


def test_a_machine_that_gets_slower_for_all_changes_nothing_in_the_end() -> None:
    simulated = Simulated(linear(0.02, 0.0005))
    for _ in range(8):
        simulated.step(8)
    simulated.read(8, 2000)
    before = portion(simulated)
    simulated.cost = linear(0.06, 0.0015)
    simulated.read(8, 6000)
    assert portion(simulated) == pytest.approx(before, rel=0.15)


def test_noise_neither_stops_the_reading_nor_lets_it_run_away() -> None:
    draw = random.Random(5)
    quiet = linear(0.02, 0.0005)
    simulated = Simulated(lambda writing, tokens: quiet(writing, tokens) * draw.choice([0.9, 1, 1, 1.1, 3]))
    for _ in range(8):
        simulated.step(8)
    simulated.read(8, 3000)
    tokens = []
    for _ in range(200):
        tokens.append(simulated.step(8, 1000)[0])
    assert 10 <= statistics.mean(tokens) <= 48  # without noise 24
    assert max(tokens) <= 60


def test_a_pass_of_its_own_may_cost_more_than_the_step_and_its_share() -> None:
    """Where parts are computed one after the other, one prompt token costs as much as a step."""
    apart: Cost = lambda writing, tokens: 0.02 * (writing > 0) + (0.02 + 0.0001 * tokens) * (tokens > 0)  # noqa: E731
    simulated = Simulated(apart, together=False)
    for _ in range(8):
        simulated.step(8)
    found = simulated.read(8, 3000)
    assert max(found) <= 2.5 * 0.02 * 1.001
    assert statistics.median(found[10:]) > 2.3 * 0.02


def test_one_pass_in_sixteen_reads_nothing_while_rows_write() -> None:
    simulated = Simulated(linear(0.02, 0.0005))
    read = [simulated.step(8, 10_000)[0] for _ in range(34)]
    assert [at for at, tokens in enumerate(read) if tokens == 0] == [16, 33]
