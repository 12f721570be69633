"""Chat messages to token ids: the one encoding of prompts and of training examples.

Imported, not run. Its border: tokens in and out; it knows neither models nor files.

Decided once, for prompts and examples alike:

- Only the chat template writes tokens. TinyLlama's Zephyr template writes no BOS, so there is none, as
  with vLLM and ``apply_chat_template(tokenize=True)``.
- Text is tokenised whole, never turn by turn: SentencePiece would put a space in front of each piece.
- White space is stripped from both ends of a turn. A reply that began with a newline would merge with the
  newline of the role marker, and the prompt would no longer be a prefix of the example.
- No turn can forge control tokens or role markers: ``<|im_end|>``, ``</s>`` and, for templates with
  plain-text markers such as Zephyr's, ``<|assistant|>`` get a space inside.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

from jinja2 import TemplateError

from ledger.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Turns = Sequence[Mapping[str, Any]]
_PLAIN_CHATML = "write a plain one, e.g. ChatML, to [model] chat_template"


@dataclass(frozen=True, slots=True)
class Encoded:
    """One training example.

    ``ids`` and ``scored`` have one entry a token; ``scored`` marks the tokens of the target replies and
    of their end-of-turn marks. ``targets`` are the indices of the turns that remain as targets, and
    ``spans`` their token ranges [start, end).
    """

    ids: list[int]
    scored: list[bool]
    targets: list[int]
    spans: list[tuple[int, int]]


def encode_prompt(tokenizer: PreTrainedTokenizerBase, turns: Turns, *, begun: bool = False) -> list[int]:
    """Return the ids of ``turns``, followed by the mark that makes the model answer.

    With ``begun``, the last turn is the answer's beginning instead, without the mark that would end it.

    Raises:
        ModelError: the chat template refuses these turns.
    """
    clean = _clean(tokenizer, turns)
    return _tokenise(
        tokenizer, _render_begun(tokenizer, clean) if begun else render(tokenizer, clean, prompt=True)
    )


def is_begun(turns: Turns) -> bool:
    """Tell whether the last of these turns is a begun answer."""
    return bool(turns) and turns[-1]["role"] == "assistant"


def encode_example(
    tokenizer: PreTrainedTokenizerBase,
    turns: Turns,
    targets: Sequence[int],
    max_tokens: int,
    *,
    fronts: Mapping[int, int] | None = None,
) -> Encoded:
    """Return ``turns`` up to the last target as ids, with the target replies marked.

    ``fronts`` are characters at a target's beginning that are given and not scored, such as a name.

    If they are too long, the oldest turns go first, except for a leading system turn; then the beginning
    of the one turn left before the last target; only a target that is too long by itself loses its end.
    ``encode_prompt`` of the turns left before a target, and of its front, is always a prefix of the ids.

    Raises:
        ModelError: the template is not consistent: the beginning of a conversation reads differently
            once more follows, so that prompts and examples could not agree.
        ValueError: there is no target.
    """
    if not targets:
        raise ValueError("an example needs at least one target turn")
    last = max(targets)
    kept = list(enumerate(_clean(tokenizer, turns[: last + 1])))
    wanted = {
        target: len(
            broken_up(tokenizer, str(turns[target]["content"])[: (fronts or {}).get(target, 0)], strip=False)
        )
        for target in targets
    }
    while True:
        encoded = _encode(tokenizer, kept, wanted)
        if len(encoded.ids) <= max_tokens:
            return encoded
        shorter = _without_oldest(kept)
        if shorter is None:
            break
        kept = shorter
    return _cut_end(_with_cut_context(tokenizer, kept, wanted, max_tokens), max_tokens)


def end_mark(tokenizer: PreTrainedTokenizerBase) -> str:
    """Return the text by which the template ends an assistant's turn."""
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    before = render(tokenizer, turns[:1], prompt=True)
    after = render(tokenizer, turns, prompt=False)[len(before) :].removeprefix("b")
    return after.strip() or after


def stop_marks(tokenizer: PreTrainedTokenizerBase) -> tuple[set[int], list[str]]:
    """Return what ends an answer: token ids, and texts where the template's mark is not a single token."""
    ids = {tokenizer.eos_token_id} if isinstance(tokenizer.eos_token_id, int) else set()
    mark = end_mark(tokenizer)
    tokens = _tokenise(tokenizer, mark) if mark else []
    if len(tokens) == 1 and tokens[0] in tokenizer.all_special_ids:
        return ids | set(tokens), []
    return ids, [mark] if mark else []


def _encode(
    tokenizer: PreTrainedTokenizerBase, kept: list[tuple[int, dict[str, str]]], wanted: Mapping[int, int]
) -> Encoded:
    turns = [turn for _, turn in kept]
    text = render(tokenizer, turns, prompt=False)
    ids, offsets = tokenise_with_offsets(tokenizer, text)
    targets: list[int] = []
    spans: list[tuple[int, int]] = []
    for position, (index, _) in enumerate(kept):
        if index in wanted:
            prompt, end = target_range(tokenizer, turns, position, text)
            prompt += turns[position]["content"][: wanted[index]]
            span = _token_range(offsets, len(prompt), end)
            if not targets and ids[: span[0]] != _tokenise(tokenizer, prompt):
                raise ModelError(
                    f"The chat template merges replies with what precedes them: {_PLAIN_CHATML}."
                )
            targets.append(index)
            spans.append(span)
    scored = [False] * len(ids)
    for start, stop in spans:
        scored[start:stop] = [True] * (stop - start)
    return Encoded(ids, scored, targets, spans)


