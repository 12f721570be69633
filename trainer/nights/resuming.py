"""Runs that a crash, a kill or a power failure cut off: resumed, or closed.

Reads and writes the ledger's runs; trains nothing. Called with the guild's lock held, so that no
other process can still be working on an unfinished run.
"""

from __future__ import annotations

import json
import logging
from typing import Literal

from engine.model.adapter_files import read_manifest as read_adapter_manifest
from engine.model.adapter_files import verify
from ledger.clock import to_ms
from ledger.errors import AdapterError, DatasetError
from ledger.learned.cut_off import discard_candidate
from ledger.learned.outcome import Outcome
from ledger.records import Adapter, Run
from ledger.store import Ledger
from ledger.talk.prompts import FORM
from trainer.judging.verdict import Decision
from trainer.nights.night_folders import NightFolders
from trainer.nights.night_plan import NightPlan
from trainer.preparing.dataset_files import MORE_PARTS, PARTS, read_lines, read_manifest
from trainer.preparing.gathering import permitted

log = logging.getLogger("trainer")

RESUME_WITHIN_HOURS = 12
"""An older run that was cut off is closed: a night from scratch sees the newer messages."""
_CUT_OFF = "The run was cut off before it ended; the night that followed it closed it."


async def resumable(ledger: Ledger, plan: NightPlan, guild_id: int) -> Run | None:
    """Return the guild's newest run that was cut off, if it can be resumed; close all others."""
    unfinished = await ledger.runs.unfinished(guild_id)
    for run in unfinished:
        folders = NightFolders.of(run.id, datasets_dir=plan.datasets_dir, runs_dir=plan.runs_dir)
        # Only the newest: with its dataset it is the closest to what the guild says today.
        if run is unfinished[-1] and await _can_resume(ledger, plan, run, folders):
            log.info("run %s is resumed at stage %s", run.id, run.stage)
            await ledger.runs.take_up(run.id)
            return run
        folders.drop_checkpoints()
        await discard_candidate(ledger, guild_id, run.id)
        await ledger.runs.advance(run.id, "failed", error=_CUT_OFF)
    return None


async def _can_resume(ledger: Ledger, plan: NightPlan, run: Run, folders: NightFolders) -> bool:
    """Tell whether the run's dataset is whole and everybody in it still agrees."""
    age = to_ms(ledger.clock.now()) - run.created_at
    if run.stage == "planned" or age > RESUME_WITHIN_HOURS * 3_600_000:
        return False
    try:
        if read_manifest(folders.dataset).get("form") != FORM:
            log.info("run %s cannot be resumed: its dataset has another form of prompts", run.id)
            return False
        used = {
            number
            for part in (*PARTS, *MORE_PARTS)
            for line in read_lines(folders.dataset, part)
            for number in line["message_ids"]
        }
    except DatasetError as error:
        log.info("run %s cannot be resumed: %s", run.id, error)
        return False
    # One message too many, and the run would learn what it must not: it is closed as a whole.
    return used <= await permitted(
        ledger, run.guild_id, used, plan.dataset, discord_permission=plan.discord_permission
    )


def is_fitted(folders: NightFolders) -> bool:
    """Tell whether the fit of this run is complete on disk, its figures included."""
    try:
        manifest = read_adapter_manifest(folders.fitted)
        # Its own fingerprint, so that its hashes alone decide; evaluate holds it against the base.
        verify(folders.fitted, base_fingerprint=str(manifest.fields["base_fingerprint"]))
        json.loads(folders.metrics.read_text(encoding="utf-8"))
    except (AdapterError, OSError, ValueError, KeyError):
        return False
    return True


def recorded_decision(
    run: Run, champion: Adapter | None, yardstick: Adapter | None, candidate: Adapter, outcome: Outcome
) -> Decision | None:
    """Return the verdict that a run had reached before it was cut off, and fill ``outcome`` with it.

    None where it had reached none, or where another version serves by now, or would serve, in whose place it
    was judged: the candidate is then judged again.
    """
    serves = champion.version if champion else None
    if run.stage != "evaluated" or serves not in (run.champion, candidate.version):
        return None
    measured = run.metrics
    against = yardstick.version if yardstick else None
    if serves != candidate.version and measured.get("held_against") != against:
        return None
    outcome.verdict, outcome.reasons = run.verdict, run.reasons
    outcome.scores = dict(measured.get("scores") or {})
    outcome.interval = dict(measured.get("interval") or {})
    outcome.held_against = measured.get("held_against")
    outcome.recitals = dict(measured.get("recitals") or {})
    outcome.forgetting = measured.get("forgetting")
    outcome.failed_guards = tuple(measured.get("failed_guards") or ())
    outcome.scale = float(measured.get("scale") or 1.0)
    verdict: Literal["promote", "keep"] = "promote" if run.verdict == "promote" else "keep"
    return Decision(
        verdict,
        run.reasons,
        None,
        outcome.forgetting or 0.0,
        failed=outcome.failed_guards,
        scale=outcome.scale,
    )


__all__ = ["is_fitted", "recorded_decision", "resumable"]
