"""Placeholders, and how what is already found is hidden from the rules that come later."""

from __future__ import annotations

import re
from collections.abc import Iterable

KINDS = (
    "address",
    "card",
    "discord-token",
    "email",
    "iban",
    "invite",
    "ip",
    "password",
    "phone",
    "token",
    "webhook",
)

# U+FFFC stands for an object in text; no rule matches it, and each hidden character keeps its position.
HIDDEN = "\ufffc"
_PLACEHOLDER = re.compile(r"\[(?:" + "|".join(KINDS) + r")\]")
_URL = re.compile(
    r"\b(?:https?|ftp|wss?|ssh|git)://[^\s<>\"'`\ufffc]+|\bwww\.[^\s<>\"'`\ufffc]+", re.IGNORECASE
)
_DISCORD_MARKUP = re.compile(r"<(?:@[!&]?|#|a?:\w{2,32}:|t:)-?\d{1,20}(?::\w)?>")


def placeholder(kind: str) -> str:
    """Return what stands in a scrubbed text for a value of ``kind``, e.g. ``[email]``."""
    return f"[{kind}]"


def hide_placeholders(text: str) -> str:
    """Return ``text``, equally long, with placeholders and Discord's own markup hidden."""
    if "[" in text:
        text = _PLACEHOLDER.sub(_hidden, text)
    if "<" in text:
        text = _DISCORD_MARKUP.sub(_hidden, text)
    return text


def without_urls(view: str) -> str:
    """Return ``view``, equally long, with web addresses hidden: their numbers are no phone numbers."""
    return _URL.sub(_hidden, view) if "://" in view or "www." in view else view


def separate(view: str, spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the spans in order, without those that overlap hidden text or an earlier or longer span."""
    kept: list[tuple[int, int]] = []
    for start, end in sorted(spans, key=lambda span: (span[0], -span[1])):
        if start < end and (not kept or kept[-1][1] <= start) and HIDDEN not in view[start:end]:
            kept.append((start, end))
    return kept


def mask(view: str, spans: Iterable[tuple[int, int]]) -> str:
    """Return ``view``, equally long, with ``spans`` (in order, apart from each other) hidden."""
    parts, done = [], 0
    for start, end in spans:
        parts += [view[done:start], HIDDEN * (end - start)]
        done = end
    return "".join(parts) + view[done:]


def _hidden(match: re.Match[str]) -> str:
    return HIDDEN * len(match[0])
