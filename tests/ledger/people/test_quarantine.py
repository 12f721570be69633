"""Quarantine: who is held, from when, until when, and how it ends."""

from __future__ import annotations

import pytest

from ledger.clock import to_ms
from ledger.errors import LedgerError
from ledger.people.quarantine import ABUSE, DAY_MS, SLOGAN, WORDS
from ledger.store import Ledger


async def test_what_was_written_meanwhile_is_left_out_and_stays_out_when_time_ends_it(house: Ledger) -> None:
    now = to_ms(house.clock.now())
    [held] = await house.quarantine.hold(1, {7: [SLOGAN]}, since=now - DAY_MS, days=14)
    assert (held.user_id, held.reasons, held.told) == (7, (SLOGAN,), WORDS[SLOGAN])
    assert await house.quarantine.in_force(1) == {7: held}
    assert await house.quarantine.in_force(11) == {}
    house.clock.advance(days=14)  # type: ignore[attr-defined]
    assert await house.quarantine.in_force(1) == {}
    later = await house.quarantine.of_person(1, 7)
    assert later is not None
    written = {now - DAY_MS - 1: False, now - DAY_MS: True, now: True, now + 14 * DAY_MS: False}
    assert {at: later.covers(at) for at in written} == written


async def test_an_admin_lets_in_what_was_written_meanwhile_and_for_those_reasons_it_holds(
    house: Ledger,
) -> None:
    now = to_ms(house.clock.now())
    await house.quarantine.hold(1, {7: [SLOGAN]}, since=now, days=14)
    held = await house.quarantine.allow(1, 7, by="99")
    assert held.allowed_by == "99"
    assert not held.covers(now)
    assert await house.quarantine.hold(1, {7: [SLOGAN]}, since=now, days=14) == []
    assert await house.quarantine.in_force(1) == {}
    [again] = await house.quarantine.hold(1, {7: [ABUSE, SLOGAN]}, since=now, days=14)
    assert again.reasons == (SLOGAN, ABUSE)
    assert again.covers(now)
    assert set(await house.quarantine.in_force(1)) == {7}


async def test_who_goes_on_is_held_for_longer_and_told_once(house: Ledger) -> None:
    begin = to_ms(house.clock.now())
    await house.quarantine.hold(1, {7: [ABUSE]}, since=begin, days=14)
    house.clock.advance(days=1)  # type: ignore[attr-defined]
    assert await house.quarantine.hold(1, {7: [ABUSE]}, since=begin + DAY_MS, days=14) == []
    held = await house.quarantine.of_person(1, 7)
    assert held is not None
    assert (held.since, held.until) == (begin, begin + 15 * DAY_MS)
    house.clock.advance(days=20)  # type: ignore[attr-defined]
    [anew] = await house.quarantine.hold(1, {7: [ABUSE]}, since=begin + 20 * DAY_MS, days=14)
    assert anew.since == begin, "what was left out before stays left out"


async def test_nobody_is_let_in_who_was_not_held_here(house: Ledger) -> None:
    await house.quarantine.hold(11, {7: [ABUSE]}, since=0, days=14)
    with pytest.raises(LedgerError, match="Nobody with the number 7 is in quarantine"):
        await house.quarantine.allow(1, 7, by="99")


async def test_who_said_no_gets_no_row(house: Ledger) -> None:
    await house.consent.opt_out(1, 7)
    assert await house.quarantine.hold(1, {7: [ABUSE], 8: [], 9: [SLOGAN]}, since=0, days=14) != []
    assert set(await house.quarantine.of_guild(1)) == {9}


async def test_a_row_goes_with_the_messages_that_it_covers(house: Ledger) -> None:
    now = to_ms(house.clock.now())
    await house.quarantine.hold(1, {7: [ABUSE]}, since=now, days=14)
    await house.quarantine.delete_older(now + 14 * DAY_MS)
    assert set(await house.quarantine.of_guild(1)) == {7}
    assert await house.guilds.about(7) == {1: "Lantern Yard"}
    await house.quarantine.delete_older(now + 14 * DAY_MS + 1)
    assert await house.quarantine.of_guild(1) == {}
    assert await house.guilds.about(7) == {}
