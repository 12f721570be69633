"""How far an adapter has moved from its base where nothing was to change: forward KL on generic prompts.

Forward KL(base || adapter) on what has nothing to do with the task foretells forgetting (Shenfeld et al.
2025, "RL's Razor: Why Online Reinforcement Learning Forgets Less", arXiv 2509.04259). Knows one model with
an adapter and the project's own 200 prompts; nothing of a guild.

It is measured over the prompts' own next-token distributions, from the asking turn's first token up to the
answer's first, not over continuations that the base writes: those would have to be generated, fifty times
the work on a CPU, and are another text for each base.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from engine.model.encoding import encode_prompt
from trainer.scoring.batches import EncodedRow, by_length, pad
from trainer.scoring.perplexity import BATCH_TOKENS, on_device

GENERIC_PROMPTS = Path(__file__).with_name("generic_prompts.txt")


def generic_prompts() -> list[str]:
    """Return the shipped prompts: questions, instructions, small talk and requests for advice, in turn."""
    return GENERIC_PROMPTS.read_text(encoding="utf-8").splitlines()


@torch.no_grad()
def kl_to_base(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    *,
    batch_tokens: int = BATCH_TOKENS,
) -> float:
    """Return the mean forward KL(base || adapter) in nats a token, of a PEFT model's active adapter.

    Raises:
        ModelError: the chat template refuses a turn.
    """
    rows = [_row(tokenizer, prompt, number) for number, prompt in enumerate(prompts)]
    was_training = model.training
    model.eval()
    nats, tokens = 0.0, 0
    try:
        for indices in by_length(rows, max_tokens=batch_tokens):
            batch = pad([rows[index] for index in indices], pad_id=int(tokenizer.pad_token_id or 0))
            batch = on_device(batch, model.device)
            adapted = _log_probabilities(model, batch)
            with model.disable_adapter():
                base = _log_probabilities(model, batch)
            nats += float((base.exp() * (base - adapted)).sum(-1).double().sum())
            tokens += len(base)
    finally:
        model.train(was_training)
    return nats / tokens if tokens else 0.0


def _row(tokenizer: PreTrainedTokenizerBase, prompt: str, number: int) -> EncodedRow:
    """Return a prompt as a row in which every token from the turn's text on predicts the next."""
    ids = encode_prompt(tokenizer, [{"role": "user", "content": prompt}])
    head = encode_prompt(tokenizer, [{"role": "user", "content": ""}])
    # What both begin with is the template's, the same two hundred times.
    shared = next((at for at, (a, b) in enumerate(zip(ids, head, strict=False)) if a != b), len(head))
    scored = [at >= shared for at in range(len(ids))]
    # The last position predicts the answer's first token; a row marks tokens, so one is added for it.
    return EncodedRow(ids=[*ids, ids[-1]], scored=[*scored, True], conversation=number, replies=0)


def _log_probabilities(model: Any, batch: dict[str, Any]) -> torch.Tensor:
    """Return the distributions at the positions that predict: (positions, words)."""
    logits: torch.Tensor = model(
        input_ids=batch["input_ids"],
        position_ids=batch["position_ids"],
        attention_mask=batch["attention_mask"],
        logits_to_keep=batch["predicts"],
        use_cache=False,
    ).logits
    # bf16's 8 bits would round the sum over 49,000 words.
    flat: torch.Tensor = logits.reshape(-1, logits.shape[-1]).float()
    return flat.log_softmax(-1)


__all__ = ["generic_prompts", "kl_to_base"]
