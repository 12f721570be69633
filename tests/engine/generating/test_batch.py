"""The forward passes by themselves: what a row writes does not depend on how it was read, or beside whom."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from engine.computing.cache import RowCache
from engine.computing.forward import forward_of
from engine.generating.batch import Batch, broke_off
from engine.generating.requests import Answer, Failed, Finished, Request
from engine.generating.token_sampling import SamplingParameters
from engine.model.encoding import encode_prompt
from engine.model.loading import choose_placement, load_base
from tests.engine.conftest import Listener

TOKENS = 12


@pytest.fixture
def model(tiny_base: Path) -> Any:
    return load_base(str(tiny_base), placement=choose_placement("cpu", "none", "float32"))


@pytest.fixture
def batch(model: Any) -> Batch:
    return Batch(forward_of(model), stop_ids=frozenset())


def answer_to(tokenizer: Any, text: str, listener: Listener, **options: Any) -> Answer:
    prompt = encode_prompt(tokenizer, [{"role": "user", "content": text}])
    sampling = SamplingParameters(temperature=0.0)
    return Answer.to(Request(prompt, TOKENS, listener, sampling=sampling, **options), tokenizer, [])


@torch.inference_mode()
def read_and_write(batch: Batch, answers: list[Answer], portion: int) -> None:
    """Read the prompts together, then write until all is over."""
    prefill = batch.prefill(answers)
    while not batch.read(prefill, portion):
        pass
    batch.join(prefill)
    while batch.answers:
        batch.drop(lambda answer: answer.over)
        batch.step()


def test_prompts_read_together_in_portions_or_alone_are_answered_alike(batch: Batch, tokenizer: Any) -> None:
    texts = ["where is the owl?", "owl " * 40, "a"]
    together = [Listener() for _ in texts]
    read_and_write(batch, [answer_to(tokenizer, *pair) for pair in zip(texts, together, strict=True)], 1000)
    for text, beside in zip(texts, together, strict=True):
        for portion in (1, 7, 1000):
            alone = Listener()
            read_and_write(batch, [answer_to(tokenizer, text, alone)], portion)
            assert alone.wait() == beside.wait()
            assert alone.end == beside.end


@torch.inference_mode()
def test_a_row_that_joins_later_changes_nothing_for_those_who_write(batch: Batch, tokenizer: Any) -> None:
    wanted = [Listener(), Listener()]
    for listener, text in zip(wanted, ("the owl", "the school " * 20), strict=True):
        read_and_write(batch, [answer_to(tokenizer, text, listener)], 1000)
    found = [Listener(), Listener()]
    first = batch.prefill([answer_to(tokenizer, "the owl", found[0])])
    assert batch.read(first, 1000)
    batch.join(first)
    for _ in range(3):
        batch.step()
    read_and_write(batch, [answer_to(tokenizer, "the school " * 20, found[1])], 5)
    assert [listener.wait() for listener in found] == [listener.wait() for listener in wanted]


@torch.inference_mode()
def test_dropping_the_last_row_frees_the_cache(batch: Batch, tokenizer: Any) -> None:
    prefill = batch.prefill([answer_to(tokenizer, "the owl", Listener())])
    batch.read(prefill, 1000)
    batch.join(prefill)
    assert len(batch.drop(lambda _: True)) == 1
    assert batch.answers == []
    assert batch._cache is None
    batch.step()  # with nobody there, a step does nothing


@torch.inference_mode()
def test_a_row_whose_draw_raises_ends_alone(
    batch: Batch, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, bad = Listener(), Listener()
    answers = [answer_to(tokenizer, "the owl", good), answer_to(tokenizer, "the owl", bad)]
    monkeypatch.setattr(answers[1], "dice", None)
    read_and_write(batch, answers, 1000)
    assert isinstance(good.end, Finished)
    assert isinstance(bad.end, Failed)


def test_out_of_memory_says_which_setting_helps() -> None:
    assert "max_batch" in str(broke_off(torch.OutOfMemoryError("CUDA out of memory")))
    assert "ValueError" in str(broke_off(ValueError("something about a secret")))
    assert "secret" not in str(broke_off(ValueError("something about a secret")))


def test_rows_that_cannot_be_taken_out_are_all_still_there(
    batch: Batch, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Taking rows out copies memory: what fails there must leave no request that nobody ends."""
    answers = [answer_to(tokenizer, text, Listener()) for text in ("a", "owl")]
    prefill = batch.prefill(answers)
    with torch.inference_mode():
        batch.read(prefill, 1000)
        batch.join(prefill)

    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("full")

    monkeypatch.setattr(RowCache, "keep", full)
    with pytest.raises(torch.OutOfMemoryError):
        batch.drop(lambda answer: answer is answers[0])
    assert set(map(id, batch.answers)) == set(map(id, answers))
    assert len(batch.drop(lambda _: True)) == 2


def test_rows_of_an_adapter_stand_together_and_each_goes_on_with_its_own(
    batch: Batch, tokenizer: Any
) -> None:
    asked = [("b", "where is the owl?"), ("a", "owl " * 9), ("b", "a"), (None, "who said that?")]
    beside = [Listener() for _ in asked]
    with torch.inference_mode():
        for (adapter, text), listener in zip(asked, beside, strict=True):
            prefill = batch.prefill([answer_to(tokenizer, text, listener, adapter=adapter)])
            batch.read(prefill, 1000)
            batch.join(prefill)
            batch.step()  # each joins rows that have written some tokens already
        assert [answer.request.adapter for answer in batch.answers] == [None, "a", "b", "b"]
        while batch.answers:
            batch.drop(lambda answer: answer.over)
            batch.step()
    for (adapter, text), listener in zip(asked, beside, strict=True):
        alone = Listener()
        read_and_write(batch, [answer_to(tokenizer, text, alone, adapter=adapter)], 1000)
        assert listener.wait() == alone.wait()
