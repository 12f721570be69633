"""Somebody is forgotten while a night learns from them: at each stage of it, that night promotes nothing."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ledger.clock import to_ms
from ledger.forgetting.deletion_path import Forgetting
from ledger.learned.outcome import Outcome
from ledger.settings import Settings
from ledger.store import Ledger
from tests.conftest import FakeClock
from tests.forgetting.trained import holding
from tests.trainer.conftest import CHANNEL, GUILD, introduce, talk
from trainer.builders import dataset_limits_of, plan_of
from trainer.nights import night_stages
from trainer.nights.night import Night
from trainer.preparing import dataset, dataset_files
from trainer.progress import StageProgress

MARK = "quetzalmarmalade7731"
BO = 12


@pytest.fixture
def quick(settings: Settings) -> Settings:
    """Settings under which a night of the tiny model takes a few seconds."""
    training = settings.training.model_copy(update={"epochs": 1, "batch_size": 8})
    leakage = settings.leakage.model_copy(update={"probes": 2})
    return settings.model_copy(update={"training": training, "leakage": leakage})


async def fill(ledger: Ledger) -> None:
    """Add 24 conversations in which each of Bo's messages holds the marker."""
    await ledger.writer.execute("UPDATE split_key SET key = ?", (b"tests",))
    await introduce(ledger)
    for number in range(24):
        await ledger.messages.add_many(
            replace(m, content=f"{m.content} {MARK}") if m.author_id == BO else m for m in talk(number)
        )


def forget_bo(settings: Settings) -> None:
    """Forget Bo as the bot does: in another thread here, with a ledger of its own."""

    async def work() -> None:
        async with Ledger.open(settings.database, clock=FakeClock()) as ledger:
            await forgetting_of(ledger, settings).person(GUILD, BO, asked_by="member")

    in_a_thread(work)


def in_a_thread(work: Callable[[], Any]) -> None:
    failures: list[Exception] = []

    def run() -> None:
        try:
            asyncio.run(work())
        except Exception as error:  # noqa: BLE001 - told below, where the test can see it
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert failures == []


def forgetting_of(ledger: Ledger, settings: Settings) -> Forgetting:
    return Forgetting(ledger, datasets_dir=settings.datasets_dir, runs_dir=settings.runs_dir)


async def night(ledger: Ledger, settings: Settings, **options: Any) -> Outcome:
    return await Night(
        ledger,
        plan_of(settings),
        GUILD,
        forgetting=forgetting_of(ledger, settings),
        trigger="test",
        sampled_replies=1,
        **options,
    ).run()


