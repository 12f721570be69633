"""Messages: kept of those who agree, added once, read back in order."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ledger.clock import LAST_MS, to_ms
from ledger.errors import LedgerError
from ledger.forgetting.deletion_path import Forgetting
from ledger.people.policy import declared
from ledger.records import BotAnswer, Message
from ledger.store import Ledger

Make = Callable[..., Message]


async def test_a_message_comes_back_as_it_was(house: Ledger, message: Make) -> None:
    await house.people.ensure(1, 7, "Wren")
    sent = message(
        1,
        "hello <@8> 🦉",
        reply_to=99,
        edited_at=5,
        mentions=(8, 9),
        source="import",
        basis=declared("published"),
    )
    assert await house.messages.add(sent)
    assert await house.messages.of_guild(1) == [sent]


async def test_adding_twice_keeps_the_first_and_says_so(house: Ledger, message: Make) -> None:
    assert await house.messages.add(message(1, "live"))
    assert not await house.messages.add(message(1, "imported"))
    assert await house.messages.add_many([message(1), message(2), message(2), message(3)]) == 2
    assert (await house.messages.of_guild(1))[0].content == "live"
    assert await house.messages.count(1) == 3
    assert await house.messages.add_many([]) == 0


async def test_messages_come_by_channel_and_by_time_not_by_arrival(house: Ledger, message: Make) -> None:
    await house.channels.ensure(90, 1, "attic")
    await house.messages.add_many(
        [
            message(3),
            message(1),
            message(2, channel_id=90),
            message(5, created_at=7),
            message(4, created_at=7),
        ]
    )
    assert [stored.id for stored in await house.messages.of_guild(1)] == [2, 4, 5, 1, 3]
    assert [stored.id for stored in await house.messages.of_guild(1, since=message(2).created_at)] == [2, 3]


async def test_one_guild_never_sees_anothers_messages(house: Ledger, message: Make) -> None:
    await house.messages.add_many([message(1), message(2, guild_id=11, channel_id=200)])
    assert [stored.id for stored in await house.messages.of_guild(11)] == [2]
    assert [stored.id for stored in await house.messages.of_author(1, 7)] == [1]


async def test_an_author_has_the_name_of_their_guild_or_a_number(house: Ledger, message: Make) -> None:
    await house.people.ensure(11, 7, "Known elsewhere")
    await house.people.ensure(1, 9, "Clockwork", is_bot=True)
    await house.messages.add_many([message(1, author_id=1234567), message(2, author_id=9)])
    first, second = await house.messages.of_guild(1)
    assert (first.author_name, first.is_bot) == ("member 4567", False)
    assert (second.author_name, second.is_bot) == ("Clockwork", True)


async def test_what_is_said_live_is_kept_with_its_authors_name_only_of_those_who_agree(
    house: Ledger, message: Make
) -> None:
    assert not await house.messages.hear(message(1))
    await house.consent.opt_in(1, 7, channels=[101])
    assert not await house.messages.hear(message(2))
    assert await house.people.names(1) == {}
    await house.consent.opt_in(1, 7)
    assert await house.messages.hear(message(3))
    assert not await house.messages.hear(message(3))
    assert await house.people.names(1) == {7: "Wren"}
    await house.messages.hear(message(4, author_name="Robin"))
    assert await house.people.names(1) == {7: "Robin"}
    await house.consent.opt_out(1, 7)
    assert not await house.messages.hear(message(5, author_name="Jay"))
    assert await house.people.names(1) == {7: "Robin"}
    assert [stored.id for stored in await house.messages.of_guild(1)] == [3, 4]


async def test_consent_in_one_guild_lets_nothing_be_heard_in_another(house: Ledger, message: Make) -> None:
    await house.consent.opt_in(11, 7)
    assert not await house.messages.hear(message(1))
    assert await house.messages.hear(message(2, guild_id=11, channel_id=200))


async def test_a_no_outweighs_every_basis_but_not_in_another_guild(house: Ledger, message: Make) -> None:
    await house.consent.opt_out(1, 7)
    declared = {"source": "import", "basis": "published logs"}
    assert await house.messages.add_many([message(1, **declared), message(2, author_id=8, **declared)]) == 1
    assert await house.messages.add(message(3, guild_id=11, channel_id=200, **declared))
    assert [stored.author_id for stored in await house.messages.of_guild(1)] == [8]


async def test_a_yes_for_some_channels_is_a_no_for_the_others_whatever_the_basis(
    house: Ledger, message: Make
) -> None:
    await house.channels.ensure(101, 1, "memes")
    await house.consent.opt_in(1, 7, channels=[101])
    declared = {"source": "import", "basis": "published logs"}
    both = [message(1, **declared), message(2, channel_id=101, **declared)]
    assert await house.messages.add_many(both) == 1
    assert [stored.id for stored in await house.messages.of_guild(1)] == [2]


async def test_what_was_deleted_once_does_not_come_back_with_an_older_export(
    house: Ledger, message: Make, tmp_path: Path
) -> None:
    forgetting = Forgetting(house, datasets_dir=tmp_path / "d", runs_dir=tmp_path / "r")
    await house.channels.ensure(101, 1, "attic")
    export = [
        message(1, author_id=8),
        message(2, author_id=8),
        message(3, author_id=8, channel_id=101),
        message(4, author_id=9),
    ]
    await house.messages.add_many(export)
    await forgetting.messages(1, [1], asked_by="Discord")
    await forgetting.channel(1, 101, asked_by="Discord")
    await forgetting.person(1, 9, asked_by="member")
    await house.consent.opt_in(1, 9)
    later = message(5, author_id=9, created_at=to_ms(house.clock.now()) + 1000)
    assert await house.messages.add_many([*export, later]) == 1
    assert [stored.id for stored in await house.messages.of_guild(1)] == [2, 5]


async def test_names_and_answers_are_scrubbed_like_messages(house: Ledger, message: Make) -> None:
    await house.consent.opt_in(1, 7)
    await house.messages.hear(message(1, author_name="heron@example.org"))
    await house.people.ensure(1, 8, "owl@example.org")
    assert await house.people.names(1) == {7: "[email]", 8: "[email]"}
    await house.answers.add(BotAnswer(50, 1, 100, 7, 1, "write to heron@example.org", None, 1))
    stored = await house.answers.get(50)
    assert stored is not None
    assert stored.content == "write to [email]"


async def test_no_name_is_kept_of_somebody_who_said_no(house: Ledger) -> None:
    await house.consent.opt_out(1, 7)
    await house.people.ensure_many(1, [(7, "Wren", False), (8, "Jay", False)])
    assert await house.people.names(1) == {8: "Jay"}


@pytest.mark.parametrize(
    "fields",
    [
        {"created_at": -1},
        {"created_at": 253_402_387_139_999},
        {"edited_at": LAST_MS + 1},
        {"author_id": 2**63},
        {"reply_to": 2**64},
        {"mentions": (9, 2**63)},
    ],
)
async def test_a_date_or_number_that_no_message_can_have_is_refused(
    house: Ledger, message: Make, fields: dict[str, Any]
) -> None:
    with pytest.raises(LedgerError, match="was not stored"):
        await house.messages.add_many([message(1), message(2, **fields)])
    await house.consent.opt_in(1, 7)
    with pytest.raises(LedgerError, match="was not stored"):
        await house.messages.hear(message(2, **fields))
    assert await house.messages.of_guild(1) == []


async def test_a_row_with_an_impossible_date_is_not_reckoned_with_and_goes_by_the_next_sweep(
    house: Ledger, message: Make
) -> None:
    await house.messages.add_many([message(1), message(2), message(3)])
    for number, at in ((2, 253_402_387_139_999), (3, -86_400_000)):
        await house.writer.execute("UPDATE messages SET created_at = ? WHERE id = ?", (at, number))
    assert [stored.id for stored in await house.messages.of_guild(1)] == [1]
    assert await house.messages.delete_older(0) == {1: 2}
    assert await house.messages.count(1) == 1
