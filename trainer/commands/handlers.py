"""What the commands that prepare, fit and evaluate do, and what they tell a person or a script.

Model libraries are imported inside the commands that need them: loading them takes seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ledger.errors import AdapterError, DatasetError
from ledger.learned.version_names import VERSION, version_folder
from ledger.process.extras import require
from ledger.settings import Settings, load_settings
from trainer.commands import lines, record_commands
from trainer.commands.console import finish, ledger_of
from trainer.fitting.processes import Processes
from trainer.progress import Bars, JsonLines, Reporter, nobody, silent
from trainer.stopping import Stop, leave_process, stoppable

NICENESS = 10
"""Training gives way to the bot and the engine on the same machine."""
LOCK_SECONDS = 30.0
"""How long a night that a program started waits for another night of the guild to end."""


def handle(options: argparse.Namespace) -> int:
    """Run the command that ``options`` names; return its exit code.

    Raises:
        NightschoolError: it was refused or failed; the text is one sentence.
    """
    settings = load_settings(options.config)
    handler = _HANDLERS[options.command]
    if options.command in _HEAVY:
        require("engine", "trainer")
        os.nice(NICENESS)
        is_watched = getattr(options, "progress", False)
        # Read before the libraries load, which takes seconds: a bot that dies meanwhile is missed as well.
        options.parent = os.getppid() if is_watched else None
        if is_watched:
            # Nothing has begun yet: a cancel ends the process at once, not after the libraries are loaded.
            signal.signal(signal.SIGINT, signal.SIG_DFL)
        from trainer.fitting.instruments import quieten_libraries

        quieten_libraries()
    return handler(settings, options)


@contextmanager
def _reporter(options: argparse.Namespace, run: str = "") -> Iterator[Reporter]:
    if not Processes.from_environment().is_main:
        yield silent
    elif options.progress:
        yield JsonLines(sys.stdout, run)
    elif sys.stderr.isatty():
        bars = Bars()
        try:
            yield bars
        finally:
            bars.close()
    else:
        yield silent


def _night(settings: Settings, options: argparse.Namespace) -> int:
    from ledger.forgetting.by_settings import forgetting_of
    from trainer.builders import plan_of
    from trainer.nights.night import Night

    plan = plan_of(settings)

    async def work(stop: Stop, reporter: Reporter) -> Any:
        async with ledger_of(settings, options) as ledger:
            return await Night(
                ledger,
                plan,
                await ledger.guilds.the_only(options.guild),
                forgetting=forgetting_of(settings, ledger),
                trigger=options.trigger,
                reporter=reporter,
                cancelled=stop.cancelled.is_set,
                leaving=stop.leaving.is_set,
                lock_seconds=LOCK_SECONDS if options.progress else 0.0,
                sampled_replies=options.samples,
                on_run=lambda run: reporter.name(run) if isinstance(reporter, JsonLines) else None,
            ).run()

    with stoppable(parent=options.parent) as stop, _reporter(options) as reporter:
        outcome = asyncio.run(work(stop, reporter))
        try:
            finish(options, outcome.as_json(), lines.outcome(outcome), outcome.exit_code)
        except BrokenPipeError:
            sys.stdout = nobody()  # whoever watched was killed; the ledger has the record
        return leave_process(outcome.exit_code)


def _prepare(settings: Settings, options: argparse.Namespace) -> int:
    from trainer.builders import dataset_limits_of
    from trainer.preparing.dataset import prepare

    async def work() -> Any:
        async with ledger_of(settings, options) as ledger:
            guild = await ledger.guilds.the_only(options.guild)
            name = f"g{guild}-by-hand-{ledger.clock.now():%Y%m%dT%H%M%S}"
            while True:
                known = await ledger.deletions.newest(guild)
                prepared = await prepare(
                    ledger,
                    guild,
                    options.out or settings.datasets_dir / name,
                    dataset_limits_of(settings),
                    bot_name=settings.bot.name,
                    discord_permission=settings.policy.discord_permission,
                )
                if await ledger.deletions.newest(guild) == known:
                    return prepared
                # Something was deleted meanwhile: the dataset is written again, without it.
                shutil.rmtree(prepared.directory, ignore_errors=True)

    prepared = asyncio.run(work())
    result = {"dataset": str(prepared.directory), "counts": prepared.counts}
    return finish(options, result, [f"Wrote {prepared.directory}.", *lines.counts(prepared.counts)])


def _fit(settings: Settings, options: argparse.Namespace) -> int:
    from trainer.builders import base_of, recipe_of
    from trainer.fitting.finetune import fit

    begun = options.dataset.is_dir()
    out = options.out or settings.runs_dir / f"fit-{options.dataset.resolve().name}" / "adapter"
    work = out.parent / f"{out.name}-work"
    start = _adapter_dir(settings, options.start) if options.start else None
    if start is not None and not start.is_dir():
        raise AdapterError(f"There is no adapter folder {start}; see: python -m trainer adapters.")
    try:
        with stoppable(parent=options.parent) as stop, _reporter(options) as reporter:
            result = fit(
                options.dataset,
                out,
                base=base_of(settings),
                recipe=recipe_of(settings),
                work_dir=work,
                version=f"by-hand-{out.parent.name}",
                start=start,
                reporter=reporter,
                cancelled=stop.cancelled.is_set,
                leaving=stop.leaving.is_set,
            )
    finally:
        forgotten = begun and not options.dataset.is_dir()
        if forgotten:
            for folder in (out, work):
                shutil.rmtree(folder, ignore_errors=True)
    if forgotten:
        raise DatasetError(
            f"The dataset {options.dataset} was deleted while it was learned from, since somebody's words "
            "in it were: what had been learned is deleted, too. Prepare it again."
        )
    if not Processes.from_environment().is_main:
        return 0  # of several processes that fitted together, one says what came of it
    figures = {"adapter": str(out), **result.figures()}
    return finish(options, figures, [f"Wrote {out}.", *lines.figures(result.figures())])


def _evaluate(settings: Settings, options: argparse.Namespace) -> int:
    from trainer.builders import base_of, verdict_limits_of
    from trainer.evaluating.evaluation import evaluate
    from trainer.judging.comparison import decide, interval_of
    from trainer.preparing.dataset_files import read_manifest

    adapter = _adapter_dir(settings, options.adapter)
    champion = _adapter_dir(settings, options.champion) if options.champion else None
    for folder in (adapter, champion):
        if folder is not None and not folder.is_dir():
            raise AdapterError(f"There is no adapter folder {folder}; see: python -m trainer adapters.")
    read_manifest(options.dataset)  # a broken dataset is reported before the base model is loaded
    with stoppable(parent=options.parent) as stop, _reporter(options) as reporter:
        found = evaluate(
            options.dataset,
            adapter,
            base=base_of(settings),
            champion=champion,
            max_tokens=settings.training.max_tokens,
            packing=settings.training.packing,
            sampled_replies=options.samples,
            seed=settings.training.seed,
            reporter=reporter,
            cancelled=stop,
        )
    decision = decide(found, verdict_limits_of(settings))
    scores = {name: score.figures() for name, score in found.scores.items()}
    reasons = [*decision.reasons, *found.notes]
    result = {
        "scores": scores,
        "verdict": decision.verdict,
        "reasons": reasons,
        "interval": interval_of(decision),
        "forgetting": decision.forgetting,
        "samples": list(found.samples),
    }
    return finish(options, result, [*lines.scores(scores), *reasons])


def _adapter_dir(settings: Settings, named: str) -> Path:
    """Return the folder that ``named`` means: a path, or the folder of a version."""
    if VERSION.fullmatch(named):
        return version_folder(settings.adapters_dir, named)
    return Path(named)


_HEAVY = frozenset({"night", "fit", "evaluate"})
_HANDLERS: dict[str, Callable[[Settings, argparse.Namespace], int]] = {
    "night": _night,
    "prepare": _prepare,
    "fit": _fit,
    "evaluate": _evaluate,
    "import": record_commands.import_command,
    "export": record_commands.export_command,
    "adapters": record_commands.adapters_command,
    "promote": record_commands.promote_command,
    "rollback": record_commands.rollback_command,
    "quarantine": record_commands.quarantine_command,
    "runs": record_commands.runs_command,
    "report": record_commands.report_command,
}

__all__ = ["handle"]
