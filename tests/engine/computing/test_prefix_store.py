"""What was read a moment ago is found again: by its own adapter, for ten minutes, within bounds."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.computing.cache import RowCache
from engine.computing.prefix_store import PrefixStore, shared
from tests.engine.computing.test_cache import HEADS, LAYERS, SIZE, cache_of, held, step, wanted

COLUMN = 2 * LAYERS * HEADS * SIZE * 4
"""Bytes of a token's keys and values, in float32."""


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_longest_known_beginning_is_found_but_for_the_last_token() -> None:
    store = PrefixStore()
    store.keep(None, [1, 2, 3, 4, 5], cache_of(0, 5))
    store.keep(None, [1, 2, 9], cache_of(1, 3))
    for prompt, row, columns in (([1, 2, 3, 4, 7], 0, 4), ([1, 2, 9, 9], 1, 3), ([1, 2, 3, 4, 5], 0, 4)):
        found = store.find(None, prompt)
        assert found is not None
        assert found.lengths == [columns]
        assert held(found, 0) == wanted(row, columns)
    assert store.find(None, [7, 1, 2]) is None
    assert store.find(None, [1]) is None, "the only token has to be read"


def test_what_an_adapter_read_serves_no_other() -> None:
    store = PrefixStore()
    store.keep("g1-v000001", [1, 2, 3], cache_of(0, 3))
    assert store.find("g1-v000002", [1, 2, 3, 4]) is None
    assert store.find(None, [1, 2, 3, 4]) is None
    assert store.find("g1-v000001", [1, 2, 3, 4]) is not None
    store.forget("g1-v000001")
    assert store.find("g1-v000001", [1, 2, 3, 4]) is None
    assert store.bytes == 0


def test_a_found_beginning_grows_without_touching_the_entry() -> None:
    store = PrefixStore()
    store.keep(None, [1, 2, 3, 4, 5], cache_of(0, 5))
    first = store.find(None, [1, 2, 3, 8])
    assert first is not None
    for _ in range(4):
        step(first, [7])
    again = store.find(None, [1, 2, 3, 4, 5, 6])
    assert again is not None
    assert held(again, 0) == wanted(0, 5)
    assert held(first, 0)[:3] == wanted(0, 3)


def test_an_entry_is_a_copy_without_the_rows_padding_or_its_neighbours() -> None:
    batch = cache_of(0, 2)
    batch.join([cache_of(1, 70)])
    store = PrefixStore()
    store.keep(None, [1, 2], batch.beginning(0, 2))
    assert store.bytes == 2 * COLUMN
    keys = batch._mine[0].keys
    keys.fill_(float("nan"))
    found = store.find(None, [1, 2, 3])
    assert found is not None
    assert held(found, 0) == wanted(0, 2)
    assert found._mine[0].keys.untyped_storage().nbytes() == HEADS * 2 * SIZE * 4


def test_an_entry_takes_the_place_of_those_that_it_continues() -> None:
    store = PrefixStore()
    store.keep(None, [1, 2], cache_of(0, 2))
    store.keep("a", [1, 2], cache_of(0, 2))
    store.keep(None, [1, 2, 3], cache_of(0, 3))
    assert store.bytes == 5 * COLUMN


def test_memory_stays_within_its_bound_and_the_least_recently_used_goes_first() -> None:
    store = PrefixStore(most_bytes=6 * COLUMN)
    store.keep(None, [1, 1, 1], cache_of(0, 3))
    store.keep(None, [2, 2, 2], cache_of(1, 3))
    assert store.find(None, [1, 1, 1, 1]) is not None
    store.keep(None, [3, 3], cache_of(2, 2))
    assert store.find(None, [2, 2, 2, 2]) is None
    assert store.find(None, [1, 1, 1, 1]) is not None
    store.keep(None, [4] * 7, cache_of(3, 7))
    assert store.find(None, [4] * 7) is None, "too large to be kept"
    assert store.bytes == 5 * COLUMN


def test_ten_minutes_after_it_was_read_an_entry_is_gone_used_or_not() -> None:
    clock = Clock()
    store = PrefixStore(clock=clock)
    store.keep(None, [1, 2], cache_of(0, 2))
    clock.now = 300.0
    store.keep(None, [5, 6], cache_of(0, 2))
    assert store.expire() == 300.0
    assert store.find(None, [1, 2, 3]) is not None
    clock.now = 600.0
    assert store.find(None, [1, 2, 3]) is None
    assert store.expire() == 300.0
    clock.now = 900.0
    assert store.expire() is None
    assert store.bytes == 0


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=8), min_size=1, max_size=12))
def test_whatever_is_kept_what_is_found_belongs_to_the_prompts_own_tokens(prompts: list[list[int]]) -> None:
    store = PrefixStore(most_bytes=20 * COLUMN)
    for prompt in prompts:
        found = store.find(None, prompt)
        cache = found or RowCache.empty(LAYERS)
        if found is not None:
            assert found.lengths[0] < len(prompt)
        # Each column's keys are the number of its token's history, so a wrong one cannot pass.
        for at in range(cache.lengths[0], len(prompt)):
            number = float(hash(tuple(prompt[: at + 1])) % 9973)
            new = torch.full((1, HEADS, 1, SIZE), number)
            for layer in range(LAYERS):
                cache.update(new, -new, layer)
            cache.lengths = [at + 1]
        assert held(cache, 0) == [float(hash(tuple(prompt[: at + 1])) % 9973) for at in range(len(prompt))]
        store.keep(None, prompt, cache)
        assert store.bytes <= 20 * COLUMN


@pytest.mark.parametrize(
    ("one", "other", "common"), [([], [1], 0), ([1, 2], [1, 2, 3], 2), ([1, 2, 3], [1, 4], 1)]
)
def test_the_common_beginning_is_counted(one: list[int], other: list[int], common: int) -> None:
    assert shared(one, other) == common
