"""A night is killed at each of its steps, and the next start goes on from there to one honest verdict."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from ledger.settings import Settings, load_settings
from ledger.store import Ledger
from ledger.talk.prompts import FORM
from tests.trainer.conftest import GUILD, fill, night

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
    ("trainer.nights.night_stages:evaluate", "before", "fitted"),
    ("trainer.nights.night_stages:note_verdict", "after", "fitted"),
    ("ledger.learned.adapter_versions:Adapters.set_metrics", "after", "fitted"),
    ("trainer.nights.endings:write_report", "before", "evaluated"),
    ("trainer.nights.endings:publish", "before", "evaluated"),
    ("trainer.nights.endings:publish", "after", "evaluated"),
    ("ledger.learned.promotions:_saw_what_is_deleted", "before", "evaluated"),
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


CRASH = """
    import asyncio, os, signal, sys
    from pathlib import Path
    from ledger.settings import load_settings
    from ledger.store import Ledger
    from trainer.fitting.loop import Loop
    from ledger.forgetting.by_settings import forgetting_of
    from trainer.builders import plan_of
    from trainer.nights.night import Night
    original = Loop._save_checkpoint
    def save_and_die(self, *arguments, **options):
        original(self, *arguments, **options)
        os.kill(os.getpid(), signal.SIGKILL)
    Loop._save_checkpoint = save_and_die
    async def main():
        settings = load_settings(Path(sys.argv[1]))
        async with Ledger.open(settings.database) as ledger:
            await Night(ledger, plan_of(settings), int(sys.argv[2]),
                        forgetting=forgetting_of(settings, ledger), trigger="test").run()
    asyncio.run(main())
"""


def crash(config: Path) -> None:
    command = [sys.executable, "-c", textwrap.dedent(CRASH), str(config), str(GUILD)]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False)
    assert done.returncode == -signal.SIGKILL


async def cut_off_night(settings: Settings, config_file: Path) -> None:
    """Fill the ledger, and let a night be killed in its fit."""
    async with Ledger.open(settings.database) as ledger:
        await fill(ledger, 60)
    crash(config_file)


async def test_a_night_that_was_killed_goes_on_where_it_was(settings: Settings, config_file: Path) -> None:
    await cut_off_night(settings, config_file)
    async with Ledger.open(settings.database) as ledger:
        [run] = await ledger.runs.unfinished(GUILD)
        assert run.stage == "prepared"
        outcome = await night(ledger, settings)
        assert outcome.run == run.id
        assert outcome.stage in {"promoted", "kept"}
        assert outcome.fit["resumed_from"] > 0
        assert outcome.candidate == f"g{GUILD}-v000001"
        assert await ledger.runs.unfinished(GUILD) == []


async def test_a_cut_off_night_is_closed_when_somebody_in_it_has_opted_out(
    settings: Settings, config_file: Path
) -> None:
    await cut_off_night(settings, config_file)
    async with Ledger.open(settings.database) as ledger:
        [cut_off] = await ledger.runs.unfinished(GUILD)
        await ledger.consent.opt_out(GUILD, 11)
        outcome = await night(ledger, settings)
        assert outcome.run != cut_off.id
        closed = await ledger.runs.require(cut_off.id)
        assert closed.stage == "failed"
        assert closed.error is not None
        assert "cut off" in closed.error
        assert outcome.candidate == f"g{GUILD}-v000002"
        assert (await ledger.adapters.require(GUILD, f"g{GUILD}-v000001")).state == "deleted"


async def test_a_night_whose_dataset_has_another_form_of_prompts_begins_anew(
    settings: Settings, config_file: Path
) -> None:
    await cut_off_night(settings, config_file)
    async with Ledger.open(settings.database) as ledger:
        [cut_off] = await ledger.runs.unfinished(GUILD)
        manifest = settings.datasets_dir / cut_off.id / "manifest.json"
        fields = json.loads(manifest.read_text(encoding="utf-8"))
        assert fields.pop("form") == FORM
        manifest.write_text(json.dumps(fields), encoding="utf-8")  # as nights before forms had names
        assert (await night(ledger, settings)).run != cut_off.id
        assert (await ledger.runs.require(cut_off.id)).stage == "failed"
