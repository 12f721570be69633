"""Forgetting: nothing of a person's words is left, and everybody else's stay."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ledger.forgetting import forget_person
from ledger.records import Message, Reply
from ledger.store import Ledger


def reply(number: int, asked_by: int) -> Reply:
    return Reply(number, 1, 100, asked_by, None, "an answer to xylophone", "g1-v000001", number)


async def test_a_person_is_forgotten_and_nobody_else(
    house: Ledger, message: Callable[..., Message], tmp_path: Path
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
    await house.replies.add(reply(50, asked_by=7))
    await house.replies.add(reply(51, asked_by=8))
    await house.replies.react(51, 7, "👍")
    receipt = await forget_person(house, 1, 7, datasets_dir=tmp_path / "datasets")
    assert (receipt.messages, receipt.replies, receipt.reactions, receipt.datasets) == (1, 1, 1, 0)
    assert receipt.versions == ()
    assert [stored.id for stored in await house.messages.of_guild(1)] == [2]
    assert [stored.id for stored in await house.messages.of_guild(11)] == [3]
    assert [kept.message_id for kept in await house.replies.of_guild(1)] == [51]
    assert await house.people.names(1) == {}
    assert not await house.consent.allows(1, 7, 100)


async def test_no_byte_of_the_files_holds_their_words(house: Ledger, message: Callable[..., Message]) -> None:
    await house.messages.add_many(message(n, f"xylophone {n} " + "and so on " * 30) for n in range(1, 90))
    await house.messages.add(message(500, "mine", author_id=8))
    await forget_person(house, 1, 7, datasets_dir=house.path.parent / "datasets")
    left = b"".join(file.read_bytes() for file in house.path.parent.iterdir() if file.is_file())
    assert b"xylophone" not in left
    assert b"mine" in left


async def test_the_receipt_names_the_versions_that_learned_from_them(
    house: Ledger, message: Callable[..., Message], tmp_path: Path
) -> None:
    for author in (7, 8, 7):
        run = await house.runs.create(1, "night")
        await house.runs.learned_from(run.id, [(author * 100, author)])
        await house.adapters.reserve(1, run.id, adapters_dir="adapters", base_model="tiny")
    await house.adapters.mark_deleted("g1-v000001")
    receipt = await forget_person(house, 1, 7, datasets_dir=tmp_path)
    assert receipt.versions == ("g1-v000003",)


async def test_every_dataset_of_the_guild_goes_and_no_other_guilds(house: Ledger, tmp_path: Path) -> None:
    for name in ("g1-20260301T030000", "g1-20260302T030000", "g11-20260302T030000"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "train.jsonl").write_text("{}\n", encoding="utf-8")
    receipt = await forget_person(house, 1, 7, datasets_dir=tmp_path)
    assert receipt.datasets == 2
    assert [folder.name for folder in tmp_path.iterdir() if folder.name.startswith("g")] == [
        "g11-20260302T030000"
    ]


async def test_forgetting_somebody_unknown_stores_their_wish_and_nothing_else(
    house: Ledger, tmp_path: Path
) -> None:
    receipt = await forget_person(house, 1, 404, datasets_dir=tmp_path)
    assert (receipt.messages, receipt.replies, receipt.reactions) == (0, 0, 0)
    assert await house.consent.refusing(1) == {404}
