"""What a night does in its stages; :mod:`trainer.nights.night` says in which order and when to stop.

Each stage writes what it came to into the ledger and into the outcome.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

from ledger.errors import RunCancelled
from ledger.learned.outcome import NightStage, Outcome
from ledger.records import Adapter, Run
from ledger.store import Ledger
from trainer.evaluating.evaluation import evaluate, score_first
from trainer.fitting.finetune import fit
from trainer.judging.comparison import decide, weakening
from trainer.judging.learned_text import corpus_of
from trainer.judging.verdict import Decision, Need
from trainer.nights.endings import note_verdict, stop_if_withdrawn
from trainer.nights.looking_back import ScoreMemory, WentBack, next_day, watched
from trainer.nights.night_folders import NightFolders
from trainer.nights.night_plan import NightPlan
from trainer.nights.resuming import is_fitted
from trainer.nights.starting_point import StartingPoint, would_serve
from trainer.preparing.dataset_files import has_part
from trainer.progress import Reporter
from trainer.stopping import STOPPED

T = TypeVar("T")


class Working(Protocol):
    """Does slow work in a thread that a cancel does not wait for."""

    def __call__(self, work: Callable[[], T]) -> Awaitable[T]: ...


@dataclass(frozen=True, slots=True)
class NightStages:
    """The stages of one guild's night."""

    ledger: Ledger
    plan: NightPlan
    guild_id: int
    sampled_replies: int
    reporter: Reporter
    report: Callable[[NightStage, int, int], None]
    work: Working
    given_up: Callable[[], bool]
    """Whether the night was cancelled, or somebody took back what it learns from."""
    leaving: Callable[[], bool]
    ending: Callable[[], bool]
    """Any of these."""

    def stop_if_ending(self) -> None:
        """Raise RunCancelled if the night is to end."""
        if self.ending():
            raise RunCancelled(STOPPED)

    async def look_back(
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
        versions = await self.ledger.adapters.of_guild(self.guild_id)
        previous = next((version for version in versions if version.state == "previous"), None)
        told = [version for version in (champion, previous) if version is not None]
        self.report("score", 0, 1)
        scores = await self.work(
            partial(
                score_first,
                folders.dataset,
                base=self.plan.base,
                versions={version.version: Path(version.path) for version in told},
                max_tokens=self.plan.recipe.max_tokens,
                packing=self.plan.recipe.packing,
                reporter=lambda done: self.report("score", done.step, done.steps),
                cancelled=self.ending,
            )
        )
        for name, tallies in scores.items():
            await memory.keep(run.id, "fresh", None if name == "base" else name, tallies)
        outcome.next_day = next_day(scores, champion.version if champion else None)
        if champion is None or champion.version not in scores:
            return
        # Nobody is brought back by itself who learned something deleted; its date is near in any case.
        if previous is not None and not await self.ledger.adapters.is_clean(previous.version):
            return
        # Against what a rollback would return to, on the same conversations.
        against = memory.model_key(previous.version if previous else None)
        found = await watched(
            self.ledger, self.guild_id, champion.version, against, self.plan.verdict, run=run.id
        )
        if found is not None and found.go_back:
            await self.ledger.promotions.rollback(self.guild_id, by=f"watch {run.id}")
            raise WentBack(found.reason)

    async def fit(
        self, run: Run, folders: NightFolders, candidate: Adapter, origin: StartingPoint, outcome: Outcome
    ) -> list[dict[str, float]]:
        """Train, or resume training, and return what was logged."""
        # The folder is there where a run was cut off behind its publishing, which moved the adapter away.
        if not is_fitted(folders) and not Path(candidate.path).is_dir():
            self.report("fit", 0, 1)  # before the model is loaded, which may take minutes
            fields = {
                "guild": self.guild_id,
                "run": run.id,
                "parent": origin.start.version,
                "created_at": self.ledger.clock.now().isoformat(),
                "counts": outcome.counts,
            }
            await self.work(
                partial(
                    fit,
                    folders.dataset,
                    folders.fitted,
                    base=self.plan.base,
                    recipe=self.plan.recipe,
                    work_dir=folders.work,
                    version=candidate.version,
                    start=origin.path,
                    fields=fields,
                    reporter=self.reporter,
                    cancelled=self.given_up,
                    leaving=self.leaving,
                )
            )
        # Read from disk, not from the fit: a resumed run may have fitted in an earlier process.
        figures = cast("dict[str, Any]", json.loads(folders.metrics.read_text(encoding="utf-8")))
        history = figures.pop("history")
        outcome.fit = figures
        # Else a second kill would lose the verdict, which was written down before the first.
        if run.stage != "evaluated":
            await self.ledger.runs.advance(
                run.id, "fitted", candidate=candidate.version, metrics={"fit": figures}
            )
        return cast("list[dict[str, float]]", history)

    async def evaluate(
        self,
        run: Run,
        folders: NightFolders,
        candidate: Adapter,
        champion: Adapter | None,
        memory: ScoreMemory,
        outcome: Outcome,
    ) -> Decision:
        final = Path(candidate.path)
        self.report("evaluate", 0, 1)
        corpus = None  # without probes nothing would be compared with it
        if self.plan.probes:
            corpus = await corpus_of(self.ledger, run, data_dir=self.plan.data_dir, parent=candidate.parent)
        yardstick = await would_serve(self.ledger, self.plan, self.guild_id)
        called, whys = _called(yardstick, champion)
        need = self._need(candidate, yardstick, folders.dataset)
        ancestors = (await self.ledger.lineage.versions(candidate.version))[1:]
        line = list((await memory.known({version: version for version in ancestors})).values())
        judged = partial(decide, limits=self.plan.verdict, need=need, line=line)
        names = {"base": None, **({"champion": yardstick.version} if yardstick else {})}
        found = await self.work(
            partial(
                evaluate,
                folders.dataset,
                final if final.is_dir() else folders.fitted,
                base=self.plan.base,
                champion=Path(yardstick.path) if yardstick else None,
                max_tokens=self.plan.recipe.max_tokens,
                packing=self.plan.recipe.packing,
                sampled_replies=self.sampled_replies,
                corpus=corpus,
                probes=self.plan.probes,
                toxic_prompts=self.plan.verdict.toxic_prompts,
                known=await memory.known(names),
                known_fresh=await memory.known(names, exams=("fresh",)),
                weaken=weakening(self.plan.verdict, need=need, line=line),
                seed=self.plan.recipe.seed,
                reporter=self.reporter,
                # Unlike a fit, an evaluation has no checkpoint: a night that is left ends it at once.
                cancelled=self.ending,
            )
        )
        await stop_if_withdrawn(self.ledger, run.id)
        self.report("verdict", 0, 1)
        found = replace(found, called=called)
        decision = await self.work(partial(judged, found))
        decision = replace(decision, reasons=(*decision.reasons, *found.notes, *whys))
        note_verdict(outcome, found, decision, max_rate=self.plan.verdict.max_rate)
        outcome.held_against = yardstick.version if yardstick else None
        await memory.keep_evaluation(
            run.id,
            found.scores,
            candidate=candidate.version,
            champion=yardstick.version if yardstick else None,
        )
        # Before the version is published: wherever the night is cut off, nobody can promote it without them.
        await self.ledger.adapters.set_metrics(candidate.version, outcome.metrics())
        await self.ledger.runs.advance(
            run.id,
            "evaluated",
            # A resumed run keeps this verdict only while the same version serves.
            champion=champion.version if champion else None,
            verdict=decision.verdict,
            reasons=list(decision.reasons),
            metrics=outcome.metrics(),
        )
        self.report("verdict", 1, 1)
        return decision

    @staticmethod
    def _need(candidate: Adapter, yardstick: Adapter | None, dataset: Path) -> Need:
        # That it knows what was said since has to be shown.
        grown = yardstick is not None and candidate.parent == yardstick.version and has_part(dataset, "fresh")
        return "grown" if grown else "gain"

    async def settle(self, run: Run, candidate: Adapter, decision: Decision, outcome: Outcome) -> None:
        self.stop_if_ending()
        self.report("promote", 0, 1)
        if decision.verdict == "promote":
            # By "night …" the ledger knows to ask for later opt-outs, which no promotion by hand does.
            await self.ledger.promotions.promote(
                self.guild_id, candidate.version, by=f"night {run.id}", run=run.id
            )
            outcome.stage = "promoted"
        else:
            await self.ledger.adapters.retire(candidate.version)
            outcome.stage = "kept"
            await self.ledger.runs.advance(run.id, "kept")
        self.report("promote", 1, 1)


__all__ = ["NightStages"]


def _called(yardstick: Adapter | None, champion: Adapter | None) -> tuple[str, tuple[str, ...]]:
    """Return what to call the version that the candidate is held against, and why that is not what serves."""
    if champion is None or (yardstick is not None and yardstick.version == champion.version):
        return "", ()
    name = yardstick.version if yardstick else "the bare base"
    why = (
        f"{champion.version} has to go, since it learned something that was deleted, so the candidate was "
        f"held against what would serve without it: {name}."
    )
    return "version that would serve without it", (why,)
