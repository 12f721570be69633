"""The bot's replies, who wrote them, and what people thought of them."""

from __future__ import annotations

from typing import Any

from ledger.records import Reply
from ledger.store import Ledger


def reply(number: int, **fields: Any) -> Reply:
    defaults: dict[str, Any] = {
        "guild_id": 1,
        "channel_id": 100,
        "asked_by": 7,
        "in_reply_to": number - 1,
        "content": "hoo",
        "adapter_version": "g1-v000001",
        "created_at": number * 1000,
    }
    return Reply(message_id=number, **{**defaults, **fields})


async def test_a_reply_comes_back_with_the_version_that_wrote_it(house: Ledger) -> None:
    await house.replies.add(reply(10))
    await house.replies.add(reply(12, adapter_version=None, in_reply_to=None))
    assert await house.replies.get(10) == reply(10)
    assert await house.replies.get(12) == reply(12, adapter_version=None, in_reply_to=None)
    assert await house.replies.get(404) is None


async def test_the_same_reply_is_kept_once(house: Ledger) -> None:
    await house.replies.add(reply(10))
    await house.replies.add(reply(10, content="again"))
    assert [kept.content for kept in await house.replies.of_guild(1)] == ["hoo"]


async def test_the_newest_replies_come_first_and_only_the_guilds_own(house: Ledger) -> None:
    for number in (10, 30, 20):
        await house.replies.add(reply(number))
    await house.replies.add(reply(40, guild_id=11, channel_id=200))
    assert [kept.message_id for kept in await house.replies.of_guild(1, limit=2)] == [30, 20]


async def test_a_person_finds_what_they_asked_for(house: Ledger) -> None:
    await house.replies.add(reply(20))
    await house.replies.add(reply(10))
    await house.replies.add(reply(30, asked_by=8))
    assert [kept.message_id for kept in await house.replies.asked_by(1, 7)] == [10, 20]


async def test_reactions_count_people_and_can_be_taken_back(house: Ledger) -> None:
    await house.replies.add(reply(10))
    for user in (7, 8, 8):
        await house.replies.react(10, user, "👍")
    await house.replies.react(10, 9, "👎")
    assert await house.replies.reactions(10) == {"👍": 2, "👎": 1}
    await house.replies.unreact(10, 8, "👍")
    assert await house.replies.reactions(10) == {"👍": 1, "👎": 1}


async def test_reactions_to_anything_but_the_bots_replies_are_not_kept(house: Ledger) -> None:
    await house.replies.react(404, 7, "👍")
    assert await house.replies.reactions(404) == {}


async def test_a_deleted_reply_takes_its_reactions_along(house: Ledger) -> None:
    await house.replies.add(reply(10))
    await house.replies.react(10, 7, "👍")
    assert await house.replies.delete([10, 404]) == 1
    assert await house.replies.get(10) is None
    assert await house.replies.reactions(10) == {}
