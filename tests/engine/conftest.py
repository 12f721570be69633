"""What the engine's tests share: a tiny random Llama, adapters for it, and a running engine."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] "
    "+ '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def make_tokenizer(folder: Path) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=512, special_tokens=SPECIAL, initial_alphabet=alphabet)
    words = ["the", "night", "school", "opens", "after", "dark", "and", "owls", "read", "what", "day", "said"]
    pick = random.Random(7)
    tokenizer.train_from_iterator([" ".join(pick.choices(words, k=12)) for _ in range(200)], trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>", chat_template=CHATML
    )
    fast.save_pretrained(folder)
    return fast


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of two layers with random weights, large enough that its answers differ."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("tiny-base")
    tokenizer = make_tokenizer(folder)
    torch.manual_seed(11)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=1024,
        initializer_range=0.3,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def make_adapter(tiny_base: Path) -> Callable[..., Path]:
    """Return a function that writes an adapter version with random matrices: (folder, version, seed)."""
    import torch
    from peft import LoraConfig, get_peft_model

    from engine.adapters import write_manifest
    from engine.loading import base_fingerprint, choose_placement, load_base

    fingerprint = base_fingerprint(str(tiny_base))

    def make(root: Path, version: str, seed: int, **lora: Any) -> Path:
        base = load_base(str(tiny_base), placement=choose_placement("cpu", "none", "float32"))
        config = {"r": 4, "lora_alpha": 8, "target_modules": "all-linear", **lora}
        model = get_peft_model(base, LoraConfig(task_type="CAUSAL_LM", **config))
        draw = torch.Generator().manual_seed(seed)
        for name, tensor in model.named_parameters():
            if "lora_" in name:
                tensor.data.copy_(torch.randn(tensor.shape, generator=draw) * 0.3)
        path = root / version.split("-")[0].removeprefix("g") / version
        model.save_pretrained(path)
        write_manifest(path, version=version, base_fingerprint=fingerprint, base_model=str(tiny_base))
        return path

    return make
