"""A night is killed at each of its steps, and the next start goes on from there to one honest verdict."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from ledger.errors import AdapterError, LedgerError
from ledger.forgetting.by_settings import forgetting_of
from ledger.learned.outcome import Outcome
from ledger.settings import Settings, load_settings
from ledger.store import Ledger
from tests.trainer.conftest import GUILD, fill
from trainer.builders import plan_of
from trainer.nights.night import Night

ROOT = Path(__file__).resolve().parents[3]

DIES = """
    import asyncio, importlib, os, signal, sys
    from pathlib import Path
    from ledger.settings import load_settings
    from ledger.store import Ledger
    from ledger.forgetting.by_settings import forgetting_of
    from trainer.builders import plan_of
    from trainer.nights.night import Night
    config, guild, step, when = sys.argv[1:]
    module, _, names = step.partition(":")
    owner = importlib.import_module(module)
    *path, name = names.split(".")
    for part in path:
        owner = getattr(owner, part)
    original = getattr(owner, name)
    def die(*arguments, **options):
        if when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = original(*arguments, **options)
        if asyncio.iscoroutine(result):
            async def finished():
                await result
                os.kill(os.getpid(), signal.SIGKILL)
            return finished()
        os.kill(os.getpid(), signal.SIGKILL)
    setattr(owner, name, die)
    async def main():
        settings = load_settings(Path(config))
        async with Ledger.open(settings.database) as ledger:
            await Night(ledger, plan_of(settings), int(guild), forgetting=forgetting_of(settings, ledger),
                        trigger="test", sampled_replies=1).run()
    asyncio.run(main())
"""

STEPS = [
    ("trainer.preparing.dataset:write_dataset", "before", "planned"),
    ("trainer.preparing.dataset:write_dataset", "after", "planned"),
    ("ledger.learned.runs:Runs.learned_from", "after", "planned"),
    ("trainer.nights.night:clear_leftovers", "after", "prepared"),
    ("trainer.fitting.finetune:_write_whole", "before", "prepared"),
    ("trainer.fitting.finetune:_write_whole", "after", "prepared"),
    ("trainer.fitting.finetune:_Fitting._save", "after", "prepared"),
    ("trainer.nights.night:evaluate", "before", "fitted"),
    ("trainer.nights.night:note_verdict", "after", "fitted"),
    ("ledger.learned.adapter_versions:Adapters.set_metrics", "after", "fitted"),
    ("trainer.nights.endings:write_report", "before", "evaluated"),
    ("trainer.nights.endings:publish", "before", "evaluated"),
    ("trainer.nights.endings:publish", "after", "evaluated"),
    ("ledger.learned.adapter_versions:_saw_what_is_deleted", "before", "evaluated"),
]


def kill_at(config: Path, step: str, when: str) -> None:
    command = [sys.executable, "-c", textwrap.dedent(DIES), str(config), str(GUILD), step, when]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    assert subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode == -signal.SIGKILL


@pytest.fixture
def small(config_file: Path) -> Path:
    """Settings under which a night promotes whatever it learns."""
    text = config_file.read_text(encoding="utf-8")
    config_file.write_text(text + "[leakage]\nprobes = 0\n", encoding="utf-8")
    return config_file


@pytest.mark.slow
@pytest.mark.parametrize(("step", "when", "stage"), STEPS)
async def test_a_night_killed_at_any_step_comes_to_its_end_at_the_next_start(
    step: str, when: str, stage: str, small: Path
) -> None:
    settings = load_settings(small)
    async with Ledger.open(settings.database) as ledger:
        await fill(ledger, 60)
    kill_at(small, step, when)
    async with Ledger.open(settings.database) as ledger:
        [cut_off] = await ledger.runs.unfinished(GUILD)
        assert cut_off.stage == stage
        outcome = await night(ledger, settings)
        assert outcome.stage in {"promoted", "kept"}, outcome.error
        assert (outcome.run == cut_off.id) == (stage != "planned")
        if stage == "evaluated":
            assert outcome.reasons == cut_off.reasons
            assert outcome.scores == cut_off.metrics["scores"]
        await one_honest_end(ledger, outcome.run)


async def night(ledger: Ledger, settings: Settings) -> Outcome:
    return await Night(
        ledger,
        plan_of(settings),
        GUILD,
        forgetting=forgetting_of(settings, ledger),
        trigger="test",
        sampled_replies=1,
    ).run()


async def one_honest_end(ledger: Ledger, run_id: str) -> None:
    """Check that one version came of it, judged against the base, and that nothing is left open."""
    run = await ledger.runs.require(run_id)
    assert await ledger.runs.unfinished(GUILD) == []
    [adapter] = [a for a in await ledger.adapters.of_guild(GUILD) if a.state != "deleted"]
    assert adapter.run_id == run_id
    assert adapter.state == ("champion" if run.stage == "promoted" else "retired")
    assert "bare base" in run.reasons[0]
    assert set(adapter.metrics["scores"]) == {"base", "candidate"}
    assert Path(adapter.path, "report.md").is_file()


async def test_the_promotion_and_the_end_of_its_run_are_one_transaction(ledger: Ledger) -> None:
    await ledger.guilds.ensure(GUILD, "Shed")
    run = await ledger.runs.create(GUILD, "test")
    adapter = await ledger.adapters.reserve(GUILD, run.id, adapters_dir="models", base_model="m")
    await ledger.runs.advance(run.id, "evaluated", candidate=adapter.version, verdict="promote")
    await ledger.adapters.promote(GUILD, adapter.version, by=f"night {run.id}", run=run.id)
    ended = await ledger.runs.require(run.id)
    assert (ended.stage, ended.champion) == ("promoted", adapter.version)
    assert ended.finished_at is not None
    assert [stage for stage, _ in await ledger.runs.steps(run.id)][-1] == "promoted"
    with pytest.raises(LedgerError, match="finished"):
        await ledger.adapters.promote(GUILD, adapter.version, by="again", run=run.id)


async def test_a_promotion_that_is_refused_leaves_its_run_open(ledger: Ledger) -> None:
    await ledger.guilds.ensure(GUILD, "Shed")
    run = await ledger.runs.create(GUILD, "test")
    adapter = await ledger.adapters.reserve(GUILD, run.id, adapters_dir="models", base_model="m")
    await ledger.runs.learned_from(run.id, [(1, 11)])
    await ledger.deletions.begin(GUILD, "messages", [1], asked_by="test", keep_ms=0)
    with pytest.raises(AdapterError, match="was deleted since"):
        await ledger.adapters.promote(GUILD, adapter.version, by="night", run=run.id)
    open_still = await ledger.runs.require(run.id)
    assert (open_still.stage, open_still.finished_at) == ("planned", None)
    assert await ledger.adapters.champion(GUILD) is None
