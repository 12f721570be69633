"""The bot's replies, who wrote them, and what people thought of them."""

from __future__ import annotations

from typing import Any

import pytest

from ledger.records import BotAnswer, Message
from ledger.store import Ledger
from tests.looking import answers_of


@pytest.fixture
async def agreed(house: Ledger) -> Ledger:
    """A ledger in which those who ask and react have agreed."""
    for guild_id in (1, 11):
        for user_id in (7, 8, 9):
            await house.consent.opt_in(guild_id, user_id)
    return house


def reply(number: int, **fields: Any) -> BotAnswer:
    defaults: dict[str, Any] = {
        "guild_id": 1,
        "channel_id": 100,
        "asked_by": 7,
        "in_reply_to": number - 1,
        "content": "hoo",
        "adapter_version": "g1-v000001",
        "created_at": number * 1000,
    }
    return BotAnswer(message_id=number, **{**defaults, **fields})


async def test_a_reply_comes_back_with_the_version_that_wrote_it(agreed: Ledger) -> None:
    await agreed.answers.add(reply(10))
    await agreed.answers.add(reply(12, adapter_version=None, in_reply_to=None))
    assert await agreed.answers.get(10) == reply(10)
    assert await agreed.answers.get(12) == reply(12, adapter_version=None, in_reply_to=None)
    assert await agreed.answers.get(404) is None


async def test_the_same_reply_is_kept_once(agreed: Ledger) -> None:
    await agreed.answers.add(reply(10))
    await agreed.answers.add(reply(10, content="again"))
    assert [kept.content for kept in await answers_of(agreed, 1)] == ["hoo"]


async def test_the_newest_replies_come_first_and_only_the_guilds_own(agreed: Ledger) -> None:
    for number in (10, 30, 20):
        await agreed.answers.add(reply(number))
    await agreed.answers.add(reply(40, guild_id=11, channel_id=200))
    assert [kept.message_id for kept in await answers_of(agreed, 1)][:2] == [30, 20]


async def test_a_person_finds_what_they_asked_for(agreed: Ledger) -> None:
    await agreed.answers.add(reply(20))
    await agreed.answers.add(reply(10))
    await agreed.answers.add(reply(30, asked_by=8))
    assert [kept.message_id for kept in await agreed.answers.asked_by(1, 7)] == [10, 20]


async def test_reactions_count_people_and_can_be_taken_back(agreed: Ledger) -> None:
    await agreed.answers.add(reply(10))
    for user in (7, 8, 8):
        await agreed.answers.react(10, user, "👍")
    await agreed.answers.react(10, 9, "👎")
    assert await agreed.answers.reactions(10) == {"👍": 2, "👎": 1}
    await agreed.answers.unreact(10, 8, "👍")
    assert await agreed.answers.reactions(10) == {"👍": 1, "👎": 1}


async def test_reactions_to_anything_but_the_bots_replies_are_not_kept(agreed: Ledger) -> None:
    await agreed.answers.react(404, 7, "👍")
    assert await agreed.answers.reactions(404) == {}


async def test_a_deleted_reply_takes_its_reactions_along(agreed: Ledger) -> None:
    await agreed.answers.add(reply(10))
    await agreed.answers.react(10, 7, "👍")
    assert await agreed.writer.execute("DELETE FROM replies WHERE message_id IN (10, 404)") == 1
    assert await agreed.answers.get(10) is None
    assert await agreed.answers.reactions(10) == {}


async def test_all_reactions_to_a_message_or_those_with_one_emoji_are_cleared(agreed: Ledger) -> None:
    for number in (10, 20):
        await agreed.answers.add(reply(number))
        for emoji in ("👍", "👎"):
            await agreed.answers.react(number, 7, emoji)
    await agreed.answers.clear_reactions(10, "👍")
    await agreed.answers.clear_reactions(20)
    assert await agreed.answers.reactions(10) == {"👎": 1}
    assert await agreed.answers.reactions(20) == {}


