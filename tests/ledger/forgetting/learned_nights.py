"""Nights that learned from given messages, and what became of their versions."""

from __future__ import annotations

from pathlib import Path

from ledger.records import Adapter
from ledger.store import Ledger


async def learned(house: Ledger, tmp_path: Path, *seen: tuple[int, int], promote: bool = True) -> Adapter:
    """One night that saw (message id, author id) pairs, with files where a night leaves them."""
    run = await house.runs.create(1, "night")
    await house.runs.learned_from(run.id, seen)
    adapter = await house.adapters.reserve(1, run.id, adapters_dir=str(tmp_path / "a"), base_model="tiny")
    for folder in (Path(adapter.path), tmp_path / "datasets" / run.id, tmp_path / "runs" / run.id):
        folder.mkdir(parents=True)
        (folder / "manifest.json").write_text("{}", encoding="utf-8")
    if promote:
        await house.promotions.promote(1, adapter.version, by="night")
    return await house.adapters.require(1, adapter.version)


async def state(house: Ledger, adapter: Adapter) -> str:
    return (await house.adapters.require(1, adapter.version)).state
