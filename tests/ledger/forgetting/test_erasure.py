"""What a deletion reaches in the tables: everything of its subject, and nothing of anybody else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ledger.forgetting.deletion_path import Forgetting
from ledger.forgetting.erasure import Kind
from ledger.learned.teaching import teach_pair
from ledger.records import BotAnswer, Message
from ledger.store import Ledger
from tests.ledger.forgetting.learned_nights import learned
from tests.looking import answers_of


def reply(number: int, asked_by: int) -> BotAnswer:
    return BotAnswer(number, 1, 100, asked_by, None, "an answer to xylophone", "g1-v000001", number)


async def test_a_person_is_forgotten_and_nobody_else(
    house: Ledger, forgetting: Forgetting, message: Callable[..., Message]
) -> None:
    await house.people.ensure(1, 7, "Wren")
    await house.consent.opt_in(1, 7)
    await house.messages.add_many(
        [
            message(1, "my xylophone"),
            message(2, "mine", author_id=8),
            message(3, guild_id=11, channel_id=200),
        ]
    )
    await house.answers.add(reply(50, asked_by=7))
    await house.answers.add(reply(51, asked_by=8))
    await house.answers.react(51, 7, "👍")
    receipt = await forgetting.person(1, 7, asked_by="member")
    assert receipt.counts == {"messages": 1, "replies": 1, "reactions": 1}
    assert receipt.versions == ()
    assert receipt.completed_at is not None
    assert [stored.id for stored in await house.messages.of_guild(1)] == [2]
    assert [stored.id for stored in await house.messages.of_guild(11)] == [3]
    assert [kept.message_id for kept in await answers_of(house, 1)] == [51]
    assert await house.people.names(1) == {}
    assert not await house.consent.allows(1, 7, 100)


async def test_a_deleted_channel_reaches_versions_whose_messages_were_too_old_to_be_kept(
    house: Ledger, forgetting: Forgetting, message: Callable[..., Message], tmp_path: Path
) -> None:
    await house.channels.ensure(101, 1, "elsewhere")
    await house.messages.add_many([message(1), message(2, channel_id=101)])
    elsewhere = await learned(house, tmp_path, (2, 7))
    there = await learned(house, tmp_path, (1, 7), (2, 7))
    await house.messages.delete_older(10**13)
    receipt = await forgetting.channel(1, 100, asked_by="Discord")
    assert receipt.counts["messages"] == 0
    assert [version.version for version in receipt.versions] == [there.version]
    assert not await house.deletions.is_tainted(elsewhere.run_id)


@pytest.fixture
async def full(house: Ledger, message: Callable[..., Message]) -> Ledger:
    """Wren (7) and Ida (8) in two channels and two guilds, with answers, reactions and a run for each."""
    for guild in (1, 11):
        for person in (7, 8):
            await house.consent.opt_in(guild, person)
            await house.people.ensure(guild, person, f"name {person}")
    await house.channels.ensure(101, 1, "kitchen")
    await house.messages.add_many(
        [
            message(1),
            message(2, author_id=8),
            message(3, author_id=8, channel_id=101),
            message(4, guild_id=11, channel_id=200),
        ]
    )
    for answer in (
        BotAnswer(50, 1, 100, 7, 1, "to wren", None, 50),
        BotAnswer(51, 1, 101, 8, 3, "to ida", None, 51),
    ):
        await house.answers.add(answer)
        await house.answers.react(answer.message_id, 8, "👍")
    return house


async def ids_left(ledger: Ledger, table: str, column: str) -> list[int]:
    async with ledger.reader.execute(f"SELECT {column} FROM {table} ORDER BY 1") as cursor:
        return [int(row[0]) async for row in cursor]


@pytest.mark.parametrize(
    ("kind", "subject", "messages", "answers"),
    [
        ("person", [7], [2, 3, 4], [51]),
        ("person", [8], [1, 4], [50]),
        ("messages", [3], [1, 2, 4], [50]),
        ("messages", [50], [1, 2, 3, 4], [51]),
        ("channel", [100], [3, 4], [51]),
        ("guild", [], [4], []),
    ],
)
async def test_each_kind_takes_its_own_messages_and_answers(
    full: Ledger, kind: Kind, subject: list[int], messages: list[int], answers: list[int]
) -> None:
    receipt = await full.deletions.begin(1, kind, subject, asked_by="test", keep_ms=0)
    assert await ids_left(full, "messages", "id") == messages
    assert await ids_left(full, "replies", "message_id") == answers
    assert await ids_left(full, "reactions", "message_id") == ([] if subject == [8] else answers)
    assert receipt.counts["messages"] == 4 - len(messages)
    assert receipt.counts["replies"] == 2 - len(answers)


async def test_a_name_goes_with_its_person_and_all_names_of_a_guild_with_the_guild(full: Ledger) -> None:
    await full.deletions.begin(1, "person", [7], asked_by="member", keep_ms=0)
    assert await full.people.names(1) == {8: "name 8"}
    await full.deletions.begin(1, "channel", [100], asked_by="Discord", keep_ms=0)
    assert await full.people.names(1) == {8: "name 8"}
    await full.deletions.begin(1, "guild", [], asked_by="Discord", keep_ms=0)
    assert await full.people.names(1) == {}
    assert await full.people.names(11) == {7: "name 7", 8: "name 8"}


async def test_a_guild_that_goes_takes_the_reasons_of_its_nights_along(full: Ledger) -> None:
    for guild in (1, 11):
        run = await full.runs.create(guild, "night")
        await full.runs.advance(run.id, "failed", reasons=("a reason",), error="an error")
    await full.deletions.begin(1, "guild", [], asked_by="Discord", keep_ms=0)
    [gone], [kept] = await full.runs.of_guild(1), await full.runs.of_guild(11)
    assert (gone.reasons, gone.error) == ((), None)
    assert (kept.reasons, kept.error) == (("a reason",), "an error")


async def test_a_taught_pair_goes_with_the_admin_who_taught_it_question_and_all(full: Ledger) -> None:
    for admin, number in ((7, 900), (8, 910), (77, 920)):
        await teach_pair(full, 1, admin, "an admin", number=number, texts=("who feeds it?", "nobody does"))
    await full.deletions.begin(1, "person", [7], asked_by="member", keep_ms=0)
    assert [number for number in await ids_left(full, "messages", "id") if number >= 900] == [
        910,
        911,
        920,
        921,
    ]


@pytest.mark.parametrize(
    ("kind", "subject", "marked"),
    [
        ("person", [7], "a"),
        ("messages", [2], "b"),
        ("channel", [101], "b"),
        ("guild", [], "ab"),
        ("person", [404], ""),
    ],
)
async def test_runs_that_saw_any_of_it_are_marked_and_no_other_guilds(
    full: Ledger, tmp_path: Path, kind: Kind, subject: list[int], marked: str
) -> None:
    runs: dict[str, Any] = {
        "a": await learned(full, tmp_path, (1, 7), promote=False),
        "b": await learned(full, tmp_path, (2, 8), (3, 8), promote=False),
    }
    elsewhere = await full.runs.create(11, "night")
    await full.runs.learned_from(elsewhere.id, [(4, 7)])
    receipt = await full.deletions.begin(1, kind, subject, asked_by="test", keep_ms=0)
    assert await full.deletions.runs_touched(receipt.id) == sorted(runs[name].run_id for name in marked)


@pytest.mark.parametrize("in_reply_to", [2, None], ids=["a mention", "an answer to /ask"])
async def test_an_answer_that_quotes_the_deleted_is_blanked_unless_it_is_older(
    full: Ledger, message: Callable[..., Message], in_reply_to: int | None
) -> None:
    said = "the spare key lies under the third pot by the shed"
    spoken = message(20, said)
    await full.messages.add(spoken)
    for number, at in ((60, spoken.created_at - 1), (61, spoken.created_at)):
        await full.answers.add(BotAnswer(number, 1, 100, 8, in_reply_to, f"Wren says {said}.", None, at))
    receipt = await full.deletions.begin(1, "messages", [20], asked_by="Discord", keep_ms=0)
    assert receipt.counts["quotes"] == 1
    kept = {answer.message_id: answer.content for answer in await answers_of(full, 1)}
    assert (kept[60], kept[61], kept[51]) == (f"Wren says {said}.", "", "to ida")


@pytest.mark.parametrize(
    ("kind", "subject", "left"),
    [("person", [7], [8]), ("guild", [], []), ("channel", [100], [7, 8]), ("messages", [1], [7, 8])],
)
async def test_a_quarantine_goes_with_its_person_or_guild_and_no_other(
    full: Ledger, kind: Kind, subject: list[int], left: list[int]
) -> None:
    for guild in (1, 11):
        await full.quarantine.hold(guild, {7: ["abuse"], 8: ["slogan"]}, since=0, days=14)
    await full.deletions.begin(1, kind, subject, asked_by="test", keep_ms=0)
    assert sorted(await full.quarantine.of_guild(1)) == left
    assert sorted(await full.quarantine.of_guild(11)) == [7, 8]


@pytest.fixture
async def liked(full: Ledger, message: Callable[..., Message]) -> Ledger:
    """Wren asked (1) and was answered in two messages (50, 52); Ida's (53) quotes what Wren said (20)."""
    said = "the spare key lies under the third pot by the shed"
    await full.messages.add(message(20, said))
    await full.answers.add(BotAnswer(52, 1, 100, 7, None, "", None, 52, part_of=50))
    at = message(20).created_at + 1
    await full.answers.add(BotAnswer(53, 1, 101, 8, 3, f"Wren says {said}.", None, at))
    return full