@pytest.mark.parametrize("stage", ["fit", "evaluate", "verdict", "promote"])
async def test_a_night_promotes_nothing_that_saw_somebody_who_is_forgotten_meanwhile(
    stage: str, quick: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    decide: Callable[..., Any] = vars(night_stages)["decide"]
    # However good it is: this night would promote.
    monkeypatch.setattr(
        night_stages,
        "decide",
        lambda *arguments, **options: replace(decide(*arguments, **options), verdict="promote", failed=()),
    )
    async with Ledger.open(quick.database, clock=FakeClock()) as ledger:
        await fill(ledger)
        told: list[str] = []

        def reporter(done: StageProgress) -> None:
            if done.stage == stage and stage not in told:
                told.append(stage)
                forget_bo(quick)

        outcome = await night(ledger, quick, reporter=reporter)
        assert told == [stage]
        second, first = await ledger.runs.of_guild(GUILD)
        assert first.stage == "cancelled"
        assert "deleted meanwhile" in str(first.error)
        assert (outcome.run, outcome.stage) == (second.id, "promoted")
        assert BO not in await authors_of(ledger, second.id)
        champion, candidate = await ledger.adapters.of_guild(GUILD)
        assert (champion.state, champion.run_id) == ("champion", second.id)
        assert candidate.state == "deleted"
        assert not Path(candidate.path).exists()
        assert not (quick.runs_dir / first.id).exists()
        assert not (quick.datasets_dir / first.id).exists()
        assert holding(MARK, quick.root / "data", quick.root / "models") == []


async def test_somebody_who_goes_on_editing_cannot_hold_up_everybodys_learning(quick: Settings) -> None:
    async with Ledger.open(quick.database, clock=FakeClock()) as ledger:
        await fill(ledger)
        edits = 0

        async def edit_one() -> None:
            async with Ledger.open(quick.database, clock=FakeClock()) as own:
                await own.consent.opt_in(GUILD, BO)
                message = (await own.messages.of_author(GUILD, BO))[edits]
                await forgetting_of(own, quick).messages(GUILD, [message.id], asked_by="edit")
                edited = replace(message, content="I would rather say it in other words", source="local")
                await own.messages.hear(edited)

        def reporter(done: StageProgress) -> None:
            nonlocal edits
            if done.stage == "evaluate" and done.step == done.steps:
                in_a_thread(edit_one)
                edits += 1

        outcome = await night(ledger, quick, reporter=reporter)
        second, first = await ledger.runs.of_guild(GUILD)
        assert edits == 2
        assert first.stage == "cancelled"
        assert (outcome.run, outcome.stage) == (second.id, second.stage)
        assert second.stage in {"promoted", "kept"}
        assert await authors_of(ledger, second.id) == {11, 13, 14}
        assert second.counts["left_out"]["by people who took something back during this night"] > 0


async def test_somebody_who_opts_out_meanwhile_ends_that_beginning_and_not_the_night(quick: Settings) -> None:
    async with Ledger.open(quick.database, clock=FakeClock()) as ledger:
        await fill(ledger)
        told: list[str] = []

        async def opt_out() -> None:
            async with Ledger.open(quick.database, clock=FakeClock()) as own:
                await own.consent.opt_out(GUILD, BO)

        def reporter(done: StageProgress) -> None:
            if done.stage == "evaluate" and not told:
                told.append(done.stage)
                in_a_thread(opt_out)

        outcome = await night(ledger, quick, reporter=reporter)
        second, first = await ledger.runs.of_guild(GUILD)
        assert first.stage == "cancelled"
        assert "opted out meanwhile" in str(first.error)
        assert outcome.run == second.id
        assert outcome.stage in {"promoted", "kept"}
        assert BO not in await authors_of(ledger, second.id)


async def test_somebody_forgotten_while_the_dataset_is_written_is_not_in_it_and_the_night_goes_on(
    quick: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, written = dataset_files.write_dataset, []

    def write_and_forget(directory: Path, *arguments: Any) -> None:
        original(directory, *arguments)
        written.append(bool(holding(MARK, directory)))
        if len(written) == 1:
            forget_bo(quick)

    monkeypatch.setattr(dataset, "write_dataset", write_and_forget)
    async with Ledger.open(quick.database, clock=FakeClock()) as ledger:
        await fill(ledger)
        outcome = await night(ledger, quick)
        assert written == [True, False], outcome
        assert outcome.stage in {"promoted", "kept"}
        assert BO not in await authors_of(ledger, outcome.run)
        assert holding(MARK, quick.root / "data", quick.root / "models") == []


async def test_a_folder_that_goes_while_it_is_written_is_written_again(
    quick: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, parts = dataset_files._write_part, []

    def write_and_forget(path: Path, talks: Any) -> Any:
        parts.append(path.name)
        if len(parts) == 2:
            forget_bo(quick)  # takes the half-written folder along
        return original(path, talks)

    monkeypatch.setattr(dataset_files, "_write_part", write_and_forget)
    async with Ledger.open(quick.database, clock=FakeClock()) as ledger:
        await fill(ledger)
        outcome = await night(ledger, quick)
        assert parts[:5] == ["train.jsonl", "val.jsonl", "train.jsonl", "val.jsonl", "test.jsonl"]
        assert len(parts) == len(set(parts)) + 2
        assert outcome.stage in {"promoted", "kept"}
        assert holding(MARK, quick.root / "data", quick.root / "models") == []


async def test_an_edit_while_the_dataset_is_written_leaves_none_of_the_old_words_in_it(
    quick: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, written = dataset_files.write_dataset, []

    async def edit_all() -> None:
        async with Ledger.open(quick.database, clock=FakeClock()) as ledger:
            await ledger.consent.opt_in(GUILD, BO)
            for message in await ledger.messages.of_author(GUILD, BO):
                await forgetting_of(ledger, quick).messages(GUILD, [message.id], asked_by="edit")
                edited = replace(message, content="I would rather not say that here", source="local")
                await ledger.messages.hear(edited)

    def write_and_edit(directory: Path, *arguments: Any) -> None:
        original(directory, *arguments)
        written.append(directory)
        if len(written) == 1:
            in_a_thread(edit_all)

    monkeypatch.setattr(dataset, "write_dataset", write_and_edit)
    async with Ledger.open(quick.database, clock=FakeClock()) as ledger:
        await fill(ledger)
        outcome = await night(ledger, quick)
        assert len(written) == 2
        assert BO in await authors_of(ledger, outcome.run)
        assert holding(MARK, quick.root / "data", quick.root / "models") == []


async def test_a_night_that_was_killed_before_its_list_was_written_leaves_no_dataset(quick: Settings) -> None:
    async with Ledger.open(quick.database, clock=FakeClock()) as ledger:
        await fill(ledger)
        run = await ledger.runs.create(GUILD, "test")
        await dataset.prepare(
            ledger, GUILD, quick.datasets_dir / run.id, dataset_limits_of(quick), bot_name="N", run=run.id
        )
        assert holding(MARK, quick.datasets_dir)
        await forgetting_of(ledger, quick).person(GUILD, BO, asked_by="member")
        assert holding(MARK, quick.root / "data") == []


async def test_the_next_night_trains_without_them_and_takes_the_old_version_away(quick: Settings) -> None:
    async with Ledger.open(quick.database, clock=FakeClock()) as ledger:
        await fill(ledger)
        first = await night(ledger, quick)
        assert BO in await authors_of(ledger, first.run)
        if first.stage == "kept":
            await ledger.promotions.promote(GUILD, str(first.candidate), by="test")
        receipt = await forgetting_of(ledger, quick).person(GUILD, BO, asked_by="member")
        assert [version.version for version in receipt.versions] == [first.candidate]
        assert receipt.versions[0].deleted_at is None
        now = to_ms(ledger.clock.now())
        for number in range(24, 40):
            said = [m for m in talk(number) if m.author_id != BO]
            await ledger.messages.add_many(replace(m, imported_at=now) for m in said)
        easy = quick.verdict.model_copy(update={"max_forgetting": 100.0})
        second = await night(ledger, quick.model_copy(update={"verdict": easy}))
        assert BO not in await authors_of(ledger, second.run)
        assert second.stage in {"promoted", "kept"}
        if second.stage == "kept":
            await ledger.promotions.promote(GUILD, str(second.candidate), by="test")
        await forgetting_of(ledger, quick).sweep()
        assert not (quick.adapters_dir / str(GUILD) / str(first.candidate)).exists()
        assert (await ledger.channels.get(CHANNEL)) is not None
        [later] = await ledger.deletions.of_person(GUILD, BO)
        assert later.versions[0].deleted_at is not None


async def authors_of(ledger: Ledger, run: str) -> set[int]:
    async with ledger.reader.execute("SELECT author_id FROM run_messages WHERE run_id = ?", (run,)) as cursor:
        return {int(row[0]) async for row in cursor}
