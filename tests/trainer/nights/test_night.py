"""The whole night on the tiny model, from rows in a ledger to a champion, and everything that can stop it."""

from __future__ import annotations

import asyncio
import json
from collections import namedtuple
from functools import partial
from pathlib import Path

import pytest

from engine.model.adapter_files import verify
from engine.model.loading import base_fingerprint
from ledger.errors import ConfigurationError, NightBusy
from ledger.process.locks import night_lock, night_lock_path
from ledger.settings import Settings
from ledger.store import Ledger
from tests.trainer.conftest import GUILD, changed, fill, night
from trainer.progress import StageProgress

ROOT = Path(__file__).resolve().parents[3]


async def test_a_night_learns_proves_and_promotes(ledger: Ledger, quick: Settings) -> None:
    await fill(ledger, 80)
    stages: list[str] = []

    def reporter(done: StageProgress) -> None:
        assert 0 <= done.step <= done.steps
        stages.append(done.stage)

    outcome = await night(ledger, quick, samples=4, reporter=reporter)
    assert outcome.stage == "promoted", (outcome.error, outcome.reasons)
    assert list(dict.fromkeys(stages)) == ["prepare", "fit", "evaluate", "verdict", "promote"]
    told = outcome.as_json()
    assert told["perplexity"]["candidate"] < told["perplexity"]["base"]
    assert told["perplexity"]["champion"] is None
    assert told["champion"] == told["candidate"] == f"g{GUILD}-v000001"
    assert len(told["samples"]) == 3
    assert set(told["samples"][0]) == {"context", "before", "after"}
    json.dumps(told)

    run = await ledger.runs.require(outcome.run)
    assert [stage for stage, _ in await ledger.runs.steps(run.id)] == [
        "planned",
        "prepared",
        "fitted",
        "evaluated",
        "promoted",
    ]
    assert run.verdict == "promote"
    assert run.counts["train_replies"] > 0
    champion = await ledger.adapters.champion(GUILD)
    assert champion is not None
    assert champion.metrics["scores"]["candidate"]["nll"] == told["nll"]["candidate"]
    assert await ledger.lineage.roles(GUILD, [m.id for m in await ledger.messages.of_guild(GUILD)])

    manifest = verify(Path(champion.path), base_fingerprint=base_fingerprint(quick.base_model()))
    assert manifest.fields["verdict"] == "promote"
    assert manifest.fields["metrics"]["interval"]["high"] < 0
    assert {"report.md", "report.json", "loss_curve.png"} <= {p.name for p in Path(champion.path).iterdir()}
    assert not (quick.runs_dir / run.id / "checkpoints").exists()


async def test_a_second_night_is_judged_against_the_champion_and_a_third_is_skipped(
    ledger: Ledger, quick: Settings
) -> None:
    await fill(ledger, 60)
    first = await night(ledger, quick, samples=4)
    await fill(ledger, 20, first=60)
    second = await night(ledger, quick, samples=4)
    assert second.scores["champion"]["replies"] == second.scores["candidate"]["replies"]
    assert "champion" in second.reasons[0]
    assert second.stage in {"promoted", "kept"}
    if second.stage == "kept":
        assert second.champion == first.candidate
        assert (await ledger.adapters.require(GUILD, str(second.candidate))).state == "retired"
        assert Path(str(second.report)).is_file()
    else:
        assert second.previous == first.candidate
    third = await night(ledger, quick, samples=4)
    assert third.stage == "skipped"
    assert third.verdict == "skip"
    assert third.exit_code == 0
    assert "replies are new since the last night" in third.reasons[0]
    assert third.champion == second.champion
    assert not (quick.datasets_dir / third.run).exists()


async def test_a_candidate_that_forgets_too_much_is_kept_out(ledger: Ledger, quick: Settings) -> None:
    await fill(ledger, 60)
    outcome = await night(ledger, changed(quick, "verdict", max_forgetting=0.0))
    if outcome.forgetting is not None and outcome.forgetting > 0:
        assert outcome.stage == "kept"
        assert outcome.champion is None
        assert await ledger.adapters.champion(GUILD) is None


async def test_two_nights_of_one_guild_cannot_run_at_once(ledger: Ledger, quick: Settings) -> None:
    await fill(ledger, 20)
    with night_lock(night_lock_path(quick.data_dir, GUILD)) as name:
        name("g7-the-first")
        with pytest.raises(NightBusy, match=r"under way already \(run g7-the-first, process \d+\)"):
            await night(ledger, quick, samples=4)
    assert await ledger.runs.of_guild(GUILD) == []


async def test_a_cancelled_night_says_so_and_changes_nothing(ledger: Ledger, quick: Settings) -> None:
    await fill(ledger, 60)
    fitting: list[int] = []

    def reporter(done: StageProgress) -> None:
        if done.stage == "fit":
            fitting.append(done.step)

    outcome = await night(ledger, quick, samples=4, reporter=reporter, cancelled=lambda: bool(fitting))
    assert outcome.stage == "cancelled"
    assert outcome.exit_code == 1
    assert outcome.champion is None
    run = await ledger.runs.require(outcome.run)
    assert run.stage == "cancelled"
    assert run.finished_at is not None
    [adapter] = await ledger.adapters.of_guild(GUILD)
    assert adapter.state == "deleted"
    with night_lock(night_lock_path(quick.data_dir, GUILD)):
        pass


