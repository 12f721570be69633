"""Which version tonight's fit starts from, so that nights add up and forgetting still holds.

Reads the ledger and manifests; trains nothing. A version that learned something deleted since, or grew
from one that did, is passed over: the night then starts from the newest that never saw it, else from the
base, and learns the days after it again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from engine.model.adapter_files import verify
from engine.model.loading import base_fingerprint
from ledger.errors import AdapterError
from ledger.records import Adapter
from ledger.store import Ledger
from trainer.fitting.finetune import begun_from
from trainer.nights.night_plan import NightPlan
from trainer.preparing.dataset import Origin

log = logging.getLogger("trainer")


@dataclass(frozen=True, slots=True)
class StartingPoint:
    """A version and its files; both None for the bare base."""

    start: Origin
    path: Path | None


async def starting_point(
    ledger: Ledger, plan: NightPlan, guild_id: int, *, without: Collection[int] = ()
) -> StartingPoint:
    """Return what tonight's fit starts from; it has learned from nobody of ``without``."""
    if plan.recipe.start == "champion":
        for adapter in await ledger.promotions.clean(guild_id):
            if without and not set(without).isdisjoint(
                (await ledger.lineage.authors_of(adapter.version)).values()
            ):
                continue
            if await _can_start(plan, adapter):
                return await _known_start(ledger, plan, guild_id, adapter)
    return await _known_start(ledger, plan, guild_id, None)


async def starting_point_again(
    ledger: Ledger, plan: NightPlan, guild_id: int, version: str | None
) -> StartingPoint:
    """Return the starting point of a night that is resumed, as its dataset's manifest names it."""
    adapter = await ledger.adapters.require(guild_id, version) if version else None
    return await _known_start(ledger, plan, guild_id, adapter)


async def would_serve(ledger: Ledger, plan: NightPlan, guild_id: int) -> Adapter | None:
    """Return what a candidate is held against: what serves, or would if that has to go; None is the base.

    A champion that learned something deleted goes within its days. Held against it, a night that has to begin
    at the base would lose every time, until nothing but the base is left to serve.
    """
    champion = await ledger.adapters.champion(guild_id)
    if champion is None or await ledger.adapters.is_clean(champion.version):
        return champion
    fingerprint = await asyncio.to_thread(base_fingerprint, plan.base.name, plan.base.revision)
    for adapter in await ledger.promotions.clean(guild_id):
        try:
            await asyncio.to_thread(partial(verify, Path(adapter.path), base_fingerprint=fingerprint))
        except AdapterError as error:
            log.warning("%s could not serve in place of %s: %s", adapter.version, champion.version, error)
            continue
        return adapter
    return None


async def _can_start(plan: NightPlan, adapter: Adapter) -> bool:
    try:
        await asyncio.to_thread(begun_from, Path(adapter.path), plan.base, plan.recipe)
    except AdapterError as error:
        log.warning("tonight cannot start from %s: %s", adapter.version, error)
        return False
    return True


async def _known_start(
    ledger: Ledger, plan: NightPlan, guild_id: int, adapter: Adapter | None
) -> StartingPoint:
    champion = await ledger.adapters.champion(guild_id)
    # Whatever the candidate will be held against must not have learned the exam either.
    yardstick = await would_serve(ledger, plan, guild_id)
    in_use = tuple(dict.fromkeys(each.version for each in (champion, yardstick, adapter) if each))
    if adapter is None:
        return StartingPoint(Origin(in_use=in_use), None)
    night = await ledger.runs.require(adapter.run_id)
    return StartingPoint(Origin(adapter.version, night.created_at, in_use), Path(adapter.path))


__all__ = ["StartingPoint", "starting_point", "starting_point_again", "would_serve"]
