"""A night reads of a long history what it needs, and learns from it as if it had read everything."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ledger.clock import to_ms
from ledger.people.quarantine import ABUSE
from ledger.records import Role
from ledger.settings import Settings
from ledger.store import Ledger
from tests.conftest import FakeClock
from tests.trainer.conftest import GUILD, fill, talk
from trainer.builders import dataset_limits_of
from trainer.preparing import gathering
from trainer.preparing.arranging import Arranged, arrange
from trainer.preparing.gathering import gather, permitted, start_of
from trainer.preparing.material import Material, Origin

LIMITS = replace(
    dataset_limits_of(Settings()),
    first_night_tokens=2500,
    night_tokens=2500,
    max_heldout_replies=16,
    person_share=1.0,
)
LONG = 400
"""Conversations, three hours apart: fifty days."""


@pytest.fixture
def short_sight(monkeypatch: pytest.MonkeyPatch, clock: FakeClock) -> None:
    """Let what is read in any case be short, so that a history of fifty days is long; and let it be past."""
    clock.advance(days=40)
    monkeypatch.setattr(gathering, "RECENT_MESSAGES", 40)
    monkeypatch.setattr(gathering, "BATCH", 12)


async def read(ledger: Ledger, origin: Origin | None = None, **changes: Any) -> Material:
    limits = replace(LIMITS, **changes)
    return await gather(ledger, GUILD, limits, origin=origin, discord_permission="")


async def arranged(ledger: Ledger, origin: Origin | None = None) -> Arranged:
    material = await read(ledger, origin)
    start = await start_of(ledger, origin or Origin(), material)
    return arrange(material, LIMITS, bot_name="Nightschool", start=start)


async def learned_night(ledger: Ledger, roles: dict[int, Role]) -> Origin:
    """Note a night that learned so, and return its version."""
    run = await ledger.runs.create(GUILD, "test")
    await ledger.runs.learned_from(run.id, [(number, 11) for number in roles], roles=roles)
    made = await ledger.adapters.reserve(GUILD, run.id, adapters_dir="models", base_model="none", parent=None)
    await ledger.runs.advance(run.id, "promoted")
    return Origin(made.version, run.created_at, in_use=(made.version,))


async def test_a_short_history_is_read_whole(ledger: Ledger) -> None:
    await fill(ledger, 60)
    material = await read(ledger)
    assert len(material.messages) == material.stored == 240
    assert len(material.places) == len({m.conversation for m in material.messages})


@pytest.mark.usefixtures("short_sight")
@pytest.mark.parametrize("grown", [False, True], ids=["from the base", "from a version"])
async def test_a_part_of_a_long_history_gives_the_night_of_the_whole(
    ledger: Ledger, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, grown: bool
) -> None:
    await fill(ledger, LONG)
    origin = Origin()
    if grown:
        known: dict[int, Role] = {talk(number)[1].id: "target" for number in range(0, LONG, 2)}
        origin = await learned_night(ledger, known)
        clock.advance(days=1)
    part = await arranged(ledger, origin)
    assert part.counts["messages"] == LONG * 4
    assert part.counts["messages_read"] < LONG * 2
    monkeypatch.setattr(gathering, "RECENT_MESSAGES", 10**9)
    whole = await arranged(ledger, origin)
    assert whole.counts["messages_read"] == LONG * 4
    found, expected = part.split.roles(), whole.split.roles()
    assert 10 < sum(role == "target" for role in expected.values()) < LONG
    assert found.keys() == expected.keys()
    # Which of two copies is the first, and learned, depends on whether both are read.
    assert sum(found[number] == role for number, role in expected.items()) >= 0.98 * len(expected)
    assert part.counts["replayed_replies"] == whole.counts["replayed_replies"]
    assert bool(part.counts["replayed_replies"]) == grown


@pytest.mark.usefixtures("short_sight")
async def test_five_times_the_history_is_hardly_more_to_read(ledger: Ledger) -> None:
    await fill(ledger, 800, first=-400)  # a hundred days: all ages that are scored
    short = len((await read(ledger)).messages)
    # Older talk alone: what is new stays the same.
    older = [message for number in range(-3600, -400) for message in talk(number)]
    await ledger.messages.add_many(older)
    material = await read(ledger)
    assert material.stored == 16_000
    assert len(material.messages) < 1.2 * short


@pytest.mark.usefixtures("short_sight")
async def test_all_that_came_since_the_last_night_is_read(ledger: Ledger, clock: FakeClock) -> None:
    await fill(ledger, 200)
    now = to_ms(clock.now())
    origin = await learned_night(ledger, {talk(0)[1].id: "target"})
    clock.advance(days=1)
    new = [
        message
        for number in range(40)
        for message in talk(number, at=now + number * 30 * 60_000, first_id=5_000_000 + number * 10)
    ]
    await ledger.messages.add_many(new)
    material = await read(ledger, origin)
    assert {message.id for message in new} <= {message.id for message in material.messages}
    assert len(material.messages) < 960


@pytest.mark.usefixtures("short_sight")
async def test_who_wrote_long_ago_is_no_newcomer(ledger: Ledger) -> None:
    await fill(ledger, LONG)
    oldest = talk(0)
    await ledger.writer.execute("UPDATE messages SET author_id = 99 WHERE id = ?", (oldest[1].id,))
    newest = talk(LONG - 1)
    await ledger.writer.execute("UPDATE messages SET author_id = 99 WHERE id = ?", (newest[1].id,))
    material = await read(ledger, first_night_tokens=100)
    assert oldest[1].id not in {message.id for message in material.messages}
    assert material.first_written[99] == oldest[1].created_at
    assert material.begun == oldest[0].created_at


async def test_what_was_said_in_quarantine_makes_nobody_a_member_of_long_standing(
    ledger: Ledger, clock: FakeClock
) -> None:
    await fill(ledger, 60)
    first = talk(0)[0]
    await ledger.quarantine.hold(GUILD, {first.author_id: (ABUSE,)}, since=first.created_at, days=20)
    material = await read(ledger)
    held = material.held[first.author_id]
    free = [m.created_at for m in material.messages if m.author_id == 11 and not held.covers(m.created_at)]
    assert material.first_written.get(11) == min(free, default=None)


async def test_what_a_night_used_is_still_permitted_or_not(ledger: Ledger) -> None:
    await fill(ledger, 10)
    used = {message.id for number in range(3) for message in talk(number)}
    assert await permitted(ledger, GUILD, used, LIMITS, discord_permission="") == used
    await ledger.consent.opt_out(GUILD, 11)
    left = await permitted(ledger, GUILD, used, LIMITS, discord_permission="")
    assert left == {m.id for number in range(3) for m in talk(number) if m.author_id != 11}
