"""Each message is sorted into a conversation once, in whatever portions it comes, and stays there."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable

import pytest

from ledger.forgetting.deletion_path import Forgetting
from ledger.learned.teaching import teach_pair
from ledger.records import Message
from ledger.store import Ledger
from ledger.talk import sorting
from ledger.talk.conversations import disentangle
from ledger.talk.sorting import position
from tests.ledger.conftest import CHANNEL, GUILD, OTHER_CHANNEL, OTHER_GUILD

MINUTE = 60_000
GAP = 15 * MINUTE
START = 1_772_000_000_000

Maker = Callable[..., Message]


def chat(message: Maker, count: int, seed: int = 1, **fields: object) -> list[Message]:
    """Return talk of five people, some minutes apart and now and then an hour; some name or quote others."""
    order = random.Random(seed)
    at, found = START, []
    for number in range(1, count + 1):
        at += order.choice((1, 1, 2, 4, 9, 70)) * MINUTE
        author = order.randrange(7, 12)
        found.append(
            message(
                number,
                order.choice(("where is the lamp?", "on the shelf", "thanks!", "who feeds the cat?", "I do")),
                author_id=author,
                author_name=f"member {author}",
                created_at=at,
                mentions=(order.randrange(7, 12),) if order.random() < 0.3 else (),
                reply_to=order.randrange(1, number) if number > 1 and order.random() < 0.1 else None,
                **fields,
            )
        )
    return found


async def grouped(ledger: Ledger, guild: int = GUILD) -> set[frozenset[int]]:
    """Return the messages that are sorted, by conversation."""
    found: dict[int | None, set[int]] = {}
    for stored in await ledger.messages.of_guild(guild):
        found.setdefault(stored.conversation, set()).add(stored.id)
    found.pop(None, None)
    return set(map(frozenset, found.values()))


@pytest.mark.parametrize("portion", [1, 7, 40, 150])
async def test_portions_give_the_same_conversations_as_all_at_once(
    house: Ledger, message: Maker, portion: int
) -> None:
    said = chat(message, 150)
    for start in range(0, len(said), portion):
        await house.messages.add_many(said[start : start + portion])
        assert await house.conversations.sort(GUILD, gap_ms=GAP) == len(said[start : start + portion])
    whole = {frozenset(each.id for each in talk) for talk in disentangle(said, gap_ms=GAP)}
    assert 5 < len(whole) < 100
    assert await grouped(house) == whole
    assert await house.conversations.sort(GUILD, gap_ms=GAP) == 0


async def test_a_list_of_conversations_tells_their_size_end_and_place(house: Ledger, message: Maker) -> None:
    await house.messages.add_many(chat(message, 150))
    await house.messages.add_many([message(900, guild_id=OTHER_GUILD, channel_id=OTHER_CHANNEL)])
    await house.conversations.sort(GUILD, gap_ms=GAP)
    listed = await house.conversations.of_guild(GUILD)
    assert [each.ended_at for each in listed] == sorted((each.ended_at for each in listed), reverse=True)
    key = await house.lineage.split_key()
    for each in listed:
        messages = await house.messages.of_conversations(GUILD, [each.number])
        assert (each.messages, each.ended_at) == (len(messages), messages[-1].created_at)
        assert each.place == position(key, GUILD, messages[0].id)
    assert sum(each.messages for each in listed) == 150
    assert await house.conversations.of_guild(OTHER_GUILD) == []


async def test_what_comes_late_joins_what_is_there_and_moves_nothing(house: Ledger, message: Maker) -> None:
    said = chat(message, 120)
    late = said[40:60]
    await house.messages.add_many([*said[:40], *said[60:]])
    await house.conversations.sort(GUILD, gap_ms=GAP)
    before = {each.id: each.conversation for each in await house.messages.of_guild(GUILD)}
    await house.messages.add_many(late)
    assert await house.conversations.sort(GUILD, gap_ms=GAP) == 20
    after = {each.id: each.conversation for each in await house.messages.of_guild(GUILD)}
    assert {number: after[number] for number in before} == before
    assert all(after[each.id] is not None for each in late)
    assert {after[each.id] for each in late} & set(before.values())


async def test_an_answer_to_something_far_back_joins_its_conversation(
    house: Ledger, message: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sorting, "BEFORE", 3)
    said = chat(message, 60)
    await house.messages.add_many(said)
    await house.conversations.sort(GUILD, gap_ms=GAP)
    far = message(61, "about that", created_at=said[-1].created_at + 5 * GAP, reply_to=2)
    near = message(62, "indeed", created_at=far.created_at + MINUTE, reply_to=61, author_id=8)
    elsewhere = message(63, "here?", channel_id=300, created_at=far.created_at, reply_to=2)
    await house.channels.ensure(300, GUILD, "attic")
    await house.messages.add_many([far, near, elsewhere])
    await house.conversations.sort(GUILD, gap_ms=GAP)
    home = {each.id: each.conversation for each in await house.messages.of_guild(GUILD)}
    assert home[61] == home[62] == home[2]
    assert home[63] not in (None, home[2])  # a conversation is within one channel


async def test_taught_pairs_and_impossible_dates_are_not_sorted(house: Ledger, message: Maker) -> None:
    await house.messages.add_many(chat(message, 10))
    await teach_pair(house, GUILD, 7, "Wren", number=900, texts=("where is the lamp?", "on the shelf"))
    # As stored before dates had bounds.
    for change in (
        "messages SET created_at = :at WHERE id = 10",
        "unsorted SET created_at = :at WHERE message_id = 10",
    ):
        await house.writer.execute(f"UPDATE {change}", {"at": 253_402_387_139_999})
    assert await house.conversations.sort(GUILD, gap_ms=GAP) == 9
    assert await house.conversations.sort(GUILD, gap_ms=GAP) == 0
    taught = await house.messages.taught(GUILD)
    assert [each.conversation for each in taught] == [None, None]


async def test_a_deletion_corrects_the_conversation_and_ends_it_when_it_is_empty(
    house: Ledger, message: Maker
) -> None:
    await house.messages.add_many(
        [
            message(1, "where is the lamp?", created_at=START),
            message(2, "on the shelf", created_at=START + MINUTE, author_id=8, reply_to=1),
            message(3, "thanks", created_at=START + 2 * MINUTE, reply_to=2),
        ]
    )
    await house.conversations.sort(GUILD, gap_ms=GAP)
    [whole] = await house.conversations.of_guild(GUILD)
    await house.writer.execute("DELETE FROM messages WHERE id = 3")
    [shorter] = await house.conversations.of_guild(GUILD)
    assert (shorter.messages, shorter.ended_at) == (2, START + MINUTE)
    await house.writer.execute("DELETE FROM messages WHERE id = 1")
    [beheaded] = await house.conversations.of_guild(GUILD)
    assert (beheaded.number, beheaded.place) == (whole.number, whole.place)  # its part is decided once
    assert (beheaded.messages, beheaded.ended_at) == (1, START + MINUTE)
    await house.writer.execute("DELETE FROM messages WHERE id = 2")
    assert await house.conversations.of_guild(GUILD) == []


async def test_forgetting_a_server_leaves_no_conversation_of_it(house: Ledger, message: Maker) -> None:
    await house.messages.add_many(chat(message, 40))
    await house.messages.add_many([message(900, guild_id=OTHER_GUILD, channel_id=OTHER_CHANNEL)])
    for guild in (GUILD, OTHER_GUILD):
        await house.conversations.sort(guild, gap_ms=GAP)
    path = house.path.parent
    await Forgetting(house, datasets_dir=path / "data", runs_dir=path / "runs").guild(GUILD, asked_by="test")
    assert await house.conversations.of_guild(GUILD) == []
    assert len(await house.conversations.of_guild(OTHER_GUILD)) == 1


async def test_another_gap_sorts_everything_anew(house: Ledger, message: Maker) -> None:
    said = chat(message, 80)
    await house.messages.add_many(said)
    await house.conversations.sort(GUILD, gap_ms=GAP)
    before = await grouped(house)
    assert await house.conversations.sort(GUILD, gap_ms=2 * MINUTE) == 80
    after = await grouped(house)
    assert after == {frozenset(m.id for m in talk) for talk in disentangle(said, gap_ms=2 * MINUTE)}
    assert len(after) > len(before)
    assert len(await house.conversations.of_guild(GUILD)) == len(after)


async def test_it_stops_between_batches_tells_its_progress_and_goes_on(
    house: Ledger, message: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sorting, "BATCH", 20)
    await house.messages.add_many(chat(message, 50))
    told: list[tuple[int, int]] = []
    stopped = await house.conversations.sort(
        GUILD,
        gap_ms=GAP,
        stop=lambda: bool(told),
        on_progress=lambda done, of: told.append((done, of)),
    )
    assert (stopped, told) == (20, [(20, 50)])
    assert await house.conversations.sort(GUILD, gap_ms=GAP) == 30


async def test_what_is_deleted_while_it_is_sorted_leaves_nothing(
    house: Ledger, message: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.messages.add_many(chat(message, 30))
    await house.channels.ensure(CHANNEL, GUILD, "lounge")

    def deleted_meanwhile(talk: list[Message], *, gap_ms: int) -> list[list[Message]]:
        with sqlite3.connect(house.path) as other:
            other.execute("PRAGMA foreign_keys = ON")
            other.execute("DELETE FROM messages WHERE id > 1")
        return disentangle(talk, gap_ms=gap_ms)

    monkeypatch.setattr(sorting, "disentangle", deleted_meanwhile)
    await house.conversations.sort(GUILD, gap_ms=GAP)
    monkeypatch.undo()
    assert [each.messages for each in await house.conversations.of_guild(GUILD)] == [1]
    assert await grouped(house) == {frozenset({1})}
