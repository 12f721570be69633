"""The night: prepare, fit, evaluate, judge, promote; each step written to the ledger as it happens.

``await Night(…).run()`` is what ``python -m trainer night`` and, through it, the schedule and
``/train start`` run. It directs the other modules and measures nothing itself; it knows no Discord.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection
from functools import partial
from itertools import count
from pathlib import Path
from typing import Literal, TypeVar

from ledger.errors import DatasetError, NightschoolError, ParentTainted, RunCancelled
from ledger.forgetting.deletion_path import Forgetting
from ledger.learned.outcome import NightStage, Outcome
from ledger.process.locks import awaited_night_lock, night_lock_path
from ledger.records import Run
from ledger.store import Ledger
from trainer.evaluating.toxicity import toxicity_of
from trainer.nights.endings import (
    TOO_OFTEN,
    close,
    finish_version,
    note_who_serves,
    stop_if_withdrawn,
    withdrawal_reason,
)
from trainer.nights.looking_back import ScoreMemory, WentBack
from trainer.nights.night_folders import NightFolders, clear_leftovers, drop_old_datasets
from trainer.nights.night_plan import NightPlan
from trainer.nights.night_stages import NightStages
from trainer.nights.resuming import recorded_decision, resumable
from trainer.nights.starting_point import StartingPoint, starting_point, starting_point_again, would_serve
from trainer.nights.withdrawals import BEGINNINGS, reaches, withdrawers
from trainer.preparing import dataset
from trainer.preparing.dataset_files import read_manifest
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
        self._trigger = trigger
        self._reporter, self._cancelled, self._leaving = reporter, cancelled, leaving
        self._on_run, self._lock_seconds = on_run, lock_seconds
        self._forgetting = forgetting
        self._stage = NightStages(
            ledger,
            plan,
            guild_id,
            sampled_replies,
            reporter,
            self._report,
            self._work,
            self._given_up,
            leaving,
            self._ending,
        )
        self._authors: dict[int, int] = {}
        self._known_deletion = 0
        self._inherited: dict[int, int] = {}
        self._known_at_start = 0
        self._without: frozenset[int] = frozenset()
        self._repeatedly: frozenset[int] = frozenset()
        self._withdrawn = False
        self._went_back = ""

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
                    outcome.error = outcome.error if outcome.error == self._went_back else TOO_OFTEN
                    break
                log.warning("run %s is followed by another beginning of the same night", run.id)
            if self._went_back:
                outcome.reasons = (self._went_back, *outcome.reasons)
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
            outcome.withdrawn, self._went_back = True, str(error)
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
            origin = await starting_point_again(self._ledger, self._plan, self._guild, named)
            outcome.counts = dict(run.counts)
            self._known_deletion = await self._ledger.deletions.newest(self._guild)
            # A resumed run has no dataset in memory to ask whose words it learns from.
            self._authors = await self._ledger.runs.authors_of(run.id)
            self._known_at_start = self._known_deletion
            await self._note_inherited(origin)
        champion = await self._ledger.adapters.champion(self._guild)
        memory = ScoreMemory(
            self._ledger,
            self._guild,
            self._plan.base,
            max_tokens=self._plan.recipe.max_tokens,
            packing=self._plan.recipe.packing,
        )
        await memory.read(folders.dataset)
        await self._stage.look_back(run, folders, champion, memory, outcome)
        candidate = await self._ledger.adapters.reserve(
            self._guild,
            run.id,
            adapters_dir=str(self._plan.adapters_dir),
            base_model=self._plan.base.name,
            parent=origin.start.version,
        )
        outcome.candidate = candidate.version
        clear_leftovers(Path(candidate.path), run.id)  # may be there where a backup was restored
        history = await self._stage.fit(run, folders, candidate, origin, outcome)
        await stop_if_withdrawn(self._ledger, run.id)
        # A run that was cut off after its verdict keeps it while the same version serves.
        yardstick = await would_serve(self._ledger, self._plan, self._guild)
        decision = recorded_decision(run, champion, yardstick, candidate, outcome)
        if decision is None:
            decision = await self._stage.evaluate(run, folders, candidate, champion, memory, outcome)
        await self._work(partial(finish_version, folders, Path(candidate.path), outcome, decision, history))
        await self._stage.settle(run, candidate, decision, outcome)

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
            self._stage.stop_if_ending()
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
            self._stage.stop_if_ending()
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
            origin=origin.start,
            measure=partial(token_lengths, self._plan.base),
            toxicity=toxicity_of,
            without=without,
            stop=self._ending,
            on_progress=lambda done, of: self._report("prepare", done, of),
        )


__all__ = ["Night"]
