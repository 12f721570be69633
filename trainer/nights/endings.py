"""How a night ends: with its verdict recorded and its version published, or closed with a reason.

Writes files and the ledger's runs; the order of things is the night's own work.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from engine.model.adapter_files import read_manifest, write_manifest
from ledger.errors import RunCancelled
from ledger.learned.cut_off import discard_candidate
from ledger.learned.outcome import Outcome
from ledger.learned.wording import remarks, three_sentences
from ledger.store import Ledger
from trainer.evaluating.scaling import bake_scale
from trainer.judging.comparison import Evaluation, interval_of
from trainer.judging.verdict import Decision
from trainer.nights.night_folders import NightFolders, publish
from trainer.nights.night_report import write_report
from trainer.nights.withdrawals import BEGINNINGS

log = logging.getLogger("trainer")

FORGOTTEN = "Something that this night learned from was deleted meanwhile; it begins again without it."
TOO_OFTEN = (
    f"Something that this night learned from was taken back in each of its {BEGINNINGS} beginnings; the next "
    "night trains without it."
)
OPTED_OUT = "Somebody whose words this night learned from opted out meanwhile; it begins again without them."


def note_verdict(outcome: Outcome, found: Evaluation, decision: Decision, *, max_rate: float) -> None:
    """Record what was measured and decided; ``max_rate`` is how much the candidate may recite."""
    outcome.scores = {name: score.figures() for name, score in found.scores.items()}
    outcome.verdict, outcome.reasons = decision.verdict, decision.reasons
    outcome.failed_guards, outcome.scale = decision.failed, decision.scale
    outcome.forgetting, outcome.samples = round(decision.forgetting, 5), found.samples
    outcome.recitals = {**found.recitals.figures(), "limit": max_rate} if found.recitals else {}
    if found.taught:
        outcome.counts = {**outcome.counts, "taught": found.taught, "taught_known": found.taught_known}
    if decision.difference is not None:
        outcome.interval = interval_of(decision)


def finish_version(
    folders: NightFolders,
    final: Path,
    outcome: Outcome,
    decision: Decision,
    history: Sequence[dict[str, float]],
) -> None:
    """Add verdict, figures and report to the adapter directory and publish it as ``final``."""
    outcome.report, outcome.report_json = str(final / "report.md"), str(final / "report.json")
    outcome.loss_curve = str(final / "loss_curve.png")
    if final.is_dir():  # the run was cut off right after this step
        return
    if decision.scale < 1:
        # So that every engine serves what was judged; a version that is kept may be promoted by hand.
        bake_scale(folders.fitted, decision.scale)
    # The report says how the night ends, although the promotion itself comes last.
    outcome.stage = "promoted" if decision.verdict == "promote" else "kept"
    told = [*three_sentences(outcome), *remarks(outcome)]
    write_report(folders.fitted, {**outcome.facts(), "told": told}, history)
    write_manifest(
        folders.fitted,
        **{
            **read_manifest(folders.fitted).fields,
            "metrics": outcome.metrics(),
            "verdict": decision.verdict,
            "reasons": list(decision.reasons),
        },
    )
    # Last: what is published never changes again.
    publish(folders.fitted, final)


async def withdrawal_reason(ledger: Ledger, run_id: str) -> str:
    """Return in a sentence why the run must not use what it learned from; empty where it may."""
    if await ledger.deletions.is_tainted(run_id):
        return FORGOTTEN
    return OPTED_OUT if await ledger.runs.refusing(run_id) else ""


async def stop_if_withdrawn(ledger: Ledger, run_id: str) -> None:
    """End a night that learns from somebody who was forgotten, or opted out, in the meantime.

    The promotion itself refuses such a run in its transaction; this saves the work until then.

    Raises:
        RunCancelled: the night learns from such a person.
    """
    if reason := await withdrawal_reason(ledger, run_id):
        raise RunCancelled(reason)


async def close(ledger: Ledger, outcome: Outcome, stage: Literal["failed", "cancelled"], reason: str) -> None:
    """Record a night that came to no verdict; what serves goes on serving."""
    # Samples quote members; of a night that was cancelled for a deletion they may quote what is gone.
    outcome.stage, outcome.error, outcome.samples = stage, reason, ()
    log.warning("run %s %s: %s", outcome.run, stage, reason)
    await discard_candidate(ledger, outcome.guild, outcome.run)
    await ledger.runs.advance(outcome.run, stage, error=reason)


async def note_who_serves(ledger: Ledger, outcome: Outcome) -> None:
    """Record which version serves after the night, and which one a rollback returns to."""
    versions = await ledger.adapters.of_guild(outcome.guild)
    by_state = {adapter.state: adapter.version for adapter in versions}
    outcome.champion, outcome.previous = by_state.get("champion"), by_state.get("previous")


__all__ = [
    "FORGOTTEN",
    "OPTED_OUT",
    "TOO_OFTEN",
    "close",
    "finish_version",
    "note_verdict",
    "note_who_serves",
    "stop_if_withdrawn",
    "withdrawal_reason",
]
