"""The night: prepare, fit, evaluate, judge, promote; each step written to the ledger as it happens.

``await Night(…).run()`` is what ``python -m trainer night`` and, through it, the schedule and
``/train start`` run. It directs the other modules and measures nothing itself; it knows no Discord.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Collection
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

from ledger.errors import DatasetError, NightschoolError, ParentTainted, RunCancelled
from ledger.forgetting.deletion_path import Forgetting
from ledger.learned.outcome import NightStage, Outcome
from ledger.process.locks import awaited_night_lock, night_lock_path
from ledger.records import Adapter, Run
from ledger.store import Ledger
from trainer.evaluating.evaluation import evaluate, score_first
from trainer.evaluating.toxicity import toxicity_of
from trainer.fitting.finetune import fit
from trainer.judging.comparison import decide, weakening
from trainer.judging.learned_text import corpus_of
from trainer.judging.verdict import Decision
from trainer.nights.endings import (
    TOO_OFTEN,
    close,
    finish_version,
    note_verdict,
    note_who_serves,
    stop_if_withdrawn,
    withdrawal_reason,
)
from trainer.nights.looking_back import ScoreMemory, WentBack, next_day, watched
from trainer.nights.night_folders import NightFolders, clear_leftovers, drop_old_datasets
from trainer.nights.night_plan import NightPlan
from trainer.nights.resuming import is_fitted, recorded_decision, resumable
from trainer.nights.starting_point import StartingPoint, starting_point, starting_point_again
from trainer.nights.withdrawals import BEGINNINGS, reaches, withdrawers
from trainer.preparing import dataset
from trainer.preparing.dataset_files import has_part, read_manifest
from trainer.progress import Reporter, StageProgress, silent
from trainer.scoring.encoded_rows import token_lengths
from trainer.stopping import LEFT, STOPPED, in_thread

log = logging.getLogger("trainer")

T = TypeVar("T")
WATCH_SECONDS = 2.0
"""How often a night checks whether something that it learns from was deleted. The promotion checks again
in its transaction, so this only saves work."""


class Night:
    """One guild's night."""

    def __init__(
        self,
        ledger: Ledger,
        plan: NightPlan,
        guild_id: int,
        *,
        forgetting: Forgetting,
        trigger: str,
        reporter: Reporter = silent,
        cancelled: Callable[[], bool] = lambda: False,
        leaving: Callable[[], bool] = lambda: False,
        sampled_replies: int = 12,
        on_run: Callable[[str], None] = lambda run: None,
        lock_seconds: float = 0.0,
    ) -> None:
        """``cancelled`` ends the night for good; ``leaving`` leaves it for the next start to resume.

        ``lock_seconds`` is how long to wait for another night of this guild.
        """
        self._ledger, self._plan, self._guild = ledger, plan, guild_id
        self._trigger, self._sampled = trigger, sampled_replies
        self._reporter, self._cancelled, self._leaving = reporter, cancelled, leaving
        self._on_run, self._lock_seconds = on_run, lock_seconds
        self._forgetting = forgetting
        self._authors: dict[int, int] = {}
        self._known_deletion = 0
        self._inherited: dict[int, int] = {}
        self._known_at_start = 0
        self._without: frozenset[int] = frozenset()
        self._repeatedly: frozenset[int] = frozenset()
        self._withdrawn = False

    async def run(self) -> Outcome:
        """Run the night to its end, whatever that is.

        A deletion of something that the night learns from ends this attempt. The night begins again at
        once and leaves out whoever took something back; from the second time on it also starts from a version
        that never learned from them. So no member can stop everybody's learning.

        Raises:
            NightBusy: another night of this guild is running; nothing was changed.
        """
        began = time.monotonic()
        path = night_lock_path(self._plan.data_dir, self._guild)
        async with awaited_night_lock(path, seconds=self._lock_seconds, stop=self._stopped) as name_lock:
            run = await resumable(self._ledger, self._plan, self._guild)
            for beginning in range(BEGINNINGS):
                if run is None or beginning:
                    run = await self._ledger.runs.create(self._guild, self._trigger)
                # Each beginning is a run of its own: the record says what the one before had seen.
                name_lock(run.id)
                self._on_run(run.id)
                outcome = await self._once(run)
                outcome.seconds = time.monotonic() - began
                if not outcome.withdrawn or self._stopped():
                    break
                if beginning == BEGINNINGS - 1:
                    outcome.error = TOO_OFTEN
                    break
                log.warning("run %s is followed by another beginning of the same night", run.id)
            return outcome

    async def _once(self, run: Run) -> Outcome:
        self._withdrawn = False
        outcome = Outcome(run.id, self._guild)
        folders = NightFolders.of(run.id, datasets_dir=self._plan.datasets_dir, runs_dir=self._plan.runs_dir)
        watch = asyncio.create_task(self._watch(run.id), name="withdrawals")
        try:
            await self._stages(run, folders, outcome)
        except RunCancelled as stopped:
            # A cancel or a withdrawal at the same moment wins: such a run must not be resumed.
            if self._leaving() and not self._cancelled() and not self._withdrawn:
                outcome.stage, outcome.error = "paused", LEFT
                return outcome  # its checkpoints stay, for the next start
            await self._close(run, outcome, "cancelled", str(stopped))
        except WentBack as error:
            outcome.withdrawn = True
            await close(self._ledger, outcome, "cancelled", str(error))
        except ParentTainted as error:
            # Before the run's version was on record, so that no deletion could find it: it begins again.
            outcome.withdrawn = True
            await self._note_withdrawers(run, since=self._known_at_start)
            await close(self._ledger, outcome, "cancelled", str(error))
        except NightschoolError as error:
            await self._close(run, outcome, "failed", str(error))
        except asyncio.CancelledError:
            await close(self._ledger, outcome, "cancelled", STOPPED)
            raise
        except Exception as error:
            # The text of a stranger's exception may quote a message; the type cannot.
            await self._close(run, outcome, "failed", f"{type(error).__name__}; its traceback is on stderr.")
            if not outcome.withdrawn:  # else a library stumbled over files that a deletion had removed
                raise
        finally:
            watch.cancel()
            if outcome.stage != "paused":  # a run that ended for good is never resumed
                folders.drop_checkpoints()
        return await self._ended(outcome)

    async def _watch(self, run_id: str) -> None:
        """Notice while a model learns that something it learns from was deleted."""
        while not self._withdrawn:
            await asyncio.sleep(WATCH_SECONDS)
            self._withdrawn = await self._ledger.deletions.is_tainted(run_id)

    async def _close(
        self, run: Run, outcome: Outcome, stage: Literal["failed", "cancelled"], reason: str
    ) -> None:
        """Close the run; if something that it saw was deleted, that is why it went wrong."""
        taken_back = await withdrawal_reason(self._ledger, run.id)
        if taken_back and not self._cancelled():
            stage, reason, outcome.withdrawn = "cancelled", taken_back, True
            await self._note_withdrawers(run, since=self._known_deletion)
        await close(self._ledger, outcome, stage, reason)

    async def _note_withdrawers(self, run: Run, *, since: int) -> None:
        """Note who took something back that the run, or a version that it grew from, learned from."""
        deletions = await self._ledger.deletions.since(since)
        mine = [deletion for deletion in deletions if deletion.guild_id == self._guild]
        found = withdrawers(mine, {**self._inherited, **self._authors})
        found |= await self._ledger.runs.refusing(run.id)
        self._repeatedly |= found & self._without
        self._without |= found

    async def _ended(self, outcome: Outcome) -> Outcome:
        # A deletion may have come while the night wrote files: what it wrote since is deleted now.
        await self._forgetting.sweep()
        # After the sweep, which may have let another version serve.
        await note_who_serves(self._ledger, outcome)
        drop_old_datasets(self._plan.datasets_dir, self._guild)
        return outcome

    async def _stages(self, run: Run, folders: NightFolders, outcome: Outcome) -> None:
        if run.stage == "planned":
            self._authors, self._known_at_start = {}, await self._ledger.deletions.newest(self._guild)
            origin = await starting_point(self._ledger, self._plan, self._guild, without=self._repeatedly)
            await self._note_inherited(origin)
            if await self._prepare(run, folders, outcome, origin):
                return
        else:
            named = read_manifest(folders.dataset).get("start")
            origin = await starting_point_again(self._ledger, self._guild, named)
            outcome.counts = dict(run.counts)
            self._known_deletion = await self._ledger.deletions.newest(self._guild)
            # A resumed run has no dataset in memory to ask whose words it learns from.
            self._authors = await self._ledger.runs.authors_of(run.id)
            self._known_at_start = self._known_deletion
            await self._note_inherited(origin)
        champion = await self._ledger.adapters.champion(self._guild)
        memory = ScoreMemory(
            self._ledger, self._guild, self._plan.base, max_tokens=self._plan.recipe.max_tokens
        )
        await memory.read(folders.dataset)
        await self._look_back(run, folders, champion, memory, outcome)
        candidate = await self._ledger.adapters.reserve(
            self._guild,
            run.id,
            adapters_dir=str(self._plan.adapters_dir),
            base_model=self._plan.base.name,
            parent=origin.start.version,
        )
        outcome.candidate = candidate.version
        clear_leftovers(Path(candidate.path), run.id)  # may be there where a backup was restored
        history = await self._fit(run, folders, candidate, origin, outcome)
        await stop_if_withdrawn(self._ledger, run.id)
        # A run that was cut off after its verdict keeps it while the same version serves.
        decision = recorded_decision(run, champion, candidate, outcome)
        if decision is None:
            decision = await self._evaluate(run, folders, candidate, champion, memory, outcome)
        await self._work(partial(finish_version, folders, Path(candidate.path), outcome, decision, history))
        await self._settle(run, candidate, decision, outcome)

    async def _note_inherited(self, origin: StartingPoint) -> None:
        version = origin.start.version
        self._inherited = await self._ledger.lineage.authors_of(version) if version else {}

    async def _work(self, work: Callable[[], T]) -> T:
        """Do slow work in a thread that a cancel does not wait for."""
        return await in_thread(work, cancelled=self._given_up, leaving=self._leaving)

    def _report(self, stage: NightStage, step: int, steps: int) -> None:
        self._reporter(StageProgress(stage, step, steps))

    def _given_up(self) -> bool:
        return self._cancelled() or self._withdrawn

    def _stopped(self) -> bool:
        return self._cancelled() or self._leaving()

    def _ending(self) -> bool:
        return self._given_up() or self._leaving()

    async def _prepare(
        self, run: Run, folders: NightFolders, outcome: Outcome, origin: StartingPoint
    ) -> bool:
        """Write the dataset; True when too little is new and the night is over.

        After a deletion of something in it, it is written again. From the second time on whoever took
        something back is left out altogether, or a member who keeps deleting would hold the night up.
        """
        self._report("prepare", 0, 1)
        without: set[int] = set()
        for writing in count():
            self._stop_if_ending()
            # Before the messages are read: a deletion that comes meanwhile is found below.
            known = self._known_deletion = await self._ledger.deletions.newest(self._guild)
            try:
                prepared = await self._write_dataset(run, folders, origin, self._without | without)
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
                continue  # a deletion removed its folder while it was written
            self._stop_if_ending()
            outcome.counts, self._authors = prepared.counts, dict(prepared.learned_from)
            # Listing what the run learns from tells which of it is gone already. What goes afterwards
            # finds the list and taints the run, so there is no moment in between.
            gone = await self._ledger.runs.learned_from(run.id, prepared.learned_from, roles=prepared.roles)
            since = [d for d in await self._ledger.deletions.since(known) if d.guild_id == self._guild]
            if not gone and not any(reaches(deletion, self._authors) for deletion in since):
                break
            if writing:
                without |= withdrawers(since, self._authors)
        if prepared.suspects:
            await self._ledger.quarantine.hold(
                self._guild, prepared.suspects, since=prepared.since, days=self._plan.quarantine_days
            )
        await self._ledger.runs.advance(run.id, "prepared", counts=prepared.counts)
        self._report("prepare", 1, 1)
        return False

    async def _write_dataset(
        self, run: Run, folders: NightFolders, origin: StartingPoint, without: Collection[int]
    ) -> dataset.Prepared:
        return await dataset.prepare(
            self._ledger,
            self._guild,
            folders.dataset,
            self._plan.dataset,
            bot_name=self._plan.bot_name,
            discord_permission=self._plan.discord_permission,
            min_new_replies=self._plan.min_new_replies,
            run=run.id,
            start=origin.start,
            measure=partial(token_lengths, self._plan.base),
            toxicity=toxicity_of,
            without=without,
            stop=self._ending,
            on_progress=lambda done, of: self._report("prepare", done, of),
        )

    async def _look_back(
        self,
        run: Run,
        folders: NightFolders,
        champion: Adapter | None,
        memory: ScoreMemory,
        outcome: Outcome,
    ) -> None:
        """Score what serves on what was said since, before it is learned; go back where that was better.

        Raises:
            WentBack: the version before the champion serves again, so that this night begins anew.
        """
        if not has_part(folders.dataset, "fresh") or run.stage in ("fitted", "evaluated"):
            return
        versions = await self._ledger.adapters.of_guild(self._guild)
        previous = next((version for version in versions if version.state == "previous"), None)
        told = [version for version in (champion, previous) if version is not None]
        self._report("score", 0, 1)
        scores = await self._work(
            partial(
                score_first,
                folders.dataset,
                base=self._plan.base,
                versions={version.version: Path(version.path) for version in told},
                max_tokens=self._plan.recipe.max_tokens,
                packing=self._plan.recipe.packing,
                reporter=lambda done: self._report("score", done.step, done.steps),
                cancelled=self._ending,
            )
        )
        for name, tallies in scores.items():
            await memory.keep(run.id, "fresh", None if name == "base" else name, tallies)
        outcome.next_day = next_day(scores, champion.version if champion else None)
        if champion is None or champion.version not in scores:
            return
        # Nobody is brought back by itself who learned something deleted; its date is near in any case.
        if previous is not None and not await self._ledger.adapters.is_clean(previous.version):
            return
        # Against what a rollback would return to, on the same conversations.
        against = memory.model_key(previous.version if previous else None)
        found = await watched(self._ledger, self._guild, champion.version, against, self._plan.verdict)
        if found.go_back:
            await self._ledger.adapters.rollback(self._guild, by=f"watch {run.id}")
            raise WentBack(found.reason)

    async def _fit(
        self, run: Run, folders: NightFolders, candidate: Adapter, origin: StartingPoint, outcome: Outcome
    ) -> list[dict[str, float]]:
        """Train, or resume training, and return what was logged."""
        # The folder is there where a run was cut off behind its publishing, which moved the adapter away.
        if not is_fitted(folders) and not Path(candidate.path).is_dir():
            self._report("fit", 0, 1)  # before the model is loaded, which may take minutes
            fields = {
                "guild": self._guild,
                "run": run.id,
                "parent": origin.start.version,
                "created_at": self._ledger.clock.now().isoformat(),
                "counts": outcome.counts,
            }
            await self._work(
                partial(
                    fit,
                    folders.dataset,
                    folders.fitted,
                    base=self._plan.base,
                    recipe=self._plan.recipe,
                    work_dir=folders.work,
                    version=candidate.version,
                    start=origin.path,
                    fields=fields,
                    reporter=self._reporter,
                    cancelled=self._given_up,
                    leaving=self._leaving,
                )
            )
        # Read from disk, not from the fit: a resumed run may have fitted in an earlier process.
        figures = cast("dict[str, Any]", json.loads(folders.metrics.read_text(encoding="utf-8")))
        history = figures.pop("history")
        outcome.fit = figures
        # Else a second kill would lose the verdict, which was written down before the first.
        if run.stage != "evaluated":
            await self._ledger.runs.advance(
                run.id, "fitted", candidate=candidate.version, metrics={"fit": figures}
            )
        return cast("list[dict[str, float]]", history)

    async def _evaluate(
        self,
        run: Run,
        folders: NightFolders,
        candidate: Adapter,
        champion: Adapter | None,
        memory: ScoreMemory,
        outcome: Outcome,
    ) -> Decision:
        final = Path(candidate.path)
        self._report("evaluate", 0, 1)
        corpus = None  # without probes nothing would be compared with it
        if self._plan.probes:
            corpus = await corpus_of(self._ledger, run, data_dir=self._plan.data_dir, parent=candidate.parent)
        leaves = champion is not None and not await self._ledger.adapters.is_clean(champion.version)
        judged = partial(decide, limits=self._plan.verdict, reference_leaves=leaves)
        names = {"base": None, **({"champion": champion.version} if champion else {})}
        found = await self._work(
            partial(
                evaluate,
                folders.dataset,
                final if final.is_dir() else folders.fitted,
                base=self._plan.base,
                champion=Path(champion.path) if champion else None,
                max_tokens=self._plan.recipe.max_tokens,
                packing=self._plan.recipe.packing,
                sampled_replies=self._sampled,
                corpus=corpus,
                probes=self._plan.probes,
                toxic_prompts=self._plan.verdict.toxic_prompts,
                known=await memory.known(names),
                weaken=weakening(self._plan.verdict, reference_leaves=leaves),
                seed=self._plan.recipe.seed,
                reporter=self._reporter,
                # Unlike a fit, an evaluation has no checkpoint: a night that is left ends it at once.
                cancelled=self._ending,
            )
        )
        await stop_if_withdrawn(self._ledger, run.id)
        self._report("verdict", 0, 1)
        decision = await self._work(partial(judged, found))
        decision = replace(decision, reasons=(*decision.reasons, *found.notes))
        note_verdict(outcome, found, decision, max_rate=self._plan.verdict.max_rate)
        await memory.keep_evaluation(
            run.id,
            found.scores,
            candidate=candidate.version,
            champion=champion.version if champion else None,
        )
        # Before the version is published: wherever the night is cut off, nobody can promote it without them.
        await self._ledger.adapters.set_metrics(candidate.version, outcome.metrics())
        await self._ledger.runs.advance(
            run.id,
            "evaluated",
            # A resumed run keeps this verdict only while the same version serves.
            champion=champion.version if champion else None,
            verdict=decision.verdict,
            reasons=list(decision.reasons),
            metrics=outcome.metrics(),
        )
        self._report("verdict", 1, 1)
        return decision

    async def _settle(self, run: Run, candidate: Adapter, decision: Decision, outcome: Outcome) -> None:
        self._stop_if_ending()
        self._report("promote", 0, 1)
        if decision.verdict == "promote":
            # By "night …" the ledger knows to ask for later opt-outs, which no promotion by hand does.
            await self._ledger.adapters.promote(
                self._guild, candidate.version, by=f"night {run.id}", run=run.id
            )
            outcome.stage = "promoted"
        else:
            await self._ledger.adapters.retire(candidate.version)
            outcome.stage = "kept"
            await self._ledger.runs.advance(run.id, "kept")
        self._report("promote", 1, 1)

    def _stop_if_ending(self) -> None:
        if self._ending():
            raise RunCancelled(STOPPED)


__all__ = ["Night"]
