"""What serves: one champion, a way back to the base, and what nobody may let serve."""

from __future__ import annotations

import asyncio
import sqlite3

import pytest

from ledger.errors import AdapterError, LedgerError
from ledger.learned.promotions import unfit
from ledger.records import Message
from ledger.store import Ledger
from tests.ledger.learned.test_adapter_versions import V1, V2, V3, V4, reserve, states
from tests.looking import note_files_gone


async def promoted(ledger: Ledger, count: int) -> list[str]:
    versions = [await reserve(ledger) for _ in range(count)]
    for version in versions:
        await ledger.promotions.promote(1, version, by="test")
    return versions


async def back(ledger: Ledger) -> str | None:
    adapter = await ledger.promotions.rollback(1, by="test")
    champion = await ledger.adapters.champion(1)
    assert adapter == champion
    return champion.version if champion else None


async def test_promotion_makes_the_champion_and_keeps_what_it_replaced(house: Ledger) -> None:
    assert await house.adapters.champion(1) is None
    await promoted(house, 3)
    assert await states(house) == {V3: "champion", V2: "previous", V1: "retired"}


async def test_rollback_walks_back_to_the_base_and_then_says_that_there_is_no_more(house: Ledger) -> None:
    await promoted(house, 3)
    assert await back(house) == V2
    assert await states(house) == {V3: "retired", V2: "champion", V1: "previous"}
    assert await back(house) == V1
    assert await states(house) == {V3: "retired", V2: "retired", V1: "champion"}
    assert await back(house) is None
    assert set((await states(house)).values()) == {"retired"}
    with pytest.raises(AdapterError, match="nothing to roll back"):
        await house.promotions.rollback(1, by="test")


async def test_from_the_base_a_version_can_be_promoted_again(house: Ledger) -> None:
    await promoted(house, 2)
    assert [await back(house), await back(house)] == [V1, None]
    await house.promotions.promote(1, V2, by="test")
    assert await states(house) == {V2: "champion", V1: "retired"}
    assert await back(house) is None


async def test_promoting_the_champion_changes_nothing(house: Ledger) -> None:
    await promoted(house, 2)
    await asyncio.gather(*(house.promotions.promote(1, V2, by="test") for _ in range(3)))
    assert [await back(house), await back(house)] == [V1, None]


async def test_two_promotions_at_once_leave_one_champion(house: Ledger) -> None:
    versions = [await reserve(house) for _ in range(4)]
    await asyncio.gather(*(house.promotions.promote(1, version, by="test") for version in versions))
    assert sorted((await states(house)).values()) == ["champion", "previous", "retired", "retired"]


async def test_the_schema_itself_allows_one_champion_a_guild(house: Ledger) -> None:
    await promoted(house, 2)
    with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
        await house.writer.execute("UPDATE adapters SET state = 'champion' WHERE guild_id = 1")
    champion = await house.adapters.champion(1)
    assert champion is not None
    assert champion.version == V2


async def test_without_its_champions_files_a_guild_is_back_on_the_base(house: Ledger) -> None:
    await promoted(house, 2)
    await note_files_gone(house, V2)
    assert await house.adapters.champion(1) is None
    version = await reserve(house)
    await house.promotions.promote(1, version, by="test")
    assert await states(house) == {V3: "champion", V2: "deleted", V1: "previous"}
    assert await back(house) == V1


async def test_a_version_whose_files_are_gone_cannot_be_promoted(house: Ledger) -> None:
    version = await reserve(house)
    await note_files_gone(house, version)
    with pytest.raises(AdapterError, match="g1-v000001 were deleted; choose another"):
        await house.promotions.promote(1, version, by="test")


async def test_guilds_have_champions_of_their_own(house: Ledger) -> None:
    await house.promotions.promote(1, await reserve(house), by="test")
    await house.promotions.promote(11, await reserve(house, guild=11), by="test")
    await house.promotions.rollback(1, by="test")
    assert {guild: adapter.version for guild, adapter in (await house.adapters.champions()).items()} == {
        11: "g11-v000001"
    }


async def test_what_gives_secrets_away_cannot_be_promoted_by_hand_either(house: Ledger) -> None:
    version = await reserve(house)
    await house.adapters.set_metrics(version, {"recitals": {"probes": 64, "recited": 1, "values": 1}})
    with pytest.raises(AdapterError, match="secret values"):
        await house.promotions.promote(1, version, by="admin")
    assert await house.adapters.champion(1) is None
    await house.adapters.set_metrics(version, {"recitals": {"probes": 64, "recited": 5, "values": 0}})
    assert (await house.promotions.promote(1, version, by="admin")).state == "champion"


