"""Asides: what the bot says about itself ("one at a time!"), told apart from conversation.

An aside is a line in Discord's small print. By that the bot knows its own asides again in a channel's
history, after a restart and in direct messages too, where nothing is recorded: they are never context,
or the model would imitate them.
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
"""How asides began before they were marked; they still stand in histories."""


def aside(text: str) -> str:
    """Return ``text`` marked as an aside, on every line."""
    return "\n".join(MARK + line for line in text.splitlines() if line.strip())


def without_asides(content: str) -> str:
    """Return a message of the bot's without its asides; empty if it was nothing else."""
    if content.startswith(_SAID_IN_PLAIN_WORDS):
        return ""
    return "\n".join(line for line in content.split("\n") if not line.startswith(MARK)).strip()
