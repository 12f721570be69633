"""Replies that a model writes for given contexts, and what can be counted in them.

Takes a loaded model and chat turns; keeps nothing on disk, because contexts are members' words.
Counts are those of Li et al. 2016 ("A Diversity-Promoting Objective Function"): distinct-n is the share
of different word n-grams among all; repetition is the share of a reply's words that repeat a word triple.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from engine.model.encoding import encode_prompt, is_begun, stop_marks

_WORD = re.compile(r"\w+|[^\w\s]")


@dataclass(frozen=True, slots=True)
class SampledReply:
    """What a model wrote, and whether it ended it by itself instead of at the limit."""

    text: str = field(repr=False)
    ended: bool


def sample_replies(*arguments: Any, **options: Any) -> list[str]:
    """Return the texts of :func:`write_replies`, which takes the same arguments."""
    return [reply.text for reply in write_replies(*arguments, **options)]


@torch.no_grad()
def write_replies(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    contexts: Sequence[Sequence[Any]],
    *,
    max_new_tokens: int,
    max_prompt_tokens: int,
    temperature: float = 0.7,
    top_p: float = 0.95,
    seed: int = 0,
    batch: int = 16,
    on_batch: Callable[[int, int], None] | None = None,
    beginnings: Sequence[str] = (),
) -> list[SampledReply]:
    """Return one reply a context (its turns up to the reply); the same seed gives the same replies.

    A context that ends in an assistant's turn has its reply begun by it, for instance with a name. With
    ``beginnings``, one a context, each reply continues that as well. No beginning is returned. Temperature 0
    always takes the likeliest token.
    """
    begun = beginnings or [""] * len(contexts)
    stops, marks = stop_marks(tokenizer)
    replies: list[SampledReply] = []
    for start in range(0, len(contexts), batch):
        prompts = [
            # The end counts: it holds what is answered, or the beginning that has to be continued.
            _prompt(tokenizer, turns, beginning)[-max_prompt_tokens:]
            for turns, beginning in zip(
                contexts[start : start + batch], begun[start : start + batch], strict=True
            )
        ]
        ids, mask = _left_padded(prompts, int(tokenizer.pad_token_id or 0))
        # Forked and seeded for each batch: sampling must not move the random numbers of whatever follows.
        with torch.random.fork_rng(devices=_devices(model)):
            torch.manual_seed(seed + start)
            written = cast(Any, model).generate(
                input_ids=ids.to(model.device),
                attention_mask=mask.to(model.device),
                max_new_tokens=max_new_tokens,
                **_drawing(temperature, top_p),
                eos_token_id=sorted(stops) or None,  # chat models end a turn with another token than a text
                pad_token_id=tokenizer.pad_token_id,
            )
        new = written[:, ids.shape[1] :]
        replies += [
            # Some templates end a turn with a text of several tokens, at which generation does not stop.
            _reply(text, marks, stopped=bool(stops & set(ids)))
            for text, ids in zip(
                tokenizer.batch_decode(new, skip_special_tokens=True), new.tolist(), strict=True
            )
        ]
        if on_batch is not None:
            on_batch(len(replies), len(contexts))
    return replies


def _prompt(tokenizer: PreTrainedTokenizerBase, turns: Sequence[Any], beginning: str) -> list[int]:
    begun = is_begun(turns)
    if beginning:
        # Encoded as one text: a space belongs to the word behind it.
        said = f"{turns[-1]['content']} {beginning}" if begun else beginning
        turns = [*(turns[:-1] if begun else turns), {"role": "assistant", "content": said}]
    return encode_prompt(tokenizer, turns, begun=begun or bool(beginning))


def _drawing(temperature: float, top_p: float) -> dict[str, Any]:
    if temperature == 0:
        # None silences the warning that the model's own sampling settings are not used.
        return {"do_sample": False, "temperature": None, "top_p": None}
    return {"do_sample": True, "temperature": temperature, "top_p": top_p}


def _left_padded(prompts: Sequence[Sequence[int]], pad_id: int) -> tuple[torch.Tensor, torch.Tensor]:
    width = max(map(len, prompts))
    # On the left, so that every reply starts at the same position and generation can go in step.
    ids = torch.tensor([[pad_id] * (width - len(prompt)) + list(prompt) for prompt in prompts])
    mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    return ids, mask


def _devices(model: PreTrainedModel) -> list[torch.device]:
    # This one alone: without a list, torch saves the state of every GPU there is.
    return [model.device] if model.device.type == "cuda" else []


def _reply(text: str, marks: Sequence[str], *, stopped: bool) -> SampledReply:
    ended = stopped or any(mark in text for mark in marks)
    for mark in marks:
        text = text.split(mark, 1)[0]
    return SampledReply(text.strip(), ended)


def counted(replies: Sequence[str]) -> dict[str, float]:
    """Return mean length in words, share of repetition, distinct-1 and distinct-2 of ``replies``."""
    words = [_WORD.findall(reply.casefold()) for reply in replies]
    return {
        "replies": len(replies),
        "words": round(sum(map(len, words)) / max(len(words), 1), 2),
        "repetition": round(sum(map(_repetition, words)) / max(len(words), 1), 4),
        "distinct_1": round(_distinct(words, 1), 4),
        "distinct_2": round(_distinct(words, 2), 4),
    }


def _ngrams(words: Sequence[str], n: int) -> list[tuple[str, ...]]:
    return [tuple(words[start : start + n]) for start in range(len(words) - n + 1)]


def _repetition(words: Sequence[str]) -> float:
    triples = _ngrams(words, 3)
    return 1 - len(set(triples)) / len(triples) if triples else 0.0


def _distinct(replies: Sequence[Sequence[str]], n: int) -> float:
    grams = [gram for words in replies for gram in _ngrams(words, n)]
    return len(set(grams)) / len(grams) if grams else 0.0


__all__ = ["SampledReply", "counted", "sample_replies", "write_replies"]
