"""What a candidate has to reach: plain values that nobody can bend afterwards."""

from __future__ import annotations

import dataclasses

import pytest

from ledger.settings import Settings
from trainer.builders import verdict_limits_of
from trainer.judging.verdict_limits import VerdictLimits


def test_every_limit_has_to_be_stated() -> None:
    with pytest.raises(TypeError):
        VerdictLimits()  # type: ignore[call-arg]


def test_a_limit_cannot_be_bent_once_a_night_has_begun() -> None:
    limits = verdict_limits_of(Settings())
    with pytest.raises(dataclasses.FrozenInstanceError):
        limits.max_rate = 1.0  # type: ignore[misc]
