"""Adapter versions: numbers that are never reused, names, and where their files lie."""

from __future__ import annotations

import pytest

from ledger.errors import AdapterError
from ledger.learned.version_names import version_name
from ledger.store import Ledger
from tests.looking import note_files_gone

V1, V2, V3, V4 = (version_name(1, number) for number in range(1, 5))


async def reserve(ledger: Ledger, guild: int = 1) -> str:
    run = await ledger.runs.create(guild, "test")
    adapter = await ledger.adapters.reserve(guild, run.id, adapters_dir="models/adapters", base_model="tiny")
    return adapter.version


async def states(ledger: Ledger) -> dict[str, str]:
    return {adapter.version: adapter.state for adapter in await ledger.adapters.of_guild(1)}


async def test_a_candidate_gets_the_next_number_and_its_own_folder(house: Ledger) -> None:
    run = await house.runs.create(1, "test")
    first = await house.adapters.reserve(1, run.id, adapters_dir="adapters", base_model="tiny")
    assert (first.version, first.state, first.run_id) == ("g1-v000001", "candidate", run.id)
    assert first.path == "adapters/1/g1-v000001"
    assert await reserve(house) == "g1-v000002"
    assert await reserve(house, guild=11) == "g11-v000001"


async def test_a_run_that_resumes_gets_its_version_again(house: Ledger) -> None:
    run = await house.runs.create(1, "test")
    twice = [
        await house.adapters.reserve(1, run.id, adapters_dir="adapters", base_model="tiny") for _ in range(2)
    ]
    assert twice[0] == twice[1]


async def test_a_deleted_versions_number_is_never_used_again(house: Ledger) -> None:
    for expected in (V1, V2):
        version = await reserve(house)
        assert version == expected
        await note_files_gone(house, version)
    assert await reserve(house) == V3


async def test_another_guilds_version_is_not_found(house: Ledger) -> None:
    version = await reserve(house)
    assert await house.adapters.get(11, version) is None
    with pytest.raises(AdapterError, match="no adapter version 'g1-v000001'"):
        await house.promotions.promote(11, version, by="test")
    assert await house.adapters.of_guild(11) == []


async def test_a_candidate_that_was_not_promoted_is_retired_and_a_champion_is_not(house: Ledger) -> None:
    champion, candidate = await reserve(house), await reserve(house)
    await house.promotions.promote(1, champion, by="test")
    await house.adapters.retire(candidate)
    await house.adapters.retire(champion)
    assert await states(house) == {candidate: "retired", champion: "champion"}


async def test_what_was_measured_stays_with_the_version(house: Ledger) -> None:
    version = await reserve(house)
    await house.adapters.set_metrics(version, {"nll": 3.8})
    assert (await house.adapters.require(1, version)).metrics == {"nll": 3.8}


async def test_versions_are_looked_for_where_they_lie_after_a_move(house: Ledger) -> None:
    version = await reserve(house)
    await house.adapters.note_folder("/elsewhere/adapters")
    assert (await house.adapters.require(1, version)).path == f"/elsewhere/adapters/1/{version}"
