"""Versions grow from versions: what a parent learned, its children know, and a deletion reaches them all."""

from __future__ import annotations

from pathlib import Path

import pytest

from ledger.errors import AdapterError, ParentTainted
from ledger.records import LEARNED, ROLES, Role
from ledger.store import Ledger

GUILD = 1


async def grown(
    house: Ledger, tmp_path: Path, seen: dict[int, int], parent: str | None = None, role: Role = "target"
) -> str:
    """Return a version that learned the messages, by id and author, starting from ``parent``."""
    run = await house.runs.create(GUILD, "test")
    await house.runs.learned_from(run.id, seen.items(), roles=dict.fromkeys(seen, role))
    adapter = await house.adapters.reserve(
        GUILD, run.id, adapters_dir=str(tmp_path), base_model="tiny", parent=parent
    )
    await house.promotions.promote(GUILD, adapter.version, by="test")
    await house.runs.advance(run.id, "kept")
    return adapter.version


async def forget(house: Ledger, message: int) -> set[str]:
    """Forget one message; return the versions that are tainted by now."""
    await house.deletions.begin(GUILD, "messages", [message], asked_by="test", keep_ms=1000)
    return {tainted.adapter.version for tainted in await house.deletions.tainted()}


async def test_a_version_knows_what_its_ancestors_learned(house: Ledger, tmp_path: Path) -> None:
    first = await grown(house, tmp_path, {1: 11})
    second = await grown(house, tmp_path, {2: 12}, first)
    third = await grown(house, tmp_path, {3: 11}, second, "context")
    assert await house.lineage.versions(third) == [third, second, first]
    assert await house.lineage.targets_of(third) == {1, 2}
    assert await house.lineage.seen_by(third) == {1, 2, 3}
    assert await house.lineage.seen_by(first) == {1}


async def test_a_deletion_taints_every_descendant_and_no_other(house: Ledger, tmp_path: Path) -> None:
    first = await grown(house, tmp_path, {1: 11})
    second = await grown(house, tmp_path, {2: 12}, first)
    third = await grown(house, tmp_path, {3: 11}, second)
    aside = await grown(house, tmp_path, {4: 11}, first)
    assert await forget(house, 2) == {second, third}
    assert [adapter.version for adapter in await house.promotions.clean(GUILD)] == [aside, first]
    assert await forget(house, 1) == {first, second, third, aside}


async def test_what_was_scored_alone_costs_its_files_and_no_version(house: Ledger, tmp_path: Path) -> None:
    first = await grown(house, tmp_path, {1: 11}, role="exam")
    run = (await house.adapters.require(GUILD, first)).run_id
    assert await forget(house, 1) == set()
    assert await house.deletions.is_tainted(run)  # its dataset holds the words
    [deletion] = await house.deletions.since(0)
    assert await house.deletions.runs_touched(deletion.id) == [run]
    assert await house.adapters.is_clean(first)


@pytest.mark.parametrize("role", LEARNED)
async def test_every_way_of_learning_taints(house: Ledger, tmp_path: Path, role: Role) -> None:
    version = await grown(house, tmp_path, {1: 11}, role=role)
    assert await forget(house, 1) == {version}


async def test_a_fit_cannot_start_from_what_learned_something_deleted(house: Ledger, tmp_path: Path) -> None:
    first = await grown(house, tmp_path, {1: 11})
    await forget(house, 1)
    with pytest.raises(ParentTainted, match="learned from something that was deleted"):
        await grown(house, tmp_path, {2: 12}, first)


async def test_a_deletion_finds_a_night_under_way_by_the_version_that_it_started_from(
    house: Ledger, tmp_path: Path
) -> None:
    first = await grown(house, tmp_path, {1: 11})
    run = await house.runs.create(GUILD, "test")
    await house.adapters.reserve(GUILD, run.id, adapters_dir=str(tmp_path), base_model="tiny", parent=first)
    assert not await house.deletions.is_tainted(run.id)
    await forget(house, 1)
    assert await house.deletions.is_tainted(run.id)


async def test_an_ancestors_list_stays_until_the_last_descendant_is_gone(
    house: Ledger, tmp_path: Path
) -> None:
    first = await grown(house, tmp_path, {1: 11})
    second = await grown(house, tmp_path, {2: 12}, first)
    await house.deletions.version_deleted(await house.adapters.require(GUILD, first))
    assert await house.lineage.seen_by(second) == {1, 2}
    assert await forget(house, 1) == {second}  # although the first version's files are gone
    await house.deletions.version_deleted(await house.adapters.require(GUILD, second))
    assert await house.lineage.seen_by(second) == set()
    assert await house.lineage.seen_by(first) == set()


async def test_a_person_is_shown_every_version_that_knows_their_words(house: Ledger, tmp_path: Path) -> None:
    first = await grown(house, tmp_path, {1: 11})
    second = await grown(house, tmp_path, {2: 12}, first)
    runs = [(await house.adapters.require(GUILD, version)).run_id for version in (first, second)]
    assert await house.runs.runs_with_author(GUILD, 11) == sorted(runs)
    assert await house.runs.runs_with_author(GUILD, 12) == [runs[1]]


