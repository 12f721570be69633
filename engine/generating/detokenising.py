"""Tokens to text, piece by piece: never half a character, never part of a stop sequence.

Imported, not run. Its border: one answer's text; what is sent where is the server's business.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_BROKEN = "\ufffd"
"""What decoders write for bytes that are no character, or not yet."""


class Detokeniser:
    """Turns one answer's tokens into text as they come.

    A token may hold only a part of a character, and a SentencePiece token shows its leading space only
    when something precedes it. So each new token is decoded together with those before it, back to the
    last point where the text was complete, and whatever that adds to the text is given out. tokenizers'
    own ``DecodeStream`` raises on bytes that nothing completes (see docs/decisions.md).
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        self._ids: list[int] = []
        self._from = 0  # first token that is decoded for context
        self._given = 0  # tokens before this one have been given out

    def push(self, token: int) -> str:
        """Take one token; return the text that became complete with it, often empty or one word."""
        self._ids.append(token)
        return self._new_text(final=False)

    def finish(self) -> str:
        """Return the rest of the text, without a character that was cut in half."""
        return self._new_text(final=True)

    def _new_text(self, *, final: bool) -> str:
        known = self._decode(self._ids[self._from : self._given])
        text = self._decode(self._ids[self._from :])
        if text.endswith(_BROKEN):
            if not final:
                return ""
            text = text.rstrip(_BROKEN)
        if len(text) <= len(known):
            return ""
        self._from, self._given = self._given, len(self._ids)
        return text[len(known) :]

    def _decode(self, ids: Sequence[int]) -> str:
        decoded = self._tokenizer.decode(
            list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return str(decoded)


class StopWatch:
    """Looks for stop sequences in a stream of text, and holds back what may become one."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = [stop for stop in stops if stop]
        self._held = ""

    def push(self, text: str) -> tuple[str, bool]:
        """Take text; return what can be given out, and whether a stop sequence ended the answer."""
        self._held += text
        found = [start for stop in self._stops if (start := self._held.find(stop)) >= 0]
        if found:
            out, self._held = self._held[: min(found)], ""
            return out, True
        keep = max((self._overlap(stop) for stop in self._stops), default=0)
        cut = len(self._held) - keep
        out, self._held = self._held[:cut], self._held[cut:]
        return out, False

    def finish(self) -> str:
        """Return what was held back and turned out not to be a stop sequence."""
        out, self._held = self._held, ""
        return out

    def _overlap(self, stop: str) -> int:
        """Return the length of the longest end of the held text with which ``stop`` begins."""
        longest = min(len(stop) - 1, len(self._held))
        return next((n for n in range(longest, 0, -1) if self._held.endswith(stop[:n])), 0)
