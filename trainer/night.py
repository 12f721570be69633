"""The night: prepare, fit, evaluate, judge, promote; each step written to the ledger as it happens.

``await Night(…).run()`` is what ``python -m trainer night`` and, through it, the schedule and
``/train start`` run. It orders the other modules about and measures nothing itself; no Discord.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from ledger.errors import DatasetError, NightschoolError, RunCancelled
from ledger.forgetting import Forgetting
from ledger.lock import night_lock_path
from ledger.records import Adapter, Run
from ledger.settings import Settings
from ledger.store import Ledger
from trainer import dataset
from trainer.builders import base_of, decide, recipe_of
from trainer.corpus import corpus_of
from trainer.endings import (
    FORGOTTEN,
    close,
    finish_version,
    note_verdict,
    note_who_serves,
    stop_if_forgotten,
    what_went_wrong,
)
from trainer.evaluation import evaluate
from trainer.finetune import fit
from trainer.folders import Folders, clear_place, drop_old_datasets
from trainer.lock import night_lock
from trainer.outcome import Outcome
from trainer.progress import Reporter, silent
from trainer.resuming import resumable
from trainer.verdict import Decision


class Night:
    """One guild's night."""

    def __init__(
        self,
        ledger: Ledger,
        settings: Settings,
        guild_id: int,
        *,
        trigger: str,
        reporter: Reporter = silent,
        cancelled: Callable[[], bool] = lambda: False,
        sampled_replies: int = 12,
        on_run: Callable[[str], None] = lambda run: None,
    ) -> None:
        self._ledger, self._settings, self._guild = ledger, settings, guild_id
        self._trigger, self._sampled = trigger, sampled_replies
        self._report, self._cancelled = reporter, cancelled
        self._on_run = on_run
        self._forgetting = Forgetting(
            ledger,
            datasets_dir=settings.datasets_dir,
            runs_dir=settings.runs_dir,
            days=settings.forgetting.days,
            strict=settings.forgetting.strict,
        )
        self._base, self._recipe = base_of(settings), recipe_of(settings)

    async def run(self) -> Outcome:
        """Run the night to its end, whatever that is.

        Raises:
            NightBusy: another night of this guild is under way; nothing was changed.
        """
        began = time.monotonic()
        with night_lock(night_lock_path(self._settings.data_dir, self._guild)) as name_lock:
            run = await resumable(self._ledger, self._settings, self._guild)
            run = run or await self._ledger.runs.create(self._guild, self._trigger)
            name_lock(run.id)
            self._on_run(run.id)
            outcome = Outcome(run.id, self._guild)
            folders = Folders.of(
                run.id, datasets_dir=self._settings.datasets_dir, runs_dir=self._settings.runs_dir
            )
            try:
                await self._stages(run, folders, outcome)
            except RunCancelled as stopped:
                await close(self._ledger, outcome, "cancelled", str(stopped))
            except NightschoolError as error:
                await close(self._ledger, outcome, *await what_went_wrong(self._ledger, run.id, error))
            except asyncio.CancelledError:
                await close(self._ledger, outcome, "cancelled", "The night was stopped.")
                raise
            except Exception as error:
                if await self._ledger.deletions.is_tainted(run.id):
                    # A library stumbled over files that a deletion took away under it.
                    await close(self._ledger, outcome, "cancelled", FORGOTTEN)
                    return await self._ended(outcome, began)
                # The text of a stranger's exception may quote a message; the type cannot.
                await close(
                    self._ledger, outcome, "failed", f"{type(error).__name__}; its traceback is on stderr."
                )
                raise
            finally:
                folders.drop_checkpoints()
            return await self._ended(outcome, began)

    async def _ended(self, outcome: Outcome, began: float) -> Outcome:
        # A deletion that came while the night wrote files: whatever it wrote since goes now.
        await self._forgetting.sweep()
        await note_who_serves(self._ledger, outcome)
        outcome.seconds = time.monotonic() - began
        drop_old_datasets(self._settings.datasets_dir, self._guild)
        return outcome

    async def _stages(self, run: Run, folders: Folders, outcome: Outcome) -> None:
        if run.stage == "planned":
            if await self._prepare(run, folders, outcome):
                return
        else:
            outcome.counts = dict(run.counts)
        champion = await self._ledger.adapters.champion(self._guild)
        candidate = await self._ledger.adapters.reserve(
            self._guild, run.id, adapters_dir=str(self._settings.adapters_dir), base_model=self._base.name
        )
        outcome.candidate = candidate.version
        clear_place(Path(candidate.path), run.id)
        history = await self._fit(run, folders, candidate, champion, outcome)
        await stop_if_forgotten(self._ledger, run.id)
        decision = await self._evaluate(run, folders, candidate, champion, outcome)
        finish_version(folders, Path(candidate.path), outcome, decision, history)
        await self._settle(run, candidate, decision, outcome)

    async def _prepare(self, run: Run, folders: Folders, outcome: Outcome) -> bool:
        """Write the dataset; True when there is too little in it and the night is over.

        Whatever is deleted while it is written: it is written again, without that.
        """
        self._report("prepare", 0, 1)
        settled = False
        while not settled:
            known = await self._ledger.deletions.newest(self._guild)
            try:
                prepared = await self._write_dataset(run, folders)
            except dataset.TooFewNew as few:
                outcome.stage, outcome.verdict = "skipped", "skip"
                outcome.reasons, outcome.counts = (str(few),), few.counts
                await self._ledger.runs.advance(
                    run.id, "skipped", verdict="skip", reasons=[str(few)], counts=few.counts
                )
                return True
            except DatasetError:
                if await self._ledger.deletions.newest(self._guild) == known:
                    raise
                continue  # its folder went while it was written
            self._stop_if_cancelled()
            outcome.counts = prepared.counts
            gone = await self._ledger.runs.learned_from(run.id, prepared.learned_from)
            settled = not gone and await self._ledger.deletions.newest(self._guild) == known
        await self._ledger.runs.advance(run.id, "prepared", counts=prepared.counts)
        self._report("prepare", 1, 1)
        return False

    async def _write_dataset(self, run: Run, folders: Folders) -> dataset.Prepared:
        return await dataset.prepare(
            self._ledger,
            self._guild,
            folders.dataset,
            self._settings.dataset,
            bot_name=self._settings.bot.name,
            discord_permission=self._settings.policy.discord_permission,
            min_new_replies=self._settings.schedule.min_new_replies,
            run=run.id,
        )

    async def _fit(
        self, run: Run, folders: Folders, candidate: Adapter, champion: Adapter | None, outcome: Outcome
    ) -> list[dict[str, float]]:
        """Train, or go on training, and return what was logged."""
        metrics = folders.work / "metrics.json"
        if not (folders.fitted / "manifest.json").is_file() and not Path(candidate.path).is_dir():
            await asyncio.to_thread(
                fit,
                folders.dataset,
                folders.fitted,
                base=self._base,
                recipe=self._recipe,
                work_dir=folders.work,
                version=candidate.version,
                fields={
                    "guild": self._guild,
                    "run": run.id,
                    "parent": champion.version if champion else None,
                    "created_at": self._ledger.clock.now().isoformat(),
                    "counts": outcome.counts,
                },
                reporter=self._report,
                cancelled=self._cancelled,
            )
        figures = cast("dict[str, Any]", json.loads(metrics.read_text(encoding="utf-8")))
        history = figures.pop("history")
        outcome.fit = figures
        await self._ledger.runs.advance(
            run.id, "fitted", candidate=candidate.version, metrics={"fit": figures}
        )
        return cast("list[dict[str, float]]", history)

    async def _evaluate(
        self, run: Run, folders: Folders, candidate: Adapter, champion: Adapter | None, outcome: Outcome
    ) -> Decision:
        final = Path(candidate.path)
        found = await asyncio.to_thread(
            evaluate,
            folders.dataset,
            final if final.is_dir() else folders.fitted,
            base=self._base,
            champion=Path(champion.path) if champion else None,
            max_tokens=self._recipe.max_tokens,
            packing=self._recipe.packing,
            sampled_replies=self._sampled,
            corpus=await corpus_of(self._ledger, self._settings, run)
            if self._settings.leakage.probes
            else None,
            probes=self._settings.leakage.probes,
            seed=self._recipe.seed,
            reporter=self._report,
            cancelled=self._cancelled,
        )
        await stop_if_forgotten(self._ledger, run.id)
        self._report("verdict", 0, 1)
        decision = await asyncio.to_thread(decide, found, self._settings)
        decision = replace(decision, reasons=(*decision.reasons, *found.notes))
        note_verdict(outcome, found, decision, max_rate=self._settings.leakage.max_rate)
        # Before the version is in its place: whatever cuts the night off, it is not promotable without them.
        await self._ledger.adapters.set_metrics(candidate.version, outcome.metrics())
        await self._ledger.runs.advance(
            run.id,
            "evaluated",
            champion=champion.version if champion else None,
            verdict=decision.verdict,
            reasons=list(decision.reasons),
            metrics=outcome.metrics(),
        )
        self._report("verdict", 1, 1)
        return decision

    async def _settle(self, run: Run, candidate: Adapter, decision: Decision, outcome: Outcome) -> None:
        self._stop_if_cancelled()
        self._report("promote", 0, 1)
        if decision.verdict == "promote":
            await self._ledger.adapters.promote(self._guild, candidate.version, by=f"night {run.id}")
            outcome.stage = "promoted"
            await self._ledger.runs.advance(run.id, "promoted", champion=candidate.version)
        else:
            await self._ledger.adapters.retire(candidate.version)
            outcome.stage = "kept"
            await self._ledger.runs.advance(run.id, "kept")
        self._report("promote", 1, 1)

    def _stop_if_cancelled(self) -> None:
        if self._cancelled():
            raise RunCancelled("The night was stopped; what serves goes on serving.")


__all__ = ["Night"]
