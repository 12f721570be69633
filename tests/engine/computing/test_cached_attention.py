"""The faster attention gives the same numbers as transformers' own."""

from pathlib import Path
from typing import Any

import torch
from transformers import DynamicCache

from engine.computing.cached_attention import pack_queries
from engine.model.loading import choose_placement, load_base


def test_a_new_token_gets_the_same_logits_with_packed_queries(tiny_base: Path) -> None:
    ids = torch.tensor([[5, 6, 7, 8], [9, 10, 11, 12]])

    def last_logits(model: Any) -> torch.Tensor:
        cache = DynamicCache(config=model.config)
        with torch.inference_mode():
            model(input_ids=ids[:, :3], past_key_values=cache)
            logits: torch.Tensor = model(input_ids=ids[:, 3:], past_key_values=cache).logits
        return logits

    model = load_base(str(tiny_base), placement=choose_placement("cpu", "none", "float32"))
    expected = last_logits(model)
    pack_queries(model)
    assert model.config._attn_implementation == "sdpa_packed"
    torch.testing.assert_close(last_logits(model), expected)
