"""The lean forward pass computes what transformers does, however rows were read and whatever they mix."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
)

from engine.computing.cache import Part, RowCache
from engine.computing.forward import Forward, HookedModel
from engine.computing.input_peaks import input_peaks
from engine.computing.lean_llama import LeanLlama
from engine.computing.lora_bank import Pair

SHAPE: dict[str, Any] = {
    "vocab_size": 97,
    "hidden_size": 24,
    "intermediate_size": 40,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
}
needs_bf16 = pytest.mark.skipif(
    not torch.ops.mkldnn._is_mkldnn_bf16_supported(), reason="this processor does not compute in bf16"
)


def llama(**options: Any) -> Any:
    torch.manual_seed(1)
    model: Any = LlamaForCausalLM(LlamaConfig(**{**SHAPE, **options})).eval()
    for name, parameter in model.named_parameters():
        # Norms of ones and weights of 0.02 would hide many a fault.
        spread = 0.3 if parameter.dim() > 1 else 0.5
        parameter.data = torch.randn_like(parameter) * spread + (1.0 if "norm" in name else 0.0)
    return model


def logits_of(
    forward: Forward, ids: torch.Tensor, starts: list[int], cache: RowCache, adapters: list[str | None]
) -> torch.Tensor:
    """Return the last column's logits of a pass with a single part."""
    [logits] = forward.last_logits([Part(ids, starts, cache, adapters)])
    return logits


def written(
    forward: Forward, prompts: list[list[int]], *, portions: list[int], steps: int, who: str | None = None
) -> torch.Tensor:
    """Read the first prompt in portions and the others in one pass, then write; return all logits."""
    found = []
    with torch.inference_mode():
        first = RowCache(forward.layers)
        read = 0
        while read < len(prompts[0]):
            part = prompts[0][read : read + portions[read % len(portions)]]
            last = logits_of(forward, torch.tensor([part]), [0], first, [who])
            read += len(part)
        first.lengths = [read]
        found.append(last)
        if prompts[1:]:
            others, width = RowCache(forward.layers), max(map(len, prompts[1:]))
            starts = [width - len(prompt) for prompt in prompts[1:]]
            rows = [[0] * start + prompt for start, prompt in zip(starts, prompts[1:], strict=True)]
            found.append(logits_of(forward, torch.tensor(rows), starts, others, [who] * len(rows)))
            others.lengths = [len(prompt) for prompt in prompts[1:]]
            first.join([others])
        for step in range(steps):
            ids = torch.tensor([[(7 * step + row) % 97] for row in range(len(prompts))])
            found.append(logits_of(forward, ids, first.starts, first, [who] * len(prompts)))
            first.lengths = [length + 1 for length in first.lengths]
    return torch.cat(found)


def pairs(model: Any, seed: int, rank: int, *, only: str = "") -> dict[str, Pair]:
    draw = torch.Generator().manual_seed(seed)
    return {
        name: Pair(
            torch.randn(rank, module.in_features, generator=draw) * 0.2,
            torch.randn(module.out_features, rank, generator=draw) * 0.2,
        )
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and name.endswith(only)
    }


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 96), min_size=1, max_size=20), min_size=1, max_size=4),
    st.lists(st.integers(1, 9), min_size=1, max_size=3),
    st.sampled_from([{}, {"tie_word_embeddings": True}, {"head_dim": 8, "rms_norm_eps": 0.1}]),
    st.sampled_from([None, "wide", "narrow"]),
)
def test_the_logits_are_those_of_transformers(
    prompts: list[list[int]], portions: list[int], options: dict[str, Any], who: str | None
) -> None:
    def logits(kind: Any) -> torch.Tensor:
        model = llama(**options)
        adapters = {"wide": pairs(model, 1, 4), "narrow": pairs(model, 2, 2, only="v_proj")}
        forward = kind(model)
        for name, weights in adapters.items():
            forward.bank.install(name, weights)
        return written(forward, prompts, portions=portions, steps=3, who=who)

    torch.testing.assert_close(logits(LeanLlama), logits(HookedModel), atol=2e-4, rtol=2e-3)


def test_rows_with_adapters_of_their_own_write_side_by_side() -> None:
    ids = torch.tensor([[5, 6, 7], [0, 6, 7], [0, 0, 9], [3, 2, 1]])

    def logits(kind: Any) -> torch.Tensor:
        model = llama()
        some = pairs(model, 2, 3, only="k_proj") | pairs(model, 3, 3, only="up_proj")
        adapters = {"a": pairs(model, 1, 4), "b": some}
        forward = kind(model)
        for name, weights in adapters.items():
            forward.bank.install(name, weights)
        with torch.inference_mode():
            return logits_of(forward, ids, [0, 1, 2, 0], RowCache(forward.layers), [None, "a", "b", "a"])

    lean = logits(LeanLlama)
    torch.testing.assert_close(lean, logits(HookedModel), atol=2e-4, rtol=2e-3)
    assert (lean[1] - lean[3]).abs().max() > 0.1


