"""How far an adapter moved from its base: nothing for one that does nothing, and what a hand count gives."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model

from engine.model.encoding import encode_prompt
from engine.model.loading import load_tokenizer
from trainer.scoring.divergence import generic_prompts, kl_to_base

PROMPTS = ["What is in the shed?", "Who has the lamp?", "Tea"]


@pytest.fixture
def adapted(model: Any) -> Any:
    """The tiny model with an adapter that changes nothing yet."""
    return get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM"))


@pytest.fixture
def tokenizer(tiny_base: Any) -> Any:
    return load_tokenizer(str(tiny_base))


def move(adapted: Any, size: float) -> None:
    draw = torch.Generator().manual_seed(1)
    for name, weight in adapted.named_parameters():
        if "lora_B" in name:
            weight.data = size * torch.randn(weight.shape, generator=draw)


def test_there_are_two_hundred_prompts_each_once() -> None:
    prompts = generic_prompts()
    assert len(prompts) == len(set(prompts)) == 200
    assert all(prompt.strip() == prompt and prompt for prompt in prompts)


def test_an_adapter_that_changes_nothing_is_at_distance_zero(adapted: Any, tokenizer: Any) -> None:
    assert kl_to_base(adapted, tokenizer, PROMPTS) == pytest.approx(0.0, abs=1e-7)
    assert kl_to_base(adapted, tokenizer, []) == 0.0


def test_the_further_it_moves_the_larger_the_distance(adapted: Any, tokenizer: Any) -> None:
    found = []
    for size in (0.05, 0.5, 2.0):
        move(adapted, size)
        found.append(kl_to_base(adapted, tokenizer, PROMPTS))
    assert 0 < found[0] < found[1] < found[2]


def test_it_is_the_mean_over_the_turns_tokens_however_they_are_batched(adapted: Any, tokenizer: Any) -> None:
    move(adapted, 1.0)
    adapted.eval()
    sums, count = 0.0, 0
    shared = len(encode_prompt(tokenizer, [{"role": "user", "content": ""}]))
    for prompt in PROMPTS:
        ids = encode_prompt(tokenizer, [{"role": "user", "content": prompt}])
        empty = encode_prompt(tokenizer, [{"role": "user", "content": ""}])
        first = next((at for at in range(shared) if ids[at] != empty[at]), shared) - 1
        with torch.no_grad():
            mine = adapted(torch.tensor([ids])).logits[0, first:].log_softmax(-1)
            with adapted.disable_adapter():
                base = adapted(torch.tensor([ids])).logits[0, first:].log_softmax(-1)
        sums += float((base.exp() * (base - mine)).sum())
        count += len(base)
    together = kl_to_base(adapted, tokenizer, PROMPTS)
    assert together == pytest.approx(sums / count, rel=1e-4)
    assert kl_to_base(adapted, tokenizer, PROMPTS, batch_tokens=1) == pytest.approx(together, rel=1e-4)
