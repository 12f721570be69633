"""How far a night is, in a visitor's words; the page shows it beside the clock."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from bot.nights.trainer_process import WatchedNight
from ledger.learned.outcome import NightStage

STAGES: Mapping[NightStage | Literal["waiting"], str] = {
    "waiting": "The night begins",
    "prepare": "Choosing what to learn from",
    "score": "What it would have guessed of yesterday",
    "fit": "Learning",
    "evaluate": "The exam, on talks that it never read",
    "verdict": "Judging whether it is better",
    "promote": "Changing itself",
}
"""What a night's stages are to a visitor."""


def progress_text(night: WatchedNight) -> str:
    """Return how far a night is, in a visitor's words."""
    parts = [STAGES[night.stage]]
    if night.steps > 1:
        parts.append(f"{night.step} of {night.steps}")
    if night.loss is not None:
        parts.append(f"loss {night.loss:.2f}")
    if night.eta_seconds is not None and night.eta_seconds >= 1:
        parts.append(f"about {max(1, round(night.eta_seconds / 60))} min left in this stage")
    return ", ".join(parts)


__all__ = ["progress_text"]
