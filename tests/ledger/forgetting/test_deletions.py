"""The record of deletions: what was asked, which runs and versions it touched, and how far it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ledger.clock import to_ms
from ledger.errors import AdapterError
from ledger.forgetting.deletion_path import Forgetting
from ledger.forgetting.deletions import Tainted
from ledger.records import Adapter, AdapterState, Message
from ledger.store import Ledger
from tests.ledger.forgetting.learned_nights import learned
from tests.looking import deletions_of


async def test_a_night_under_way_does_not_promote_what_it_learned_from_the_forgotten(
    house: Ledger, forgetting: Forgetting, tmp_path: Path
) -> None:
    run = await house.runs.create(1, "night")
    await house.runs.learned_from(run.id, [(70, 7)])
    await forgetting.person(1, 7, asked_by="member")
    late = await house.adapters.reserve(1, run.id, adapters_dir=str(tmp_path), base_model="tiny")
    assert await house.deletions.is_tainted(run.id)
    with pytest.raises(AdapterError, match="deleted since"):
        await house.promotions.promote(1, late.version, by="night")


async def test_a_message_that_nobody_kept_leaves_no_record(house: Ledger, forgetting: Forgetting) -> None:
    assert await forgetting.messages(1, [404], asked_by="Discord") is None
    assert await deletions_of(house, 1) == []


async def test_forgetting_somebody_unknown_stores_their_wish_and_nothing_else(
    house: Ledger, forgetting: Forgetting
) -> None:
    receipt = await forgetting.person(1, 404, asked_by="member")
    assert receipt.counts == {"messages": 0, "replies": 0, "reactions": 0}
    assert await house.consent.refusing(1) == {404}


async def test_text_goes_in_the_transaction_that_notes_the_deletion(
    house: Ledger, message: Callable[..., Message], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def disk_full(*arguments: object) -> dict[str, int]:
        raise RuntimeError("stopped before the rows went")

    await house.messages.add(message(1))
    with monkeypatch.context() as patch:
        patch.setattr("ledger.forgetting.deletions.delete_rows", disk_full)
        with pytest.raises(RuntimeError, match="stopped before"):
            await house.deletions.begin(1, "person", [7], asked_by="member", keep_ms=0)
    assert await deletions_of(house, 1) == []
    assert await house.consent.refusing(1) == set()
    assert len(await house.messages.of_guild(1)) == 1
    await house.deletions.begin(1, "person", [7], asked_by="member", keep_ms=0)
    assert await house.messages.of_guild(1) == []


async def test_a_deletion_is_open_until_it_is_completed_and_keeps_the_time_of_that(house: Ledger) -> None:
    first = await house.deletions.begin(1, "person", [8, 7], asked_by="member", keep_ms=0)
    second = await house.deletions.begin(11, "messages", [5], asked_by="Discord", keep_ms=0)
    assert (first.subject, first.asked_at) == ((7, 8), to_ms(house.clock.now()))
    assert await house.deletions.unfinished() == [first, second]
    done = to_ms(house.clock.advance(minutes=1))  # type: ignore[attr-defined]
    await house.deletions.complete(first.id)
    house.clock.advance(minutes=1)  # type: ignore[attr-defined]
    await house.deletions.complete(first.id)
    assert await house.deletions.unfinished() == [second]
    assert await deletions_of(house, 1) == [replace(first, completed_at=done)]


async def test_a_repeated_deletion_has_its_first_date_and_dates_versions_by_it(
    house: Ledger, tmp_path: Path
) -> None:
    champion = await learned(house, tmp_path, (70, 7))
    receipt = await house.deletions.begin(1, "person", [7], asked_by="member", keep_ms=1000, asked_at=5_000)
    assert receipt.asked_at == 5_000
    [version] = receipt.versions
    assert (version.version, version.delete_by, version.deleted_at) == (champion.version, 6_000, None)
    [event] = await house.consent.history(1, 7)
    assert (event.granted, event.at) == (False, 5_000)


async def test_only_members_own_wishes_of_that_time_without_a_receipt_are_untold(house: Ledger) -> None:
    async def begin(asked_by: str, at: int) -> int:
        made = await house.deletions.begin(1, "person", [7], asked_by=asked_by, keep_ms=0, asked_at=at)
        return made.id

    early, first, last, late = [await begin("member", at) for at in (9, 10, 20, 21)]
    await begin("operator", 15)
    await house.deletions.begin(1, "messages", [1], asked_by="member", keep_ms=0, asked_at=15)
    assert [found.id for found in await house.deletions.untold(since=10, until=20)] == [first, last]
    await house.deletions.told(first)
    assert [found.id for found in await house.deletions.untold(since=0, until=99)] == [early, last, late]


async def test_receipts_are_a_persons_own_in_one_guild_newest_first(house: Ledger) -> None:
    numbers = [
        (await house.deletions.begin(guild, "person", people, asked_by="member", keep_ms=0)).id
        for guild, people in ((1, [7]), (1, [8]), (11, [7]), (1, [7, 8]))
    ]
    assert [found.id for found in await house.deletions.of_person(1, 7)] == [numbers[3], numbers[0]]
    assert await house.deletions.newest(1) == numbers[3]
    assert await house.deletions.newest(11) == numbers[2]
    assert await house.deletions.newest(404) == 0
    assert [found.id for found in await house.deletions.since(numbers[1])] == numbers[2:]


@pytest.mark.parametrize("number", [1, 2, 3, 4])
async def test_a_message_is_touched_where_it_is_stored_answered_or_was_learned_from(
    house: Ledger, tmp_path: Path, message: Callable[..., Message], number: int
) -> None:
    await house.messages.add(message(1))
    await house.consent.opt_in(1, 7)
    await house.writer.execute(
        "INSERT INTO replies (message_id, guild_id, channel_id, asked_by, in_reply_to, content, created_at)"
        " VALUES (2, 1, 100, 7, 3, '', 5)"
    )
    await learned(house, tmp_path, (4, 7))
    assert await house.deletions.touches(1, [number])
    assert not await house.deletions.touches(1, [5, 404])


async def test_a_tainted_version_may_answer_until_its_date_and_not_once_its_files_are_gone(
    house: Ledger, tmp_path: Path
) -> None:
    clean, marked = await learned(house, tmp_path, (80, 8)), await learned(house, tmp_path, (70, 7))
    deletion = await house.deletions.begin(1, "person", [7], asked_by="member", keep_ms=60_000)
    assert await house.deletions.runs_touched(deletion.id) == [marked.run_id]
    assert not await house.deletions.is_tainted(clean.run_id)
    assert await house.deletions.is_tainted(marked.run_id)
    house.clock.advance(seconds=59)  # type: ignore[attr-defined]
    assert await house.deletions.may_serve(marked.version)
    house.clock.advance(seconds=1)  # type: ignore[attr-defined]
    assert not await house.deletions.may_serve(marked.version)
    assert await house.deletions.may_serve(clean.version)
    await house.deletions.version_deleted(clean)
    assert not await house.deletions.may_serve(clean.version)
    assert not await house.deletions.may_serve("g1-v999999")


async def test_a_version_of_two_deletions_has_the_earlier_date_and_is_wide_if_either_is(
    house: Ledger, tmp_path: Path
) -> None:
    champion = await learned(house, tmp_path, (70, 7), (71, 8))
    now = to_ms(house.clock.now())
    await house.deletions.begin(1, "messages", [70], asked_by="edit in Discord", keep_ms=2000)
    assert await house.deletions.tainted() == [Tainted(champion, now + 2000, wide=False)]
    await house.deletions.begin(1, "person", [8], asked_by="member", keep_ms=5000)
    assert await house.deletions.tainted() == [Tainted(champion, now + 2000, wide=True)]


@pytest.mark.parametrize(
    ("state", "wide", "now", "waits"),
    [
        ("champion", True, 9, True),
        ("champion", True, 10, False),
        ("previous", False, 9, True),
        ("previous", True, 9, False),
        ("previous", False, 10, False),
        ("candidate", False, 9, False),
        ("retired", False, 9, False),
    ],
)
def test_a_version_waits_for_its_date_only_where_it_serves_or_could_after_a_typo(
    state: AdapterState, wide: bool, now: int, waits: bool
) -> None:
    adapter = Adapter("g1-v000001", 1, "run", "adapters/1/g1-v000001", "tiny", 1, state)
    assert Tainted(adapter, 10, wide).may_wait(now) == waits


async def test_a_deleted_version_is_dated_and_no_longer_knows_whose_words_it_held(
    house: Ledger, tmp_path: Path
) -> None:
    marked = await learned(house, tmp_path, (70, 7), promote=False)
    deletion = await house.deletions.begin(1, "person", [7], asked_by="member", keep_ms=0)
    assert await house.deletions.knows_words_of(marked.run_id)
    assert await house.deletions.leftovers() == []
    await house.runs.advance(marked.run_id, "kept")
    assert await house.deletions.datasets_beyond_the_ledger() == [marked.run_id]
    gone = to_ms(house.clock.advance(minutes=1))  # type: ignore[attr-defined]
    await house.deletions.version_deleted(marked)
    assert not await house.deletions.knows_words_of(marked.run_id)
    assert await house.deletions.tainted() == []
    assert await house.deletions.leftovers() == [(marked.run_id, (marked.path,))]
    [receipt] = await house.deletions.of_person(1, 7)
    assert receipt.id == deletion.id
    assert [version.deleted_at for version in receipt.versions] == [gone]
