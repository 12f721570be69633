"""A second core helps while it is free, and is given up while something else wants it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from engine.computing.cores import WritingCores


@pytest.fixture(autouse=True)
def threads_as_before() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


class Machine:
    """Two clocks: a step computes for 20 ms, and with a second core it waits, too, for a busy neighbour."""

    def __init__(self) -> None:
        self.now = self.computed = 0.0
        self.neighbour = 0.0

    def steps(self, cores: WritingCores, count: int) -> list[int]:
        """Take steps; return on how many threads each ran."""
        threads = []
        for _ in range(count):
            with cores.step():
                threads.append(torch.get_num_threads())
                self.computed += 0.02
                self.now += 0.02 + (self.neighbour if threads[-1] > 1 else 0.0)
        return threads


def cores_of(machine: Machine, most: int = 2) -> WritingCores:
    return WritingCores(most, wall=lambda: machine.now, own=lambda: machine.computed)


def test_free_cores_are_used() -> None:
    machine = Machine()
    assert set(machine.steps(cores_of(machine), 1000)) == {2}


def test_a_busy_neighbour_gets_the_second_core_back_soon_and_nearly_always() -> None:
    machine = Machine()
    cores = cores_of(machine)
    machine.steps(cores, 3)
    machine.neighbour = 0.005
    threads = machine.steps(cores, 2000)
    assert 1 in threads[:16]
    assert threads.count(2) < 0.05 * len(threads)
    machine.neighbour = 0.0
    assert set(machine.steps(cores, 600)[300:]) == {2}


def test_one_slow_step_among_many_changes_nothing() -> None:
    machine = Machine()
    cores = cores_of(machine)
    for _ in range(50):
        machine.neighbour = 0.05
        machine.steps(cores, 1)
        machine.neighbour = 0.0
        assert set(machine.steps(cores, 7)) == {2}


def test_a_single_core_stays_single() -> None:
    machine = Machine()
    assert set(machine.steps(cores_of(machine, most=1), 600)) == {1}