async def test_a_reaction_of_somebody_who_does_not_agree_is_not_kept(agreed: Ledger) -> None:
    await agreed.answers.add(reply(10))
    await agreed.consent.opt_out(1, 8)
    await agreed.consent.opt_in(1, 9, channels=[101])
    for user in (7, 8, 9, 404):
        await agreed.answers.react(10, user, "👍")
    assert await agreed.answers.reactions(10) == {"👍": 1}


async def test_a_text_is_kept_only_where_all_that_it_was_made_of_is_kept(agreed: Ledger) -> None:
    await agreed.messages.add(Message(1, 1, 100, 7, "", "who is there?", 1))
    await agreed.messages.add(Message(2, 11, 200, 7, "", "elsewhere", 1))

    async def kept(number: int, *read: int, **fields: Any) -> str:
        await agreed.answers.add(reply(number, **fields), read=read)
        stored = await agreed.answers.get(number)
        assert stored is not None
        return stored.content

    assert await kept(10, 1) == "hoo"
    assert await kept(11, 1, 404) == "", "404 is not stored: somebody said it who did not agree"
    assert await kept(12, 2) == "", "what is stored of another server counts for nothing here"
    assert await kept(13, 1, 10) == "hoo", "an answer that has its text may be repeated"
    assert await kept(14, 1, 11) == "", "one that was made of somebody else's words may not"
    await agreed.answers.add(reply(15, content="", part_of=13))
    await agreed.answers.add(reply(16, content="", part_of=14))
    assert await kept(17, 15) == "hoo"
    assert await kept(18, 16) == ""
    await agreed.consent.opt_out(1, 7)
    assert await kept(19, 1) == ""
    assert await kept(20, asked_by=404) == ""


async def liked(ledger: Ledger) -> list[int]:
    return [answer.message_id for answer, _ in await ledger.answers.liked(1)]


@pytest.mark.parametrize(
    ("votes", "is_liked"),
    [
        ([], False),
        ([(7, "👍")], True),
        ([(7, "👍🏽"), (7, "👍"), (8, "👎🏿")], False),
        ([(7, "👍"), (8, "👎"), (9, "👍")], True),
        ([(7, "👍"), (7, "👎")], False),
        ([(7, "👎")], False),
        ([(7, "🎉"), (8, "❤️")], False),
        ([(404, "👍")], False),
    ],
)
async def test_an_answer_is_liked_by_more_people_than_not_and_everybody_has_one_vote(
    agreed: Ledger, votes: list[tuple[int, str]], *, is_liked: bool
) -> None:
    await agreed.answers.add(reply(10))
    await agreed.answers.add(reply(20, guild_id=11, channel_id=200))
    for person, emoji in votes:
        await agreed.answers.react(10, person, emoji)
        await agreed.answers.react(20, person, "👍")
    assert await liked(agreed) == ([10] if is_liked else [])


async def test_a_vote_on_any_message_of_a_long_answer_is_one_for_the_answer(agreed: Ledger) -> None:
    await agreed.answers.add(reply(10))
    for number in (12, 11):
        await agreed.answers.add(reply(number, content="", part_of=10))
    await agreed.answers.react(12, 8, "👍")
    [(answer, parts)] = await agreed.answers.liked(1)
    assert (answer, parts) == (reply(10), (11, 12))
    await agreed.answers.react(11, 8, "👎")
    assert await liked(agreed) == []


async def test_answers_without_text_or_of_people_who_said_no_are_not_liked(agreed: Ledger) -> None:
    for number, asker in ((10, 7), (20, 8), (30, 404)):
        await agreed.answers.add(reply(number, asked_by=asker))
        await agreed.answers.react(number, 9, "👍")
    assert await liked(agreed) == [10, 20]
    await agreed.consent.opt_out(1, 8)
    assert await liked(agreed) == [10]
    await agreed.consent.opt_out(1, 9)
    assert await liked(agreed) == []


async def test_who_is_in_quarantine_has_no_vote_until_let_in(agreed: Ledger) -> None:
    await agreed.answers.add(reply(10))
    await agreed.answers.react(10, 8, "👍")
    await agreed.quarantine.hold(1, {8: ["slogan"]}, since=0, days=14)
    assert await liked(agreed) == []
    await agreed.quarantine.allow(1, 8, by="99")
    assert await liked(agreed) == [10]
