"""The forward passes by themselves: what a row writes does not depend on how it was read, or beside whom."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from engine.computing.cache import RowCache
from engine.computing.forward import HookedModel, forward_of
from engine.computing.lean_llama import LeanLlama
from engine.generating.batch import Batch, broke_off
from engine.generating.prefill import Prefill
from engine.generating.requests import Answer, Failed, Finished, Request
from engine.generating.token_sampling import SamplingParameters
from engine.model.encoding import encode_prompt
from engine.model.loading import choose_placement, load_base
from tests.engine.conftest import Listener

TOKENS = 12
LAYERS = 2


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
    """Read the prompts together, each in such portions, then write until all is over."""
    begin(batch, answers, portion)
    while batch.answers:
        batch.drop(lambda answer: answer.over)
        batch.advance()


@torch.inference_mode()
def begin(batch: Batch, answers: list[Answer], portion: int = 1000) -> None:
    """Read the prompts together, each in such portions, beside the rows that write."""
    reading = [batch.prefill(answer) for answer in answers]
    while reading:
        batch.drop(lambda answer: answer.over)
        done = batch.advance([(prefill, min(portion, prefill.left)) for prefill in reading])
        batch.join(done)
        reading = [prefill for prefill in reading if prefill not in done]


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
    begin(batch, [answer_to(tokenizer, "the owl", found[0])])
    for _ in range(3):
        batch.advance()
    read_and_write(batch, [answer_to(tokenizer, "the school " * 20, found[1])], 5)
    assert [listener.wait() for listener in found] == [listener.wait() for listener in wanted]


@torch.inference_mode()
def test_dropping_the_last_row_frees_the_cache(batch: Batch, tokenizer: Any) -> None:
    begin(batch, [answer_to(tokenizer, "the owl", Listener())])
    assert len(batch.drop(lambda _: True)) == 1
    assert batch.answers == []
    assert batch._cache is None
    assert batch.advance() == []  # with nobody there, a step does nothing


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
    begin(batch, answers)

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
            begin(batch, [answer_to(tokenizer, text, listener, adapter=adapter)])
            batch.advance()  # each joins rows that have written some tokens already
        assert [answer.request.adapter for answer in batch.answers] == [None, "a", "b", "b"]
        while batch.answers:
            batch.drop(lambda answer: answer.over)
            batch.advance()
    for (adapter, text), listener in zip(asked, beside, strict=True):
        alone = Listener()
        read_and_write(batch, [answer_to(tokenizer, text, alone, adapter=adapter)], 1000)
        assert listener.wait() == alone.wait()


@torch.inference_mode()
@pytest.mark.parametrize("form", [LeanLlama, HookedModel])
def test_a_pass_that_fails_half_way_leaves_everything_as_it_was(
    model: Any, tokenizer: Any, form: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Layers before the one that failed hold the new columns already."""
    batch = Batch(form(model), stop_ids=frozenset())
    texts = ["where is the owl?", "the school " * 20]
    alone = [Listener() for _ in texts]
    for text, listener in zip(texts, alone, strict=True):
        read_and_write(batch, [answer_to(tokenizer, text, listener)], 1000)
    found = [Listener() for _ in texts]
    begin(batch, [answer_to(tokenizer, texts[0], found[0])])
    late = Prefill(answer_to(tokenizer, texts[1], found[1]), RowCache.empty(LAYERS))
    batch.join(batch.advance([(late, 9)]))
    update = type(late.cache.memories[0]).update

    def full(layer: Any, *args: Any, **options: Any) -> Any:
        if layer is late.cache.memories[-1]:
            raise torch.OutOfMemoryError("full")
        return update(layer, *args, **options)

    monkeypatch.setattr(type(late.cache.memories[0]), "update", full)
    with pytest.raises(torch.OutOfMemoryError):
        batch.advance([(late, 9)])
    monkeypatch.undo()
    assert late.read == 9
    while late.left:
        batch.join(batch.advance([(late, min(late.left, 9))]))
    while batch.answers:
        batch.advance()
        batch.drop(lambda answer: answer.over)
    assert [each.wait() for each in found] == [each.wait() for each in alone]
