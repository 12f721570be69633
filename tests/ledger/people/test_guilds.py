"""Guilds, channels and names."""

from __future__ import annotations

import pytest

from ledger.errors import LedgerError
from ledger.store import Ledger


async def test_a_guild_keeps_when_it_was_first_seen_and_takes_its_new_name(house: Ledger) -> None:
    first = await house.guilds.first_seen(1)
    house.clock.advance(days=2)  # type: ignore[attr-defined]
    await house.guilds.ensure(1, "Lantern Square")
    assert (await house.guilds.all())[1] == "Lantern Square"
    assert await house.guilds.first_seen(1) == first
    assert await house.guilds.first_seen(404) is None


async def test_the_only_guild_need_not_be_named(ledger: Ledger) -> None:
    await ledger.guilds.ensure(1, "Lantern Yard")
    assert await ledger.guilds.the_only(None) == 1


async def test_with_several_guilds_one_must_be_named_and_known(house: Ledger) -> None:
    with pytest.raises(LedgerError, match=r"--guild; .*1 \(Lantern Yard\), 11 \(Elsewhere\)"):
        await house.guilds.the_only(None)
    with pytest.raises(LedgerError, match="no server 5"):
        await house.guilds.the_only(5)
    assert await house.guilds.the_only(11) == 11


async def test_a_channel_listens_by_default_and_a_new_name_keeps_its_mode(house: Ledger) -> None:
    found = await house.channels.get(100)
    assert found is not None
    assert found.mode == "listen"
    await house.channels.set_mode(100, 1, "lounge", "ignore")
    await house.channels.ensure(100, 1, "renamed")
    found = await house.channels.get(100)
    assert found is not None
    assert (found.name, found.mode) == ("renamed", "ignore")


async def test_channels_are_listed_by_guild(house: Ledger) -> None:
    assert [channel.name for channel in await house.channels.of_guild(1)] == ["lounge"]
    assert await house.channels.of_guild(404) == []
    assert await house.channels.get(404) is None


async def test_people_take_their_new_name_and_bots_are_told_apart(house: Ledger) -> None:
    await house.people.ensure(1, 7, "Wren")
    await house.people.ensure(1, 9, "Clockwork", is_bot=True)
    await house.people.ensure(1, 7, "Wren the Second")
    await house.people.ensure(11, 8, "Somebody")
    assert await house.people.names(1) == {7: "Wren the Second", 9: "Clockwork"}
    assert await house.people.bots(1) == {9: "Clockwork"}


TRACES = {
    "an answer about consent": "INSERT INTO consent_events"
    " (guild_id, user_id, granted, channels, wording, at) VALUES (1, 7, 0, '[]', 'w', 1)",
    "a name": "INSERT INTO people (guild_id, user_id, name) VALUES (1, 7, 'ann')",
    "a message": "INSERT INTO messages"
    " (id, guild_id, channel_id, author_id, content, created_at, source, basis)"
    " VALUES (5, 1, 100, 7, 'hm', 1, 'discord', 'opt-in')",
    "a question": "INSERT INTO replies (message_id, guild_id, channel_id, asked_by, content, created_at)"
    " VALUES (6, 1, 100, 7, '', 1)",
    "a receipt": "INSERT INTO deletions (guild_id, kind, subject, asked_by, asked_at, counts)"
    " VALUES (1, 'person', '[7]', 'member', 1, '{}')",
}


@pytest.mark.parametrize("trace", TRACES)
async def test_a_guild_that_holds_anything_of_a_person_is_found_and_for_nobody_else(
    house: Ledger, trace: str
) -> None:
    assert await house.guilds.about(7) == {}
    await house.writer.execute(TRACES[trace])
    assert await house.guilds.about(7) == {1: "Lantern Yard"}
    assert await house.guilds.about(8) == {}


async def test_a_guild_that_holds_a_reaction_alone_is_found(house: Ledger) -> None:
    await house.writer.execute(TRACES["a question"])
    await house.writer.execute(
        "INSERT INTO reactions (message_id, user_id, emoji, at) VALUES (6, 9, '👍', 1)"
    )
    assert await house.guilds.about(9) == {1: "Lantern Yard"}


async def test_what_admins_chose_is_in_memory_as_it_was_last_committed(house: Ledger) -> None:
    channels = house.channels
    assert channels.chosen_in_memory(1) is None
    assert await channels.chosen(1) == {}
    await channels.set_mode(100, 1, "lounge", "ignore")
    await channels.set_mode(102, 1, "attic", "answer", parent_id=100)
    await channels.ensure(103, 1, "cellar", mode="ignore")
    await channels.set_mode(200, 11, "hall", "answer")
    assert channels.chosen_in_memory(1) == {100: "ignore", 102: "answer"}
    await channels.set_mode(100, 1, "lounge", "listen")
    await channels.ensure(102, 1, "attic renamed")
    assert channels.chosen_in_memory(1) == {100: "listen", 102: "answer"}
    assert await channels.chosen(11) == {200: "answer"}
