"""Runs whose process died: close them with a reason, and give up what they had begun.

Works on rows alone. Callers know that nobody works on the run any more.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from ledger.store import Ledger


async def close_cut_off(
    ledger: Ledger, guild_id: int, stage: Literal["failed", "cancelled"], reason: str
) -> list[str]:
    """Close the guild's unfinished runs; return their ids, oldest first."""
    unfinished = await ledger.runs.unfinished(guild_id)
    for run in unfinished:
        await discard_candidate(ledger, guild_id, run.id)
        await ledger.runs.advance(run.id, stage, error=reason)
    return [run.id for run in unfinished]


async def discard_candidate(ledger: Ledger, guild_id: int, run_id: str) -> None:
    """Note that the run's candidate, if it has one, will not serve; without files it is gone."""
    for adapter in await ledger.adapters.of_guild(guild_id):
        if adapter.run_id == run_id and adapter.state == "candidate":
            if Path(adapter.path).is_dir():
                await ledger.adapters.retire(adapter.version)
            else:
                await ledger.deletions.version_deleted(adapter)
