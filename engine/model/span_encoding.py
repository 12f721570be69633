"""A whole conversation to token ids, with any of its words marked as learned: each message once.

Beside :mod:`engine.model.encoding`, whose rules it shares. There a reply is scored as the bot would write
it; here a conversation is read once, and every line in it may be a target, whoever's turn it stands in.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from engine.model.encoding import (
    Turns,
    broken_up,
    end_mark,
    render,
    target_range,
    tokenise_with_offsets,
)
from ledger.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_STAND_IN = "\ue000"
"""A character of the private use area, which no template and nobody's message is made of."""


class TurnSpan(NamedTuple):
    """Characters ``start`` to ``end`` of the content of turn ``turn``."""

    turn: int
    start: int
    end: int


def encode_spans(
    tokenizer: PreTrainedTokenizerBase, turns: Turns, spans: Sequence[TurnSpan]
) -> tuple[list[int], list[bool], list[int]]:
    """Return the turns as ids, for each token whether it belongs to a span, and where the spans begin.

    Where, in tokens, is told of each span that has a token, in the order of the turns.

    Words that reach the end of their turn include its end mark, so that the model learns to stop; a user's
    only where it is the assistant's mark as well.

    Raises:
        ModelError: the template rewrites what it is given, so that words cannot be found in it.
    """
    clean = [
        {"role": str(turn["role"]), "content": broken_up(tokenizer, str(turn["content"]))} for turn in turns
    ]
    text = render(tokenizer, clean, prompt=False)
    ids, offsets = tokenise_with_offsets(tokenizer, text)
    ranges = sorted(_range(tokenizer, turns, clean, span, text) for span in spans)
    scored, begins = [False] * len(ids), dict[int, int]()
    at = 0
    for index, (left, right) in enumerate(offsets):
        while at < len(ranges) and ranges[at][1] <= left:
            at += 1
        # A token that reaches beyond the words, such as one that joins a full stop and a line break, is
        # context: it is not theirs alone.
        if at < len(ranges) and ranges[at][0] <= left < right <= ranges[at][1]:
            scored[index] = True
            begins.setdefault(at, index)
    return ids, scored, list(begins.values())


def _range(
    tokenizer: PreTrainedTokenizerBase, turns: Turns, clean: list[dict[str, str]], span: TurnSpan, text: str
) -> tuple[int, int]:
    """Return the span's characters in the rendered ``text``."""
    written, content = str(turns[span.turn]["content"]), clean[span.turn]["content"]
    # Breaking up a forged control token makes the text before a span longer, too.
    start = len(broken_up(tokenizer, written[: span.start], strip=False))
    end = min(len(broken_up(tokenizer, written[: span.end], strip=False)), len(content))
    first = _content_start(tokenizer, clean, span.turn, text)
    if end < len(content):
        return first + start, first + end
    if clean[span.turn]["role"] != "assistant":
        mark = end_mark(tokenizer)
        marked = bool(mark) and text.startswith(mark, first + end)
        return first + start, first + end + (len(mark) if marked else 0)
    prompt, marked_end = target_range(tokenizer, clean, span.turn, text)
    return len(prompt) if start == 0 else first + start, marked_end


def _content_start(
    tokenizer: PreTrainedTokenizerBase, clean: list[dict[str, str]], turn: int, text: str
) -> int:
    held = [*clean[:turn], {**clean[turn], "content": _STAND_IN}]
    start = render(tokenizer, held, prompt=False).find(_STAND_IN)
    content = clean[turn]["content"]
    if start < 0 or text[start : start + len(content)] != content:
        raise ModelError(
            "The chat template rewrites what is said: write a plain one, e.g. ChatML, to "
            "[model] chat_template."
        )
    return start


__all__ = ["TurnSpan", "encode_spans"]
