"""The keys and values of a batch whose rows come and go.

Imported, not run. Its border: memory of one model's attention; it knows rows, no requests. All rows end
at the same column and are padded on the left, so that one step writes one column for all of them.
Memory is laid out ahead: growing a tensor by one column a step means copying it, which took 30 ms for 16
rows of 500 tokens, as long as the model itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers.cache_utils import Cache, CacheLayerMixin

_AHEAD = 64
"""Columns laid out at a time: one copy in 64 steps, for at most 64 columns of memory too many."""


class _Layer(CacheLayerMixin):
    """One layer's keys and values, [rows, heads, columns, size of a head], with room on the right."""

    is_sliding = False
    keys: torch.Tensor  # transformers types them as optional; here they are set with the first columns
    values: torch.Tensor

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.length = 0

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        self.keys = self._room(key_states, key_states.shape[-2])
        self.values = self._room(value_states, value_states.shape[-2])
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write new columns at the end and return all of them."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        end = self.length + key_states.shape[-2]
        if end > self.keys.shape[-2]:
            self.keys, self.values = self._grown(self.keys, end), self._grown(self.values, end)
        self.keys[:, :, self.length : end] = key_states
        self.values[:, :, self.length : end] = value_states
        self.length = end
        return self.keys[:, :, :end], self.values[:, :, :end]

    def gather(self, rows: Sequence[tuple[_Layer, int]], length: int) -> None:
        """Hold these rows of this and other layers from now on, each by its last ``length`` columns."""
        keys, values = self._room(self.keys, length, len(rows)), self._room(self.values, length, len(rows))
        # One copy of everything, and rows that stay together at once.
        for place, (layer, row), count in _runs(rows):
            columns = min(layer.length, length)
            there, own = slice(place, place + count), slice(row, row + count)
            found = slice(layer.length - columns, layer.length)
            keys[there, :, length - columns : length] = layer.keys[own, :, found]
            values[there, :, length - columns : length] = layer.values[own, :, found]
        self.keys, self.values, self.length = keys, values, length

    def beginning(self, row: int, first: int, columns: int) -> _Layer:
        """Return columns of a row as a layer that shares their memory, and copies them once it grows."""
        part = _Layer()
        # Not a column of room: whatever is added must not be written into this layer's memory.
        part.keys = self.keys[row : row + 1, :, first : first + columns]
        part.values = self.values[row : row + 1, :, first : first + columns]
        part.length, part.is_initialized = columns, True
        return part

    def _grown(self, tensor: torch.Tensor, columns: int) -> torch.Tensor:
        return self._copied(tensor[:, :, : self.length], columns)

    def _copied(self, part: torch.Tensor, columns: int) -> torch.Tensor:
        room = self._room(part, columns)
        room[:, :, : part.shape[-2]] = part
        return room

    @staticmethod
    def _room(like: torch.Tensor, columns: int, rows: int | None = None) -> torch.Tensor:
        shape = (rows or like.shape[0], like.shape[1], columns + _AHEAD, like.shape[3])
        # Zeros, not uninitialised memory: the mask gives padding the weight 0, but 0 times NaN is NaN.
        return like.new_zeros(shape)

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.length + query_length, 0

    def get_seq_length(self) -> int:
        return self.length

    def get_max_length(self) -> int:
        return -1  # transformers' word for "no limit"


def _runs(rows: Sequence[tuple[_Layer, int]]) -> list[tuple[int, tuple[_Layer, int], int]]:
    """Return for rows that follow one another where they begin to stand, the first, and how many."""
    runs: list[tuple[int, tuple[_Layer, int], int]] = []
    for place, (layer, row) in enumerate(rows):
        if runs:
            begin, (last, first), count = runs[-1]
            if layer is last and row == first + count:
                runs[-1] = (begin, (last, first), count + 1)
                continue
        runs.append((place, (layer, row), 1))
    return runs


class RowCache(Cache):
    """All layers' keys and values. ``lengths`` holds each row's real columns; the rest is padding."""

    def __init__(self, layers: int) -> None:
        self._mine = [_Layer() for _ in range(layers)]
        super().__init__(layers=[*self._mine])
        self.lengths: list[int] = []

    @classmethod
    def empty(cls, layers: int) -> RowCache:
        """Return a cache with one row of which nothing is read."""
        made = cls(layers)
        made.lengths = [0]
        return made

    @property
    def columns(self) -> int:
        """Columns that all rows share, padding included."""
        return self._mine[0].length

    @property
    def memories(self) -> Sequence[CacheLayerMixin]:
        """Each layer's keys and values, whose ``update`` adds columns and returns all."""
        return self._mine

    @property
    def starts(self) -> list[int]:
        """The columns of padding before each row's first token."""
        return [self.columns - length for length in self.lengths]

    def keep(self, rows: Sequence[int]) -> None:
        """Drop all other rows, and the padding that only the longest of them needed."""
        self.lengths = [self.lengths[row] for row in rows]
        for layer in self._mine:
            layer.gather([(layer, row) for row in rows], max(self.lengths))

    def join(self, others: Sequence[RowCache], order: Sequence[int] | None = None) -> None:
        """Take in the rows of other caches, as if appended and then put in this ``order``."""
        lengths = [length for cache in (self, *others) for length in cache.lengths]
        every = [(cache, row) for cache in (self, *others) for row in range(len(cache.lengths))]
        order = range(len(lengths)) if order is None else order
        columns = max(cache.columns for cache in (self, *others))
        for at, layer in enumerate(self._mine):
            layer.gather([(every[row][0]._mine[at], every[row][1]) for row in order], columns)
        self.lengths = [lengths[row] for row in order]

    def beginning(self, row: int, columns: int) -> RowCache:
        """Return the first real ``columns`` of a row as a cache that shares their memory until it grows."""
        first = self.starts[row]
        return self._of([layer.beginning(row, first, columns) for layer in self._mine], [columns])

    def copied(self) -> RowCache:
        """Return a copy in memory of its own, with room for nothing else."""
        copies = [layer.beginning(0, 0, layer.length) for layer in self._mine]
        for layer in copies:
            layer.keys, layer.values = layer.keys.clone(), layer.values.clone()
        return self._of(copies, list(self.lengths))

    @staticmethod
    def _of(layers: list[_Layer], lengths: list[int]) -> RowCache:
        made = RowCache(0)
        made._mine, made.layers, made.lengths = layers, [*layers], lengths
        return made

    @property
    def bytes(self) -> int:
        """Memory that the columns of all rows take."""
        return sum(
            2 * layer.keys[:, :, : layer.length].numel() * layer.keys.element_size() for layer in self._mine
        )

    def rewind(self, columns: int) -> None:
        """Forget whatever a pass that failed has added behind the first ``columns``."""
        for layer in self._mine:
            layer.length = min(layer.length, columns)


@dataclass(frozen=True, slots=True)
class Part:
    """What a pass reads for the rows of one cache: ``ids``, [rows, new columns], behind what it holds.

    ``starts`` are the columns of padding before each row's first token, ``adapters`` whose updates each row
    is computed with; None is the bare base.
    """

    ids: torch.Tensor
    starts: Sequence[int]
    cache: RowCache
    adapters: Sequence[str | None]
