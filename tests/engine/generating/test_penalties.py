"""Penalties, biases and a least length: the figures of OpenAI's and vLLM's documents, row by row."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from engine.generating.penalties import adjusted
from engine.generating.token_sampling import Dice, SamplingParameters

LOGITS = torch.tensor([[2.0, -1.0, 0.5, 3.0]])


def die(prompt: tuple[int, ...] = (), written: tuple[int, ...] = (), **sampling: Any) -> Dice:
    made = Dice(SamplingParameters(**sampling), prompt)
    for token in written:
        made.note(token)
    return made


def after(dice: Dice, stop_ids: frozenset[int] = frozenset()) -> list[float]:
    return [round(value, 4) for value in adjusted(LOGITS, [dice], stop_ids)[0].tolist()]


def test_frequency_counts_each_time_and_presence_once_and_neither_the_prompt() -> None:
    assert after(die((3,), (0, 0, 1), frequency_penalty=0.5)) == [1.0, -1.5, 0.5, 3.0]
    assert after(die((3,), (0, 0, 1), presence_penalty=0.5)) == [1.5, -1.5, 0.5, 3.0]


def test_repetition_divides_what_is_positive_and_multiplies_the_rest_prompt_included() -> None:
    assert after(die((3, 3), (0, 1, 1), repetition_penalty=2.0)) == [1.0, -2.0, 0.5, 1.5]
    assert after(die((), (), repetition_penalty=2.0)) == LOGITS[0].tolist()


def test_repetition_comes_before_the_others_as_in_vllm() -> None:
    assert (
        after(die((), (0,), repetition_penalty=2.0, frequency_penalty=0.5, presence_penalty=0.25))[0] == 0.25
    )


def test_a_bias_is_added_and_end_tokens_wait_for_the_least_length() -> None:
    assert after(die(logit_bias=((2, 100.0), (0, -100.0)))) == [-98.0, -1.0, 100.5, 3.0]
    assert after(die((), (1,), min_tokens=2), frozenset({3}))[3] == -torch.inf
    assert after(die((), (1, 1), min_tokens=2), frozenset({3}))[3] == 3.0


def test_without_settings_the_logits_are_left_as_they_are() -> None:
    assert adjusted(LOGITS, [die((1, 2), (0, 3))], {3}) is LOGITS


SETTINGS = st.builds(
    SamplingParameters,
    repetition_penalty=st.sampled_from([0.5, 1.0, 1.3]),
    frequency_penalty=st.sampled_from([-2.0, 0.0, 0.7]),
    presence_penalty=st.sampled_from([0.0, 0.4]),
    min_tokens=st.integers(0, 3),
    logit_bias=st.lists(st.tuples(st.integers(0, 19), st.floats(-9, 9)), max_size=3).map(tuple),
)
TOKENS = st.lists(st.integers(0, 19), max_size=8)


@given(st.lists(st.tuples(SETTINGS, TOKENS, TOKENS), min_size=1, max_size=5), st.integers(0, 99))
def test_each_row_of_a_mixed_batch_is_changed_as_if_it_were_alone(
    rows: list[tuple[SamplingParameters, list[int], list[int]]], seed: int
) -> None:
    logits = torch.randn(len(rows), 20, generator=torch.Generator().manual_seed(seed))
    dice = []
    for sampling, prompt, written in rows:
        dice.append(Dice(sampling, prompt))
        for token in written:
            dice[-1].note(token)
    mixed = adjusted(logits, dice, {7})
    for row, one in enumerate(dice):
        assert torch.equal(mixed[row], adjusted(logits[row : row + 1], [one], {7})[0])
        assert mixed[row].tolist() == pytest.approx(by_hand(logits[row].tolist(), *rows[row]), abs=1e-5)


def by_hand(
    logits: list[float], said: SamplingParameters, prompt: list[int], written: list[int]
) -> list[float]:
    """Return what vLLM's documents say, token by token."""
    values = list(logits)
    for token, bias in said.logit_bias:
        values[token] += bias
    if len(written) < said.min_tokens:
        values[7] = -torch.inf
    for token in {*prompt, *written}:
        divides = values[token] > 0
        values[token] *= 1 / said.repetition_penalty if divides else said.repetition_penalty
        if times := written.count(token):
            values[token] -= said.frequency_penalty * times + said.presence_penalty
    return values
