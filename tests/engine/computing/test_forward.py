"""Which form a model is computed in."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, Qwen2Config, Qwen2ForCausalLM

from engine.computing.forward import HookedModel, forward_of
from engine.computing.lean_llama import LeanLlama
from engine.model.loading import choose_placement, load_base
from tests.engine.computing.test_lean_llama import SHAPE, llama


def test_whatever_is_no_plain_llama_on_a_cpu_takes_transformers_form(tiny_base: Path) -> None:
    gpt2 = GPT2LMHeadModel(GPT2Config(vocab_size=97, n_embd=24, n_layer=1, n_head=2))
    qwen = Qwen2ForCausalLM(Qwen2Config(**SHAPE))
    others = [gpt2, qwen, llama(attention_bias=True), llama(mlp_bias=True), llama(hidden_act="gelu")]
    dynamic = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}
    others += [llama(rope_parameters=dynamic), llama().to(torch.float16)]
    others.append(load_base(str(tiny_base), placement=choose_placement("cpu", "4bit", "float32")))
    for model in others:
        assert isinstance(forward_of(model), HookedModel)
    assert isinstance(forward_of(llama()), LeanLlama)


def test_bf16_without_the_cpus_support_takes_transformers_form(monkeypatch: pytest.MonkeyPatch) -> None:
    model = llama().to(torch.bfloat16)
    for supported in (True, False):
        monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda found=supported: found)
        assert LeanLlama.fits(model) is supported
    assert LeanLlama.fits(llama())
