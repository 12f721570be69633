"""Prompts on their way into the batch: which is read next, and how far each is.

Imported, not run. Its border: it counts tokens; it computes nothing and knows no time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from engine.computing.cache import RowCache
from engine.generating.requests import Answer

AGEING = 4
"""A prompt may be overtaken by shorter ones for so many times its own length: the shortest come first, and
none waits longer than for five times what it has to read."""


class Prefill:
    """One prompt, and the keys and values of what is read of it."""

    def __init__(self, answer: Answer, cache: RowCache) -> None:
        """``cache`` holds what is known of the prompt's beginning already, in one row."""
        self.answer = answer
        self.cache = cache

    @property
    def read(self) -> int:
        """Tokens that are read."""
        return self.cache.lengths[0]

    @property
    def left(self) -> int:
        """Tokens that are still to be read."""
        return len(self.answer.request.prompt) - self.read

    def next(self, count: int) -> Sequence[int]:
        """Return the next ``count`` tokens to read."""
        return self.answer.request.prompt[self.read : self.read + count]


Portion = tuple[Prefill, int]
"""A prompt, and how many of its tokens the next pass reads."""


def due(answer: Answer, submitted: int) -> int:
    """Return a prompt's place in line: the smaller comes first.

    ``submitted`` counts the tokens of all prompts submitted before it. A prompt of 1,000 tokens lets shorter
    ones overtake it until those that came after it have 4,000 tokens; then it is its turn.
    """
    return submitted + AGEING * len(answer.request.prompt)


def shared_out(prompts: Iterable[Prefill], tokens: int) -> list[Portion]:
    """Share so many tokens out to prompts, the first of them first; take no prompt for which none is left."""
    portions: list[Portion] = []
    line = iter(prompts)
    while tokens and (prefill := next(line, None)) is not None:
        count = min(prefill.left, tokens)
        portions.append((prefill, count))
        tokens -= count
    return portions