async def test_no_disk_space_fails_the_night_with_one_sentence_and_loses_nothing(
    ledger: Ledger, quick: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(ledger, 60)
    messages = await ledger.messages.count(GUILD)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("trainer.fitting.preflight.shutil.disk_usage", lambda path: usage(10, 9, 1_000_000))
    outcome = await night(ledger, quick, samples=4)
    assert outcome.stage == "failed"
    assert outcome.error is not None
    assert "make room" in outcome.error
    assert (await ledger.runs.require(outcome.run)).error == outcome.error
    assert await ledger.messages.count(GUILD) == messages


async def test_a_missing_base_model_fails_the_night_with_the_fix(ledger: Ledger, quick: Settings) -> None:
    await fill(ledger, 60)
    outcome = await night(ledger, changed(quick, "model", base="/nowhere/at-all"))
    assert outcome.stage == "failed"
    assert outcome.error is not None
    assert "/nowhere/at-all" in outcome.error


async def test_a_champion_that_was_altered_does_not_stop_the_night(ledger: Ledger, quick: Settings) -> None:
    await fill(ledger, 60)
    first = await night(ledger, quick, samples=4)
    assert first.stage == "promoted"
    champion = await ledger.adapters.champion(GUILD)
    assert champion is not None
    weights = Path(champion.path) / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes() + b"\0")
    await fill(ledger, 20, first=60)
    second = await night(ledger, quick, samples=4)
    assert second.stage in {"promoted", "kept"}
    assert "bare base" in second.reasons[0]
    assert "was altered" in second.reasons[-1]


async def test_a_tracker_that_is_missing_fails_the_night_before_it_trains(
    ledger: Ledger, quick: Settings
) -> None:
    await fill(ledger, 60)
    outcome = await night(ledger, changed(quick, "training", trackers=("wandb",)))
    assert outcome.stage == "failed"
    assert "pip install wandb" in str(outcome.error)
    assert issubclass(ConfigurationError, Exception)


@pytest.mark.real_model
@pytest.mark.slow
# Two nights in float32 beside another test: 300 s were too few on a CPU with AVX2 alone.
@pytest.mark.timeout(1200)
async def test_the_small_real_model_learns_a_sample_days_talk(
    ledger: Ledger, settings: Settings, small_real_model: Path
) -> None:
    await fill(ledger, 60)
    real = changed(settings, "model", base=str(small_real_model), dtype="auto")
    real = changed(real, "training", epochs=1, learning_rate=5e-4, lora_r=8, accumulation_steps=2)
    real = changed(real, "dataset", first_night_tokens=6000, max_heldout_replies=16)
    # Talks of one pattern are completed word by word without being known by heart: the gate's own tests
    # judge recitals, this one whether a real model learns.
    real = changed(changed(real, "verdict", max_forgetting=0.5), "leakage", probes=4, max_rate=0.5)
    outcome = await night(ledger, real)
    assert outcome.stage == "promoted", (outcome.error, outcome.reasons)
    assert outcome.scores["candidate"]["nll"] < outcome.scores["base"]["nll"] - 0.1


async def test_preparing_and_evaluating_count_what_they_do_and_are_full_at_their_end_alone(
    ledger: Ledger, quick: Settings
) -> None:
    await fill(ledger, 40)
    told: dict[str, list[tuple[int, int]]] = {}

    def reporter(done: StageProgress) -> None:
        told.setdefault(done.stage, []).append((done.step, done.steps))

    outcome = await night(ledger, changed(quick, "training", epochs=1), samples=4, reporter=reporter)
    assert outcome.recitals["probes"]
    for stage in ("prepare", "evaluate"):
        *before, last = told[stage]
        assert last[0] == last[1]
        assert all(step < steps for step, steps in before)
    scored = outcome.scores["candidate"]
    # Examples of two models, four replies of each, each probe greedily and sampled.
    assert told["evaluate"][-1][1] >= 2 * scored["conversations"] + 2 * 4 + 2 * outcome.recitals["probes"]


async def test_a_night_waits_for_the_trainer_of_a_bot_that_was_killed(quick: Settings) -> None:
    async with Ledger.open(quick.database) as ledger:
        await ledger.guilds.ensure(GUILD, "Shed")
        held = night_lock(night_lock_path(quick.data_dir, GUILD))
        held.__enter__()
        asyncio.get_running_loop().call_later(0.3, partial(held.__exit__, None, None, None))
        outcome = await night(ledger, quick, samples=4, lock_seconds=10)
        assert outcome.stage == "skipped"


async def test_a_night_that_waits_for_another_can_be_cancelled(quick: Settings) -> None:
    async with Ledger.open(quick.database) as ledger:
        with night_lock(night_lock_path(quick.data_dir, GUILD)), pytest.raises(NightBusy):
            await night(ledger, quick, samples=4, lock_seconds=60, cancelled=lambda: True)