def target_range(
    tokenizer: PreTrainedTokenizerBase, turns: list[dict[str, str]], position: int, text: str
) -> tuple[str, int]:
    """Return the prompt before the target at ``position``, and where in ``text`` its end mark ends."""
    prompt = render(tokenizer, turns[:position], prompt=True)
    upto = render(tokenizer, turns[: position + 1], prompt=False)
    if not (text.startswith(prompt) and text.startswith(upto) and len(prompt) <= len(upto)):
        raise ModelError(f"The chat template rewrites earlier turns when later ones follow: {_PLAIN_CHATML}.")
    reply = upto[len(prompt) :]
    # The model need not write the newline after an end mark. In a template without a mark, that newline
    # is what ends a reply, so there it must.
    marked = reply.rstrip() != turns[position]["content"]
    return prompt, len(prompt) + len(reply.rstrip() if marked else reply)


def _token_range(offsets: list[tuple[int, int]], start: int, end: int) -> tuple[int, int]:
    inside = [index for index, (left, right) in enumerate(offsets) if left >= start and right <= end]
    across = any(left < start < right for left, right in offsets)
    if across or not inside:
        raise ModelError(f"The chat template merges replies with what precedes them: {_PLAIN_CHATML}.")
    return inside[0], inside[-1] + 1


def _without_oldest(kept: list[tuple[int, dict[str, str]]]) -> list[tuple[int, dict[str, str]]] | None:
    """Drop the oldest exchange, so that roles still alternate from a user turn; None if only one is left."""
    first = 1 if kept[0][1]["role"] == "system" else 0
    for position in range(first + 1, len(kept) - 1):
        if kept[position][1]["role"] == "user":
            return kept[:first] + kept[position:]
    return None


def _with_cut_context(
    tokenizer: PreTrainedTokenizerBase,
    kept: list[tuple[int, dict[str, str]]],
    wanted: Mapping[int, int],
    max_tokens: int,
) -> Encoded:
    """Cut the beginning of the turn before the last target until it fits or is empty."""
    if len(kept) < 2 or kept[-2][1]["role"] == "system":
        return _encode(tokenizer, kept, wanted)
    index, turn = kept[-2]
    words = re.split(r"(?<=\s)", turn["content"])
    # The smallest number of first words whose removal makes it fit, by bisection: each try tokenises all.
    low, high = 1, len(words)
    while low < high:
        middle = (low + high) // 2
        if len(_encode(tokenizer, _replaced(kept, index, words[middle:]), wanted).ids) <= max_tokens:
            high = middle
        else:
            low = middle + 1
    return _encode(tokenizer, _replaced(kept, index, words[low:]), wanted)


def _replaced(
    kept: list[tuple[int, dict[str, str]]], index: int, words: list[str]
) -> list[tuple[int, dict[str, str]]]:
    content = "".join(words).strip()
    return [(i, {**turn, "content": content} if i == index else turn) for i, turn in kept]


def _cut_end(encoded: Encoded, max_tokens: int) -> Encoded:
    pairs = zip(encoded.targets, encoded.spans, strict=True)
    left = [(target, (a, min(b, max_tokens))) for target, (a, b) in pairs if a < max_tokens]
    return Encoded(
        encoded.ids[:max_tokens],
        encoded.scored[:max_tokens],
        [t for t, _ in left],
        [span for _, span in left],
    )


def render(tokenizer: PreTrainedTokenizerBase, turns: Sequence[dict[str, str]], *, prompt: bool) -> str:
    try:
        text = tokenizer.apply_chat_template(list(turns), tokenize=False, add_generation_prompt=prompt)
    except TemplateError as error:
        raise ModelError(f"The model's chat template refuses these turns: {error.message}.") from error
    return cast(str, text)


def _render_begun(tokenizer: PreTrainedTokenizerBase, turns: Sequence[dict[str, str]]) -> str:
    try:
        text = tokenizer.apply_chat_template(list(turns), tokenize=False, continue_final_message=True)
    except (TemplateError, ValueError) as error:
        # Not the error's text: transformers quotes the turns in it.
        raise ModelError("The model's chat template cannot continue a begun answer.") from error
    return cast(str, text)


def _tokenise(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def tokenise_with_offsets(
    tokenizer: PreTrainedTokenizerBase, text: str
) -> tuple[list[int], list[tuple[int, int]]]:
    if not tokenizer.is_fast:
        raise ModelError(f"{type(tokenizer).__name__} gives no offsets: use a base with a tokenizer.json.")
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    return list(encoded["input_ids"]), list(encoded["offset_mapping"])


def _clean(tokenizer: PreTrainedTokenizerBase, turns: Turns) -> list[dict[str, str]]:
    """Return role and content alone, stripped, with control tokens broken up."""
    return [
        {"role": str(turn["role"]), "content": broken_up(tokenizer, str(turn["content"]))} for turn in turns
    ]


def broken_up(tokenizer: PreTrainedTokenizerBase, text: str, *, strip: bool = True) -> str:
    """Return ``text`` with a space inside each control token of this tokenizer that it spells."""
    forged = _markers(tokenizer, str(tokenizer.chat_template))
    whole = forged.sub(lambda hit: f"{hit[0][0]} {hit[0][1:]}", text)
    return whole.strip() if strip else whole


@lru_cache(maxsize=8)
def _markers(tokenizer: PreTrainedTokenizerBase, template: str) -> re.Pattern[str]:
    """Return a pattern for every control token and every plain-text role marker of the template."""
    added = {str(token) for token in tokenizer.added_tokens_decoder.values() if token.special}
    found = added | set(tokenizer.all_special_tokens) | set(re.findall(r"<\|\w+\|>", template))
    # The longest first: a marker that begins like another would otherwise never match whole.
    long_first = sorted((marker for marker in found if len(marker) > 1), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, long_first)) or r"(?!)")
