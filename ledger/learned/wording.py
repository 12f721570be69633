"""How a night is put into words: the same on the command line, in Discord, in reports and on a page.

Pure functions from an outcome's plain values to labels and figures; each reader lays them out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ledger.learned.outcome import MODELS, Counts, Ending, Score
from ledger.records import LOCKED

HEADLINES: Mapping[Ending, str] = {
    "promoted": "A better version serves now",
    "kept": "Tonight's version was not better; the old one stays",
    "skipped": "Nothing to learn tonight",
    "cancelled": "The night was cancelled",
    "paused": "The night was interrupted; the next start resumes it",
    "failed": "The night failed; what served before keeps serving",
}
UNLOCK = (
    "What is locked came through Discord's API. To learn from it, write Discord's permission to `[policy] "
    "discord_permission` in config.toml; members' own data packages are not locked."
)
SCORE_COLUMNS = ("NLL (nats/token)", "perplexity", "token accuracy", "general text NLL")


def counted(counts: Counts | Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what a night learned from: (label, number)."""
    return [(words(name), f"{value:,}") for name, value in counts.items() if isinstance(value, int)]


def left_out(counts: Counts | Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what a night left out: (reason, number), without those that were none."""
    found = counts.get("left_out")
    reasons = found if isinstance(found, dict) else {}
    return [(words(reason), f"{value:,}") for reason, value in reasons.items() if value]


def is_any_locked(counts: Counts | Mapping[str, Any]) -> bool:
    """Tell whether the policy lock kept something away, so that :data:`UNLOCK` helps."""
    found = counts.get("left_out")
    return isinstance(found, dict) and bool(found.get(LOCKED))


def score_rows(scores: Mapping[str, Score]) -> list[tuple[str, ...]]:
    """Return a row a model, in the order of every table: its name, then :data:`SCORE_COLUMNS`."""
    return [
        (
            name,
            f"{score['nll']:.4f}",
            f"{score['perplexity']:.2f}",
            f"{score['token_accuracy']:.1%}",
            f"{score['general_nll']:.4f}",
        )
        for name in MODELS
        if (score := scores.get(name))
    ]


def words(name: str) -> str:
    """Return a field's name as people read it."""
    return name.replace("_", " ")