async def test_what_recites_beyond_its_nights_limit_cannot_be_promoted_by_hand(house: Ledger) -> None:
    version = await reserve(house)
    figures = {"probes": 64, "recited": 5, "values": 0, "rate": 0.078, "limit": 0.05}
    await house.adapters.set_metrics(version, {"recitals": figures})
    with pytest.raises(AdapterError, match="recites what single people wrote"):
        await house.promotions.promote(1, version, by="admin")
    assert await house.adapters.champion(1) is None
    await house.adapters.set_metrics(version, {"recitals": {**figures, "rate": 0.05}})
    assert (await house.promotions.promote(1, version, by="admin")).state == "champion"


async def test_a_night_promotes_nothing_that_learned_from_somebody_who_opted_out_meanwhile(
    house: Ledger,
) -> None:
    version = await reserve(house)
    run = (await house.adapters.require(1, version)).run_id
    await house.messages.add(Message(1, 1, 100, 7, "", "words", 1))
    await house.runs.learned_from(run, [(1, 7)])
    await house.consent.opt_out(1, 7)
    with pytest.raises(AdapterError, match="opted out meanwhile"):
        await house.promotions.promote(1, version, by=f"night {run}")
    assert await house.adapters.champion(1) is None


async def test_a_night_promotes_nothing_from_a_channel_that_was_taken_back_meanwhile(house: Ledger) -> None:
    version = await reserve(house)
    run = (await house.adapters.require(1, version)).run_id
    await house.consent.opt_in(1, 7)
    await house.messages.add(Message(1, 1, 100, 7, "", "words", 1))
    await house.runs.learned_from(run, [(1, 7)])
    await house.consent.opt_in(1, 7, channels=[101])
    with pytest.raises(AdapterError, match="opted out meanwhile"):
        await house.promotions.promote(1, version, by=f"night {run}")
    await house.consent.opt_in(1, 7, channels=[100, 101])
    assert (await house.promotions.promote(1, version, by=f"night {run}")).state == "champion"


async def test_what_once_served_is_told_by_its_last_promotion_and_not_by_its_number(house: Ledger) -> None:
    for _ in range(4):
        await reserve(house)
    for version in (V2, V3, V1, V2, V4):
        await house.promotions.promote(1, version, by="test")
    assert await house.promotions.once_served(1) == [V4, V2, V1, V3]
    await note_files_gone(house, V2)
    assert await house.promotions.once_served(1) == [V4, V1, V3]
    assert await house.promotions.once_served(11) == []


@pytest.mark.parametrize(
    ("measured", "reason"),
    [
        ({}, ""),
        ({"scores": {"candidate": {"nll": 3.0, "general_nll": 2.0}}}, ""),
        ({"scores": {"candidate": {"nll": float("nan"), "general_nll": 2.0}}}, "broken"),
        ({"scores": {"candidate": {"nll": 3.0, "general_nll": float("-inf")}}}, "broken"),
        ({"scores": {"base": {"nll": float("nan")}}, "recitals": {"values": 2}}, "secret values"),
    ],
)
def test_what_is_broken_or_unsafe_is_fit_for_nobody(measured: dict[str, object], reason: str) -> None:
    assert reason in unfit(measured)
    assert bool(reason) == bool(unfit(measured))


async def test_the_promotion_and_the_end_of_its_run_are_one_transaction(ledger: Ledger) -> None:
    await ledger.guilds.ensure(1, "Shed")
    run = await ledger.runs.create(1, "test")
    adapter = await ledger.adapters.reserve(1, run.id, adapters_dir="models", base_model="m")
    await ledger.runs.advance(run.id, "evaluated", candidate=adapter.version, verdict="promote")
    await ledger.promotions.promote(1, adapter.version, by=f"night {run.id}", run=run.id)
    ended = await ledger.runs.require(run.id)
    assert (ended.stage, ended.champion) == ("promoted", adapter.version)
    assert ended.finished_at is not None
    assert [stage for stage, _ in await ledger.runs.steps(run.id)][-1] == "promoted"
    with pytest.raises(LedgerError, match="finished"):
        await ledger.promotions.promote(1, adapter.version, by="again", run=run.id)


async def test_a_promotion_that_is_refused_leaves_its_run_open(ledger: Ledger) -> None:
    await ledger.guilds.ensure(1, "Shed")
    run = await ledger.runs.create(1, "test")
    adapter = await ledger.adapters.reserve(1, run.id, adapters_dir="models", base_model="m")
    await ledger.runs.learned_from(run.id, [(1, 11)])
    await ledger.deletions.begin(1, "messages", [1], asked_by="test", keep_ms=0)
    with pytest.raises(AdapterError, match="was deleted since"):
        await ledger.promotions.promote(1, adapter.version, by="night", run=run.id)
    open_still = await ledger.runs.require(run.id)
    assert (open_still.stage, open_still.finished_at) == ("planned", None)
    assert await ledger.adapters.champion(1) is None