@pytest.mark.parametrize(
    "rope",
    [
        {"rope_type": "linear", "factor": 4.0, "rope_theta": 1e4},
        {
            "rope_type": "llama3",
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 64,
            "rope_theta": 1e4,
        },
    ],
    ids=["linear", "llama3"],
)
def test_stretched_positions_are_those_of_transformers(rope: dict[str, Any]) -> None:
    prompt = [[number % 97 for number in range(80)]]
    lean, plain = (
        written(kind(llama(rope_parameters=rope)), prompt, portions=[30], steps=2)
        for kind in (LeanLlama, HookedModel)
    )
    torch.testing.assert_close(lean, plain, atol=2e-4, rtol=2e-3)


@needs_bf16
def test_in_bf16_it_is_as_near_to_float32_as_transformers_is() -> None:
    prompt = [[number % 97 for number in range(60)], [5, 6, 7]]
    exact = written(HookedModel(llama()), prompt, portions=[60], steps=4)
    lean, plain = (
        written(kind(llama().to(torch.bfloat16)), prompt, portions=[60], steps=4).float()
        for kind in (LeanLlama, HookedModel)
    )
    assert (lean - exact).abs().mean() < 1.2 * (plain - exact).abs().mean()


def test_it_takes_the_models_weights_so_that_none_are_there_twice() -> None:
    model = llama()
    LeanLlama(model)
    left = sum(parameter.numel() for name, parameter in model.named_parameters() if "_proj" in name)
    assert left == 0


@needs_bf16
def test_in_bf16_a_row_is_the_same_to_the_bit_whether_a_neighbour_has_an_adapter() -> None:
    model = llama().to(torch.bfloat16)
    weights = pairs(model, 1, 4)
    forward = LeanLlama(model)
    forward.bank.install("a", weights)
    ids, found = torch.tensor([[5, 6, 7], [8, 9, 1]]), []
    with torch.inference_mode():
        for neighbour in (None, "a"):
            found.append(logits_of(forward, ids, [0, 0], RowCache(forward.layers), [None, neighbour]))
    assert torch.equal(found[0][0], found[1][0])
    assert not torch.equal(found[0][1], found[1][1])


def test_in_8_bits_it_says_nearly_the_same() -> None:
    ids = [(5 * at) % 97 for at in range(40)]
    spread = {"hidden_size": 64, "intermediate_size": 128}

    def logits(eight_bit: bool) -> torch.Tensor:
        model = llama(**spread)
        weights = pairs(model, 1, 4)
        forward = LeanLlama(model, input_peaks(model, ids) if eight_bit else None)
        forward.bank.install("adapter", weights)
        return written(forward, [ids, ids[:7]], portions=[16], steps=4, who="adapter")

    full, rounded = logits(eight_bit=False).log_softmax(-1), logits(eight_bit=True).log_softmax(-1)
    assert not torch.equal(full, rounded)
    assert float((full.exp() * (full - rounded)).sum(-1).mean()) < 0.02


def test_in_8_bits_a_row_writes_the_same_beside_others() -> None:
    ids = [(5 * at) % 97 for at in range(12)]
    model = llama()
    forward = LeanLlama(model, input_peaks(model, ids))
    alone = written(forward, [ids], portions=[5], steps=4)
    beside = written(forward, [ids, [1, 2], [90]], portions=[5], steps=4)
    torch.testing.assert_close(alone[1:], beside[3::3], atol=1e-4, rtol=1e-4)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_pass_over_many_parts_computes_what_each_pass_alone_would(data: st.DataObject) -> None:
    """Rows that write, and portions of prompts behind what was read of them, each with its own adapter."""
    rows = data.draw(st.lists(st.integers(1, 9), min_size=1, max_size=3))
    behind = data.draw(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 9)), min_size=1, max_size=3))
    names = st.sampled_from([None, "wide", "narrow"])
    who = data.draw(st.lists(names, min_size=len(rows) + len(behind), max_size=len(rows) + len(behind)))
    seed = data.draw(st.integers(0, 99))

    def parts(forward: Forward) -> list[Part]:
        draw = torch.Generator().manual_seed(seed)
        caches = []
        for length, name in zip([*rows, *(before for before, _ in behind)], who, strict=True):
            cache = RowCache(forward.layers)
            if length:
                forward.last_logits(
                    [Part(torch.randint(97, (1, length), generator=draw), [0], cache, [name])]
                )
            cache.lengths = [length]
            caches.append(cache)
        writing = caches[0]
        writing.join(caches[1 : len(rows)])
        ids = torch.randint(97, (len(rows), 1), generator=draw)
        found = [Part(ids, writing.starts, writing, who[: len(rows)])]
        for (_, new), cache, name in zip(behind, caches[len(rows) :], who[len(rows) :], strict=True):
            found.append(Part(torch.randint(97, (1, new), generator=draw), [0], cache, [name]))
        return found

    with torch.inference_mode():
        model = llama()
        adapters = {"wide": pairs(model, 1, 4), "narrow": pairs(model, 2, 2, only="v_proj")}
        forwards: list[Forward] = [LeanLlama(llama()), HookedModel(model)]
        for forward in forwards:
            for name, weights in adapters.items():
                forward.bank.install(name, weights)
        lean, hooked = forwards
        wanted = hooked.last_logits(parts(hooked))
        together = lean.last_logits(parts(lean))
        alone = [lean.last_logits([part])[0] for part in parts(lean)]
    for found in (together, alone):
        for one, other in zip(found, wanted, strict=True):
            torch.testing.assert_close(one, other, atol=2e-4, rtol=2e-3)
