"""What admins teach: a question of nobody's and an answer of theirs, in a channel that is no channel."""

from __future__ import annotations

import pytest

from ledger.clock import to_ms
from ledger.learned.teaching import ASKER, ASKER_NAME, teach_pair
from ledger.people.policy import is_locked, taught_by
from ledger.store import Ledger

NUMBER = 900
TEXTS = ("who feeds the lamp?", "Otto does, at dusk")


async def teach(house: Ledger, number: int = NUMBER, *, guild_id: int = 1, author_id: int = 7) -> None:
    await teach_pair(house, guild_id, author_id, "Wren", number=number, texts=TEXTS)


async def test_a_pair_is_a_question_of_nobodys_and_the_admins_reply_to_it(house: Ledger) -> None:
    await teach(house)
    asked, answered = await house.messages.of_guild(1)
    assert (asked.id, asked.author_id, asked.content, asked.reply_to) == (NUMBER, ASKER, TEXTS[0], None)
    assert (answered.id, answered.author_id, answered.content) == (NUMBER + 1, 7, TEXTS[1])
    assert answered.reply_to == NUMBER
    assert {asked.created_at, answered.created_at} == {to_ms(house.clock.now())}
    assert await house.people.names(1) == {ASKER: ASKER_NAME, 7: "Wren"}


async def test_both_halves_are_kept_on_the_admins_word_and_the_policy_lock_leaves_them_open(
    house: Ledger,
) -> None:
    await teach(house)
    pair = await house.messages.of_guild(1)
    assert {(half.source, half.basis) for half in pair} == {("example", taught_by(7))}
    assert not any(is_locked(half, "") for half in pair)


async def test_pairs_lie_in_a_channel_of_their_own_for_each_guild(house: Ledger) -> None:
    await teach(house)
    await teach(house, 950, guild_id=11)
    assert {half.channel_id for half in await house.messages.of_guild(1)} == {-1}
    assert {half.channel_id for half in await house.messages.of_guild(11)} == {-11}
    assert "examples" in {channel.name for channel in await house.channels.of_guild(1)}


@pytest.mark.parametrize("times", [2, 3])
async def test_an_interaction_that_arrives_again_teaches_nothing_new(house: Ledger, times: int) -> None:
    for _ in range(times):
        await teach(house)
    await teach(house, NUMBER + 2)
    assert len(await house.messages.of_guild(1)) == 4
