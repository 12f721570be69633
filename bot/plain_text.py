"""Text of members or of the model, so that Discord shows it as it is; and texts cut to a limit."""

from __future__ import annotations

import re

import discord

_MARKUP = re.compile(r"(?P<link>https?://[^\s<>\[\]()|*]+)|[\\\\*_~`|<>\[\]#]")
_LISTS = re.compile(r"^(\s*)([-+])", re.MULTILINE)


def plain(text: str) -> str:
    """Return text of members or of the model so that Discord shows it as it is: no markup, no ping."""
    text = _MARKUP.sub(lambda found: found["link"] or f"\\{found[0]}", discord.utils.escape_mentions(text))
    return _LISTS.sub(r"\1\\\2", text)


def clipped(text: str, limit: int) -> str:
    """Return ``text``, cut to ``limit`` characters with an ellipsis."""
    return text if len(text) <= limit else text[: limit - 1] + "…"
