"""The sizes of a layer's inputs, found by reading a text."""

from __future__ import annotations

import torch

from engine.computing.input_peaks import TEXT, TOKENS, input_peaks
from tests.engine.computing.test_lean_llama import llama


def test_each_linear_layer_has_the_largest_of_each_input() -> None:
    model, ids = llama(), [number % 97 for number in range(TOKENS + 50)]
    seen: dict[str, torch.Tensor] = {}
    head = model.lm_head
    hook = head.register_forward_pre_hook(lambda _, args: seen.update(head=args[0]))
    found = input_peaks(model, ids)
    hook.remove()
    assert {name: len(peaks) for name, peaks in found.items()} == {
        name: module.in_features
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear)
    }
    assert seen["head"].shape == (1, TOKENS, 24)
    torch.testing.assert_close(found["lm_head"], seen["head"][0].abs().amax(0))
    queries = "model.layers.1.self_attn.q_proj"
    torch.testing.assert_close(found[queries], found[queries.replace("q_proj", "v_proj")])


def test_the_model_is_left_as_it_was() -> None:
    model = llama()
    input_peaks(model, [1, 2, 3])
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_the_text_that_ships_is_long_enough_in_any_vocabulary() -> None:
    # No tokenizer makes fewer than one token of a word.
    assert len(TEXT.read_text(encoding="utf-8").split()) > TOKENS
