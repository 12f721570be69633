"""Messages: added once, edited, deleted, read back in order."""

from __future__ import annotations

from collections.abc import Callable

from ledger.messages import with_name
from ledger.records import Message
from ledger.store import Ledger

Make = Callable[..., Message]


async def test_a_message_comes_back_as_it_was(house: Ledger, message: Make) -> None:
    await house.people.ensure(1, 7, "Wren")
    sent = message(
        1, "hello <@8> 🦉", reply_to=99, edited_at=5, mentions=(8, 9), source="import", basis="published"
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


async def test_an_edit_replaces_the_text_and_its_time(house: Ledger, message: Make) -> None:
    await house.messages.add(message(1, "befor"))
    assert await house.messages.edit(1, "before", 1234)
    (stored,) = await house.messages.of_guild(1)
    assert (stored.content, stored.edited_at) == ("before", 1234)
    assert not await house.messages.edit(404, "never stored", 1)
    assert await house.messages.count(1) == 1


async def test_deleting_tells_how_many_were_there(house: Ledger, message: Make) -> None:
    await house.messages.add_many(message(n) for n in range(1, 2001))
    assert await house.messages.delete(range(1, 1500)) == 1499
    assert await house.messages.delete([1, 404]) == 0
    assert await house.messages.delete([]) == 0
    assert await house.messages.count(1) == 501


async def test_a_channel_that_is_gone_takes_its_messages_along(house: Ledger, message: Make) -> None:
    await house.channels.ensure(101, 1, "kitchen")
    await house.messages.add_many([message(1), message(2, channel_id=101)])
    assert await house.messages.delete_channel(100) == 1
    assert [stored.id for stored in await house.messages.of_guild(1)] == [2]


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


async def test_known_ids_are_told_from_new_ones(house: Ledger, message: Make) -> None:
    await house.messages.add_many([message(1), message(2)])
    assert await house.messages.known([1, 2, 3]) == {1, 2}
    assert await house.messages.known([]) == set()


def test_a_message_under_another_name_is_otherwise_the_same(message: Make) -> None:
    renamed = with_name(message(1), "Robin")
    assert renamed.author_name == "Robin"
    assert with_name(renamed, "Wren") == message(1)
