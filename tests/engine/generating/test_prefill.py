"""Who is read next: short prompts first, and nobody waits for ever."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest

from engine.computing.cache import RowCache
from engine.generating.prefill import AGEING, Prefill, due, shared_out
from engine.generating.requests import Answer, Request


def prompt(tokenizer: Any, length: int, submitted: int = 0) -> Prefill:
    answer = Answer.to(Request([1] * length, 1, lambda _: None), tokenizer, [])
    answer.due = due(answer, submitted)
    return Prefill(answer, RowCache.empty(1))


def read(prefill: Prefill, count: int) -> None:
    prefill.cache.lengths = [prefill.read + count]


def in_line(prompts: list[Prefill]) -> list[Prefill]:
    return sorted(prompts, key=lambda prefill: prefill.answer.due)


def test_the_tokens_of_a_pass_go_to_the_first_and_what_is_left_to_those_behind(tokenizer: Any) -> None:
    first, second, third = (prompt(tokenizer, length) for length in (10, 100, 5))
    read(first, 4)
    assert shared_out([first, second, third], 20) == [(first, 6), (second, 14)]
    assert shared_out([first, second, third], 300) == [(first, 6), (second, 100), (third, 5)]
    assert shared_out([first], 0) == []
    assert list(first.next(6)) == [1] * 6


def test_no_prompt_is_asked_for_before_its_turn(tokenizer: Any) -> None:
    """What is known of a prompt takes a search, so that those without a share are not looked at."""
    asked = []

    def line() -> Iterator[Prefill]:
        for length in (6, 100, 50):
            asked.append(length)
            yield prompt(tokenizer, length)

    assert [count for _, count in shared_out(line(), 106)] == [6, 100]
    assert asked == [6, 100]


def test_short_prompts_come_first(tokenizer: Any) -> None:
    submitted, prompts = 0, []
    for length in (800, 30, 200, 10):
        prompts.append(prompt(tokenizer, length, submitted))
        submitted += length
    assert [len(each.answer.request.prompt) for each in in_line(prompts)] == [30, 10, 200, 800]


@pytest.mark.parametrize("seed", range(20))
def test_a_long_prompt_waits_for_five_times_its_own_length_at_most(tokenizer: Any, seed: int) -> None:
    """However many short ones come after it, and however fast."""
    draw = random.Random(seed)
    length = draw.randint(100, 1500)
    long = prompt(tokenizer, length)
    waiting, submitted, passed = [long], length, 0
    while long.left:
        while sum(each.left for each in waiting) < 4000:
            waiting.append(prompt(tokenizer, draw.randint(5, 90), submitted))
            submitted += waiting[-1].left
        for prefill, count in shared_out(in_line(waiting), 64):
            read(prefill, count)
            passed += count
        waiting = [each for each in waiting if each.left]
    # 4,000 tokens stood in line from the beginning; those of them that came first count as well.
    assert passed <= (1 + AGEING) * length + 64
