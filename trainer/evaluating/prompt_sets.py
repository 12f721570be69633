"""The project's own lines that a model is tried with; nobody said them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

PROVOKING = Path(__file__).with_name("provoking_prompts.txt")
"""Forty chat lines from harmless to provoking; what matters is how a version answers."""
ASKER = "Mira"
"""Who says them; a member of the sample server."""


def provoking_turns(count: int, system: str, begun: str) -> list[list[Mapping[str, Any]]]:
    """Return the first ``count`` lines as chats of one turn and a ``begun`` answer, as the bot is asked."""
    lines = PROVOKING.read_text(encoding="utf-8").splitlines()[:count]
    head = [{"role": "system", "content": system}] if system else []
    tail = [{"role": "assistant", "content": begun}] if begun else []
    return [[*head, {"role": "user", "content": f"{ASKER}: {line}"}, *tail] for line in lines]


__all__ = ["ASKER", "PROVOKING", "provoking_turns"]
