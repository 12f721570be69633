"""How far a night is, in a visitor's words."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from bot.demo import night_progress as progress
from bot.nights.trainer_process import WatchedNight
from ledger.learned.outcome import STAGES


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ({}, "The night begins"),
        ({"stage": "prepare", "step": 1, "steps": 1}, "Choosing what to learn from"),
        (
            {"stage": "fit", "step": 4, "steps": 164, "loss": 4.279, "eta_seconds": 400.0},
            "Learning, 4 of 164, loss 4.28, about 7 min left in this stage",
        ),
        ({"stage": "evaluate", "step": 2, "steps": 80}, "The exam, on talks that it never read, 2 of 80"),
    ],
)
def test_a_nights_progress_is_put_into_words(facts: dict[str, Any], told: str) -> None:
    night = WatchedNight(1, "test", datetime(2026, 1, 1, tzinfo=UTC), **facts)
    assert progress.progress_text(night) == told


def test_every_stage_of_a_night_has_words() -> None:
    assert set(progress.STAGES) == {"waiting", *STAGES}
