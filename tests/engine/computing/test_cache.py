"""Keys and values of rows that come, go and grow stay those of each row alone."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.computing.cache import RowCache

LAYERS, HEADS, SIZE = 2, 3, 4


def columns(row: int, first: int, count: int) -> torch.Tensor:
    """Return recognisable keys of one row, [1, heads, columns, size]: its number and that of the column."""
    numbers = 1000.0 * (row + 1) + torch.arange(first, first + count)
    return numbers.view(1, 1, count, 1).expand(1, HEADS, count, SIZE).clone()


def cache_of(row: int, length: int) -> RowCache:
    cache = RowCache(LAYERS)
    for layer in range(LAYERS):
        cache.update(columns(row, 0, length), -columns(row, 0, length), layer)
    cache.lengths = [length]
    return cache


def step(cache: RowCache, rows: list[int]) -> None:
    """Write one more column in every row."""
    new = torch.cat([columns(row, length, 1) for row, length in zip(rows, cache.lengths, strict=True)])
    for layer in range(LAYERS):
        cache.update(new, -new, layer)
    cache.lengths = [length + 1 for length in cache.lengths]


def held(cache: RowCache, index: int) -> list[float]:
    """Return what a row holds behind its padding."""
    mask = torch.arange(cache.columns) >= cache.starts[index]
    keys, values = cache._mine[1].keys, cache._mine[1].values
    found = keys[index, 0, : cache.columns, 0][mask]
    assert torch.equal(values[index, 0, : cache.columns, 0][mask], -found)
    return [float(number) for number in found]


def wanted(row: int, length: int) -> list[float]:
    return [1000.0 * (row + 1) + column for column in range(length)]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_every_row_holds_its_own_columns_whoever_comes_and_goes(data: st.DataObject) -> None:
    rows = [0]
    cache = cache_of(0, data.draw(st.integers(1, 9)))
    for row in range(1, data.draw(st.integers(1, 9))):
        what = data.draw(st.sampled_from(["join", "step", "leave"]))
        if what == "join":
            cache.join([cache_of(row, data.draw(st.integers(1, 90)))])
            rows.append(row)
        elif what == "step":
            step(cache, rows)
        elif len(rows) > 1:
            left = data.draw(st.lists(st.sampled_from(range(len(rows))), min_size=1, unique=True))
            cache.keep(sorted(left))
            rows = [rows[index] for index in sorted(left)]
        for index, row_held in enumerate(rows):
            assert held(cache, index) == wanted(row_held, cache.lengths[index])


def test_padding_that_only_a_longer_row_needed_is_cut_off() -> None:
    cache = cache_of(0, 200)
    cache.join([cache_of(1, 5)])
    assert cache.columns == 200
    cache.keep([1])
    assert cache.columns == 5


def test_padding_holds_zeros_and_no_leftovers() -> None:
    cache = cache_of(0, 3)
    cache.join([cache_of(1, 70)])
    keys = cache._mine[0].keys
    assert not keys[0, :, :67].any()


def test_room_for_many_steps_is_made_at_once() -> None:
    cache = cache_of(0, 10)
    before = cache._mine[0].keys
    for _ in range(64):
        step(cache, [0])
    assert cache._mine[0].keys is before, "64 steps copy nothing"
    step(cache, [0])
    assert cache._mine[0].keys is not before
    assert held(cache, 0) == wanted(0, 75)


def test_rows_of_several_caches_join_in_any_order_in_one_go() -> None:
    cache = cache_of(0, 5)
    cache.join([cache_of(1, 9), cache_of(2, 2)], [2, 0, 1])
    assert cache.lengths == [2, 5, 9]
    for index, row in enumerate([2, 0, 1]):
        assert held(cache, index) == wanted(row, cache.lengths[index])


def test_rewinding_takes_out_what_only_some_layers_hold() -> None:
    cache = cache_of(0, 5)
    cache.update(columns(0, 5, 3), -columns(0, 5, 3), 0)
    cache.rewind(5)
    step(cache, [0])
    assert held(cache, 0) == wanted(0, 6)
    assert {layer.length for layer in cache._mine} == {6}