LEARNED_ANSWERS = {"wren's": ((1, 7), (50, 7), (52, 7)), "ida's": ((3, 8), (53, 8))}


@pytest.mark.parametrize(
    ("kind", "subject", "marked"),
    [
        ("messages", [1], ["wren's"]),
        ("messages", [50], ["wren's"]),
        ("messages", [52], ["wren's"]),
        ("messages", [20], ["ida's"]),
        ("messages", [51], []),
        ("person", [8], ["ida's"]),
        ("person", [7], ["ida's", "wren's"]),
        ("channel", [100], ["ida's", "wren's"]),
        ("channel", [101], ["ida's"]),
    ],
)
async def test_a_run_that_learned_an_answer_is_marked_when_question_answer_asker_or_what_it_quotes_goes(
    liked: Ledger, tmp_path: Path, kind: Kind, subject: list[int], marked: list[str]
) -> None:
    runs = {
        name: (await learned(liked, tmp_path, *seen, promote=False)).run_id
        for name, seen in LEARNED_ANSWERS.items()
    }
    receipt = await liked.deletions.begin(1, kind, subject, asked_by="test", keep_ms=0)
    touched = await liked.deletions.runs_touched(receipt.id)
    assert sorted(name for name, run in runs.items() if run in touched) == marked


async def test_a_run_that_lists_the_answer_alone_is_marked_when_its_question_goes(
    liked: Ledger, tmp_path: Path
) -> None:
    run = (await learned(liked, tmp_path, (50, 7), promote=False)).run_id
    receipt = await liked.deletions.begin(1, "messages", [1], asked_by="test", keep_ms=0)
    assert await liked.deletions.runs_touched(receipt.id) == [run]
