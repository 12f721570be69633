"""Asides: what the bot says about itself ("One at a time!"), as opposed to conversation.

An aside is a line in Discord's small print. That is how the bot recognises its own asides in a channel's
history, even after a restart or in direct messages, where nothing is recorded. They never become context,
or the model would learn to say them itself.
"""

from __future__ import annotations

MARK = "-# "
"""Discord's markup for small print; it needs no permission, unlike an embed."""

_SAID_IN_PLAIN_WORDS = (
    "I'm talking to a lot of people right now.",
    "My head is somewhere else just now:",
    "Something broke on my side,",
    "One at a time!",
    "…I have no words.",
)
"""How asides began before they were marked; channel histories still hold such lines."""


def aside(text: str) -> str:
    """Return ``text`` marked as an aside, on every line."""
    return "\n".join(MARK + line for line in text.splitlines() if line.strip())


def without_asides(content: str) -> str:
    """Return one of the bot's messages without its asides; empty if it was nothing but asides."""
    if content.startswith(_SAID_IN_PLAIN_WORDS):
        return ""
    return "\n".join(line for line in content.split("\n") if not line.startswith(MARK)).strip()
