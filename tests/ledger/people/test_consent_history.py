"""Consent: nobody by default, history that only grows, the newest row in force."""

from __future__ import annotations

import sqlite3

import pytest

from ledger.people.consent_history import WORDING_VERSION
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
