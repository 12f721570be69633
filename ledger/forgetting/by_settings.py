"""From settings to what forgets: the one place that reads ``[forgetting]`` and ``[retention]``."""

from __future__ import annotations

from ledger.forgetting.deletion_path import Forgetting
from ledger.forgetting.retention import Retention
from ledger.settings import Settings
from ledger.store import Ledger


def forgetting_of(settings: Settings, ledger: Ledger) -> Forgetting:
    """Return the deletion path of a ledger."""
    return Forgetting(
        ledger,
        datasets_dir=settings.datasets_dir,
        runs_dir=settings.runs_dir,
        days=settings.forgetting.days,
        strict=settings.forgetting.strict,
    )


def retention_of(settings: Settings, ledger: Ledger, forgetting: Forgetting) -> Retention:
    """Return what looks at dates once a day."""
    return Retention(
        ledger,
        forgetting,
        datasets_dir=settings.datasets_dir,
        runs_dir=settings.runs_dir,
        days=settings.retention.days,
        adapters_kept=settings.retention.adapters_kept,
        adapter_days=settings.retention.adapter_days,
        anchor_weeks=settings.retention.anchor_weeks,
    )
