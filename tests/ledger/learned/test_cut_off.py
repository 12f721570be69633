"""Runs whose process died: closed with a reason, their candidates given up, all else left alone."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest

from ledger.learned.cut_off import close_cut_off, discard_candidate
from ledger.records import Adapter
from ledger.store import Ledger


async def begun(house: Ledger, folder: Path, *, guild_id: int = 1, has_files: bool = True) -> Adapter:
    """Begin a night that has come to a candidate."""
    run = await house.runs.create(guild_id, "night")
    adapter = await house.adapters.reserve(guild_id, run.id, adapters_dir=str(folder), base_model="tiny")
    if has_files:
        Path(adapter.path).mkdir(parents=True)
    return adapter


async def state(house: Ledger, adapter: Adapter) -> str:
    return (await house.adapters.require(adapter.guild_id, adapter.version)).state


@pytest.mark.parametrize("stage", ["failed", "cancelled"])
async def test_all_open_runs_of_a_guild_are_closed_with_the_reason_oldest_first(
    house: Ledger, stage: Literal["failed", "cancelled"]
) -> None:
    runs = []
    for _ in range(3):
        runs.append((await house.runs.create(1, "night")).id)
        house.clock.advance(minutes=1)  # type: ignore[attr-defined]
    await house.runs.advance(runs[1], "kept")
    elsewhere = await house.runs.create(11, "night")
    assert await close_cut_off(house, 1, stage, "the machine stopped") == [runs[0], runs[2]]
    for number in (0, 2):
        closed = await house.runs.require(runs[number])
        assert (closed.stage, closed.error) == (stage, "the machine stopped")
        assert closed.finished_at is not None
    assert (await house.runs.require(runs[1])).stage == "kept"
    assert not (await house.runs.require(elsewhere.id)).finished
    assert await close_cut_off(house, 1, stage, "once more") == []


async def test_a_candidate_with_files_is_retired_and_one_without_is_gone(
    house: Ledger, tmp_path: Path
) -> None:
    whole = await begun(house, tmp_path)
    empty = await begun(house, tmp_path, has_files=False)
    elsewhere = await begun(house, tmp_path, guild_id=11)
    await close_cut_off(house, 1, "failed", "the machine stopped")
    assert [await state(house, adapter) for adapter in (whole, empty, elsewhere)] == [
        "retired",
        "deleted",
        "candidate",
    ]


async def test_a_version_that_serves_is_no_candidate_any_more_and_goes_on_serving(
    house: Ledger, tmp_path: Path
) -> None:
    champion = await begun(house, tmp_path)
    await house.promotions.promote(1, champion.version, by="night")
    await discard_candidate(house, 1, champion.run_id)
    assert await state(house, champion) == "champion"


async def test_another_runs_candidate_is_left_to_its_run(house: Ledger, tmp_path: Path) -> None:
    own, other = await begun(house, tmp_path), await begun(house, tmp_path)
    await discard_candidate(house, 1, own.run_id)
    assert (await state(house, own), await state(house, other)) == ("retired", "candidate")


async def test_a_candidate_that_never_had_files_no_longer_knows_whose_words_it_was_to_learn(
    house: Ledger, tmp_path: Path
) -> None:
    adapter = await begun(house, tmp_path, has_files=False)
    await house.runs.learned_from(adapter.run_id, [(70, 7)])
    await discard_candidate(house, 1, adapter.run_id)
    assert not await house.deletions.knows_words_of(adapter.run_id)
