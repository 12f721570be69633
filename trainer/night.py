"""The night: prepare, fit, evaluate, judge, promote; each step written to the ledger as it happens.

``await Night(…).run()`` is what ``python -m trainer night`` and, through it, the schedule and
``/train start`` run. It orders the other modules about and measures nothing itself; no Discord.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from ledger.errors import NightschoolError, RunCancelled
from ledger.forgetting import Forgetting
from ledger.records import Adapter, Run
from ledger.settings import Settings
from ledger.store import Ledger
from trainer import dataset
from trainer.builders import base_of, decide, interval_of, recipe_of
from trainer.evaluation import Evaluation, evaluate
from trainer.finetune import fit
from trainer.folders import Folders, canaries, drop_old_datasets, put_in_place
from trainer.leakage import Corpus
from trainer.lock import lock_path, night_lock
from trainer.outcome import Outcome
from trainer.progress import Reporter, silent
from trainer.report import write_report
from trainer.resuming import discard_candidate, resumable
from trainer.verdict import Decision

log = logging.getLogger("trainer")


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
        with night_lock(lock_path(self._settings.data_dir, self._guild)) as name_lock:
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
                await self._close(outcome, "cancelled", str(stopped))
            except NightschoolError as error:
                await self._close(outcome, *await self._what_went_wrong(run, error))
            except asyncio.CancelledError:
                await self._close(outcome, "cancelled", "The night was stopped.")
                raise
            except Exception as error:
                # The text of a stranger's exception may quote a message; the type cannot.
                await self._close(outcome, "failed", f"{type(error).__name__}; its traceback is on stderr.")
                raise
            finally:
                folders.drop_checkpoints()
            await self._note_who_serves(outcome)
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
        history = await self._fit(run, folders, candidate, champion, outcome)
        await self._stop_if_forgotten(run)
        found, decision = await self._evaluate(run, folders, candidate, champion, outcome)
        self._write(folders, candidate, outcome, found, decision, history)
        await self._settle(run, candidate, decision, outcome)

    async def _prepare(self, run: Run, folders: Folders, outcome: Outcome) -> bool:
        """Write the dataset; True when there is too little in it and the night is over."""
        self._report("prepare", 0, 1)
        try:
            prepared = await dataset.prepare(
                self._ledger,
                self._guild,
                folders.dataset,
                self._settings.dataset,
                bot_name=self._settings.bot.name,
                discord_permission=self._settings.policy.discord_permission,
                min_new_replies=self._settings.schedule.min_new_replies,
                run=run.id,
            )
        except dataset.TooFewNew as few:
            outcome.stage, outcome.verdict = "skipped", "skip"
            outcome.reasons, outcome.counts = (str(few),), few.counts
            await self._ledger.runs.advance(
                run.id, "skipped", verdict="skip", reasons=[str(few)], counts=few.counts
            )
            return True
        self._stop_if_cancelled()
        outcome.counts = prepared.counts
        if await self._ledger.runs.learned_from(run.id, prepared.learned_from):
            # Somebody was forgotten while the dataset was written: it is written again without them.
            folders.drop_dataset()
            return await self._prepare(run, folders, outcome)
        await self._ledger.runs.advance(run.id, "prepared", counts=prepared.counts)
        self._report("prepare", 1, 1)
        return False

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
    ) -> tuple[Evaluation, Decision]:
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
            corpus=await self._corpus(run) if self._settings.leakage.probes else None,
            probes=self._settings.leakage.probes,
            seed=self._recipe.seed,
            reporter=self._report,
            cancelled=self._cancelled,
        )
        await self._stop_if_forgotten(run)
        self._report("verdict", 0, 1)
        decision = await asyncio.to_thread(decide, found, self._settings)
        decision = replace(decision, reasons=(*decision.reasons, *found.notes))
        outcome.scores = {name: score.figures() for name, score in found.scores.items()}
        outcome.verdict, outcome.reasons = decision.verdict, decision.reasons
        outcome.forgetting, outcome.samples = round(decision.forgetting, 5), found.samples
        outcome.recitals = found.recitals.figures() if found.recitals else {}
        if decision.difference is not None:
            outcome.interval = interval_of(decision)
        await self._ledger.runs.advance(
            run.id,
            "evaluated",
            champion=champion.version if champion else None,
            verdict=decision.verdict,
            reasons=list(decision.reasons),
            metrics=self._metrics(outcome),
        )
        self._report("verdict", 1, 1)
        return found, decision

    def _write(
        self,
        folders: Folders,
        candidate: Adapter,
        outcome: Outcome,
        found: Evaluation,
        decision: Decision,
        history: list[dict[str, float]],
    ) -> None:
        """Add verdict, figures and report to the adapter directory and put it in its place."""
        from engine.adapters import read_manifest, write_manifest

        final = Path(candidate.path)
        outcome.report, outcome.report_json = str(final / "report.md"), str(final / "report.json")
        outcome.loss_curve = str(final / "loss_curve.png")
        if final.is_dir():  # a run that was cut off right behind this step
            return
        outcome.stage = "promoted" if decision.verdict == "promote" else "kept"
        write_report(folders.fitted, outcome.facts(), history)
        write_manifest(
            folders.fitted,
            **{
                **read_manifest(folders.fitted).fields,
                "metrics": self._metrics(outcome),
                "verdict": decision.verdict,
                "reasons": list(decision.reasons),
            },
        )
        put_in_place(folders.fitted, final)

    async def _settle(self, run: Run, candidate: Adapter, decision: Decision, outcome: Outcome) -> None:
        self._stop_if_cancelled()
        self._report("promote", 0, 1)
        await self._ledger.adapters.set_metrics(candidate.version, self._metrics(outcome))
        if decision.verdict == "promote":
            await self._ledger.adapters.promote(self._guild, candidate.version, by=f"night {run.id}")
            outcome.stage = "promoted"
            await self._ledger.runs.advance(run.id, "promoted", champion=candidate.version)
            # What had to wait for a successor, because it learned from something deleted since, goes now.
            await self._forgetting.sweep()
        else:
            await self._ledger.adapters.retire(candidate.version)
            outcome.stage = "kept"
            await self._ledger.runs.advance(run.id, "kept")
        self._report("promote", 1, 1)

    @staticmethod
    def _metrics(outcome: Outcome) -> dict[str, Any]:
        return {
            "scores": outcome.scores,
            "interval": outcome.interval,
            "forgetting": outcome.forgetting,
            "recitals": outcome.recitals,
            "fit": outcome.fit,
        }

    async def _what_went_wrong(self, run: Run, error: NightschoolError) -> tuple[str, str]:
        """Return stage and reason; files that vanish under a night vanish because of a deletion."""
        try:
            await self._stop_if_forgotten(run)
        except RunCancelled as forgotten:
            return "cancelled", str(forgotten)
        return "failed", str(error)

    async def _close(self, outcome: Outcome, stage: str, reason: str) -> None:
        """Write down a night that did not come to a verdict; what serves goes on serving."""
        outcome.stage, outcome.error, outcome.samples = stage, reason, ()
        log.warning("run %s %s: %s", outcome.run, stage, reason)
        await discard_candidate(self._ledger, self._guild, outcome.run)
        await self._ledger.runs.advance(outcome.run, cast(Any, stage), error=reason)

    async def _note_who_serves(self, outcome: Outcome) -> None:
        versions = await self._ledger.adapters.of_guild(self._guild)
        by_state = {adapter.state: adapter.version for adapter in versions}
        outcome.champion, outcome.previous = by_state.get("champion"), by_state.get("previous")

    async def _corpus(self, run: Run) -> Corpus:
        """Return what the run learns from, for the leakage gate."""
        seen = await self._ledger.runs.messages_of(run.id)
        learned = [m for m in await self._ledger.messages.of_guild(self._guild) if m.id in seen]
        return Corpus(
            ((message.author_id, message.content) for message in learned),
            secrets=canaries(self._settings.data_dir),
        )

    async def _stop_if_forgotten(self, run: Run) -> None:
        """End a night that learns from somebody who has been forgotten meanwhile.

        The promotion itself refuses such a run in its transaction; this spares the work until then.
        """
        if await self._ledger.deletions.is_tainted(run.id):
            raise RunCancelled(
                "Something that this night learned from was deleted meanwhile; "
                "the next night trains without it."
            )

    def _stop_if_cancelled(self) -> None:
        if self._cancelled():
            raise RunCancelled("The night was stopped; what serves goes on serving.")


__all__ = ["Night"]
