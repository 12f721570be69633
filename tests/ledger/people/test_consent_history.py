"""Consent: nobody by default, history that only grows, the newest row in force."""

from __future__ import annotations

import sqlite3

import pytest

from ledger.people.consent_history import WORDING_VERSION
from ledger.records import ConsentEvent
from ledger.store import Ledger


async def test_nobody_is_recorded_by_default(house: Ledger) -> None:
    assert await house.consent.current(1, 7) is None
    assert not await house.consent.allows(1, 7, 100)
    assert await house.consent.consenting(1) == set()
    assert await house.consent.refusing(1) == set()


async def test_the_newest_answer_is_in_force_and_the_history_keeps_all(house: Ledger) -> None:
    await house.consent.opt_in(1, 7)
    assert await house.consent.allows(1, 7, 100)
    await house.consent.opt_out(1, 7)
    assert not await house.consent.allows(1, 7, 100)
    await house.consent.opt_in(1, 7)
    assert await house.consent.allows(1, 7, 100)
    history = await house.consent.history(1, 7)
    assert [event.granted for event in history] == [True, False, True]
    assert {event.wording for event in history} == {WORDING_VERSION}


async def test_the_order_counts_and_not_the_clock(house: Ledger) -> None:
    await house.consent.opt_in(1, 7)
    house.clock.advance(days=-1)  # type: ignore[attr-defined]  # a clock that was set back
    await house.consent.opt_out(1, 7)
    assert not await house.consent.allows(1, 7, 100)


async def test_consent_for_some_channels_covers_no_other(house: Ledger) -> None:
    await house.consent.opt_in(1, 7, channels=[100, 101])
    assert await house.consent.allows(1, 7, 101)
    assert not await house.consent.allows(1, 7, 102)
    assert await house.consent.consenting(1) == {7}
    await house.consent.opt_in(1, 7)
    assert await house.consent.allows(1, 7, 102)


async def test_consent_in_one_guild_says_nothing_about_another(house: Ledger) -> None:
    await house.consent.opt_in(1, 7)
    await house.consent.opt_out(11, 7)
    assert not await house.consent.allows(11, 7, 200)
    assert await house.consent.consenting(1) == {7}
    assert await house.consent.refusing(11) == {7}
    assert await house.consent.refusing(1) == set()
    assert await house.consent.guilds_of(7) == [1]


async def test_history_cannot_be_changed(house: Ledger) -> None:
    await house.consent.opt_out(1, 7)
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        await house.writer.execute("UPDATE consent_events SET granted = 1")
    assert not await house.consent.allows(1, 7, 100)


async def test_everybody_who_ever_answered_is_listed_once(house: Ledger) -> None:
    for user in (7, 8, 9):
        await house.consent.opt_in(1, user)
    await house.consent.opt_out(1, 8)
    in_force = await house.consent.in_force(1)
    assert {user: event.granted for user, event in in_force.items()} == {7: True, 8: False, 9: True}


async def test_what_was_answered_cannot_be_taken_away(house: Ledger) -> None:
    await house.consent.opt_in(1, 7)
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        await house.writer.execute("DELETE FROM consent_events")
    assert await house.consent.consenting(1) == {7}


async def test_the_yeses_in_memory_follow_every_way_in_which_an_answer_is_written(
    house: Ledger,
) -> None:
    consent = house.consent
    assert consent.agreements_in_memory(1) is None

    async def in_step() -> dict[int, tuple[int, ...]]:
        known = consent.agreements_in_memory(1)
        assert known is not None
        in_force = await consent.in_force(1)
        assert {user: each.word for user, each in known.items()} == {
            user: event for user, event in in_force.items() if event.granted
        }
        return {user: each.word.channels for user, each in known.items()}

    await consent.opt_in(1, 7)
    assert [each.number for each in (await consent.agreements(1)).values()] == [await consent.newest()]
    assert await in_step() == {7: ()}
    await consent.opt_in(1, 8, channels=[100, 101])
    await consent.opt_in(11, 9)
    assert await in_step() == {7: (), 8: (100, 101)}
    await consent.opt_out(1, 7)
    assert await in_step() == {8: (100, 101)}
    await consent.repeat([ConsentEvent(1, 9, True, (), "1", 5), ConsentEvent(1, 8, True, (), "1", 6)])
    assert await in_step() == {8: (), 9: ()}
    await house.deletions.begin(1, "person", [9], asked_by="member", keep_ms=0)
    assert await in_step() == {8: ()}
    await house.writer.execute(
        "INSERT INTO consent_events (guild_id, user_id, granted, wording, at) VALUES (1, 7, 1, '1', 7)"
    )
    assert await in_step() == {7: (), 8: ()}


async def test_an_answer_that_another_process_wrote_counts_from_the_next_commit_on(house: Ledger) -> None:
    assert await house.consent.agreements(1) == {}
    async with Ledger.open(house.path) as other:
        await other.consent.opt_in(1, 7)
    await house.guilds.ensure(1, "a new name")
    assert set(await house.consent.agreements(1)) == {7}
