"""Runs that were cut off by a crash, a kill or a power failure: taken up again, or closed.

Reads and writes the ledger's runs; trains nothing. Called with the guild's lock held, so an unfinished
run cannot be anybody's who still lives.
"""

from __future__ import annotations

import logging

from ledger.clock import to_ms
from ledger.cut_off import discard_candidate
from ledger.errors import DatasetError
from ledger.records import Run
from ledger.settings import Settings
from ledger.store import Ledger
from trainer import dataset
from trainer.examples import PARTS, read_lines, read_manifest
from trainer.folders import Folders

log = logging.getLogger("trainer")

RESUME_WITHIN_HOURS = 12
"""An older run that was cut off is closed: a night from scratch sees the newer messages."""
_CUT_OFF = "The run was cut off before it ended; the night that followed it closed it."


async def resumable(ledger: Ledger, settings: Settings, guild_id: int) -> Run | None:
    """Return the guild's newest run that was cut off, if it can go on; close all others."""
    unfinished = await ledger.runs.unfinished(guild_id)
    for run in unfinished:
        folders = Folders.of(run.id, datasets_dir=settings.datasets_dir, runs_dir=settings.runs_dir)
        if run is unfinished[-1] and await _can_go_on(ledger, settings, run, folders):
            log.info("run %s goes on from stage %s", run.id, run.stage)
            await ledger.runs.take_up(run.id)
            return run
        folders.drop_checkpoints()
        await discard_candidate(ledger, guild_id, run.id)
        await ledger.runs.advance(run.id, "failed", error=_CUT_OFF)
    return None


async def _can_go_on(ledger: Ledger, settings: Settings, run: Run, folders: Folders) -> bool:
    """Tell whether the run's dataset is whole and everybody in it still agrees."""
    age = to_ms(ledger.clock.now()) - run.created_at
    if run.stage == "planned" or age > RESUME_WITHIN_HOURS * 3_600_000:
        return False
    try:
        read_manifest(folders.dataset)
        used = {
            number
            for part in PARTS
            for line in read_lines(folders.dataset, part)
            for number in line["message_ids"]
        }
    except DatasetError as error:
        log.info("run %s cannot go on: %s", run.id, error)
        return False
    material = await dataset.gather(
        ledger, run.guild_id, discord_permission=settings.policy.discord_permission
    )
    return used <= dataset.permitted(material)


__all__ = ["resumable"]