async def test_a_message_used_twice_has_the_role_in_which_it_was_learned_most(
    house: Ledger, tmp_path: Path
) -> None:
    for role in reversed(ROLES):
        await grown(house, tmp_path, {1: 11}, role=role)
    assert await house.lineage.roles(GUILD, [1, 2]) == {1: "target"}
    assert await house.lineage.roles(999, [1, 2]) == {}


async def test_each_ledger_has_a_key_of_its_own(tmp_path: Path) -> None:
    keys = []
    for name in ("one.db", "two.db", "one.db"):
        async with Ledger.open(tmp_path / name) as ledger:
            keys.append(await ledger.lineage.split_key())
    assert len(keys[0]) == 32
    assert keys[0] == keys[2] != keys[1]


async def test_nothing_grows_from_another_servers_version(house: Ledger, tmp_path: Path) -> None:
    first = await grown(house, tmp_path, {1: 11})
    await house.guilds.ensure(11, "Elsewhere")
    run = await house.runs.create(11, "test")
    with pytest.raises(AdapterError, match="another server"):
        await house.adapters.reserve(11, run.id, adapters_dir=str(tmp_path), base_model="tiny", parent=first)
    assert await house.adapters.of_guild(11) == []


async def test_a_fit_cannot_start_from_a_version_whose_files_age_took_meanwhile(
    house: Ledger, tmp_path: Path
) -> None:
    first = await grown(house, tmp_path, {1: 11})
    await house.deletions.version_deleted(await house.adapters.require(GUILD, first))
    with pytest.raises(ParentTainted, match="deleted since"):
        await grown(house, tmp_path, {2: 12}, first)


async def test_a_deletion_reaches_descendants_through_a_version_whose_files_are_gone(
    house: Ledger, tmp_path: Path
) -> None:
    first = await grown(house, tmp_path, {1: 11})
    second = await grown(house, tmp_path, {2: 12}, first)
    third = await grown(house, tmp_path, {3: 13}, second)
    for version in (first, second):
        await house.deletions.version_deleted(await house.adapters.require(GUILD, version))
    assert await forget(house, 1) == {third}
    await grown(house, tmp_path, {4: 14})  # serves, so that the third would have to be promoted again
    with pytest.raises(AdapterError, match="deleted since"):
        await house.promotions.promote(GUILD, third, by="an admin")


async def test_nothing_starts_from_what_was_rolled_back_from_until_it_is_promoted_again(
    house: Ledger, tmp_path: Path
) -> None:
    first, second = await grown(house, tmp_path, {1: 11}), await grown(house, tmp_path, {2: 12})

    async def clean() -> list[str]:
        return [adapter.version for adapter in await house.promotions.clean(GUILD)]

    assert await clean() == [second, first]
    await house.promotions.rollback(GUILD, by="watch")
    assert await clean() == [first]
    await house.promotions.rollback(GUILD, by="an admin")  # to the bare base
    assert await clean() == []
    await house.promotions.promote(GUILD, second, by="an admin")
    assert await clean() == [second]


async def test_what_was_left_behind_is_nothing_to_start_from(house: Ledger, tmp_path: Path) -> None:
    first = await grown(house, tmp_path, {1: 11})
    second = await grown(house, tmp_path, {2: 12}, first)
    assert [adapter.version for adapter in await house.promotions.clean(GUILD)] == [second, first]
    await house.promotions.rollback(GUILD, by="watch")
    assert [adapter.version for adapter in await house.promotions.clean(GUILD)] == [first]
    await house.promotions.promote(GUILD, second, by="an admin after all")
    assert [adapter.version for adapter in await house.promotions.clean(GUILD)] == [second, first]
    await house.promotions.rollback(GUILD, by="test")
    await house.promotions.rollback(GUILD, by="test")
    assert await house.promotions.clean(GUILD) == []  # the bare base serves, on purpose


async def test_nothing_grows_from_what_is_rolled_back_from_while_a_night_runs(
    house: Ledger, tmp_path: Path
) -> None:
    await grown(house, tmp_path, {1: 11})
    second = await grown(house, tmp_path, {2: 12})
    run = await house.runs.create(GUILD, "test")
    begun = await house.adapters.reserve(
        GUILD, run.id, adapters_dir=str(tmp_path), base_model="tiny", parent=second
    )
    await house.promotions.rollback(GUILD, by="an admin")
    with pytest.raises(AdapterError, match="rolled back from meanwhile"):
        await house.promotions.promote(GUILD, begun.version, by=f"night {run.id}", run=run.id)
    with pytest.raises(ParentTainted, match="rolled back from"):
        await grown(house, tmp_path, {3: 11}, second)
    assert (await house.promotions.promote(GUILD, begun.version, by="an admin")).state == "champion"
