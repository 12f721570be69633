"""Retention: what is too old goes, what is not stays, and promised dates are kept."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ledger.clock import to_ms
from ledger.forgetting.deletion_path import DAY_MS, Forgetting
from ledger.forgetting.retention import Retention, Swept
from ledger.learned.conversation_scores import ConversationScore
from ledger.people.policy import declared
from ledger.records import BotAnswer, Message
from ledger.store import Ledger
from tests.looking import answers_of


def looking_after(house: Ledger, tmp_path: Path, *, anchor_weeks: int = 0) -> Retention:
    datasets, runs = tmp_path / "datasets", tmp_path / "runs"
    return Retention(
        house,
        Forgetting(house, datasets_dir=datasets, runs_dir=runs),
        datasets_dir=datasets,
        runs_dir=runs,
        days=180,
        adapters_kept=2,
        adapter_days=365,
        anchor_weeks=anchor_weeks,
    )


@pytest.fixture
def retention(house: Ledger, tmp_path: Path) -> Retention:
    return looking_after(house, tmp_path)


async def version(house: Ledger, tmp_path: Path, *, promote: bool = False) -> str:
    run = await house.runs.create(1, "night")
    adapter = await house.adapters.reserve(1, run.id, adapters_dir=str(tmp_path / "a"), base_model="tiny")
    Path(adapter.path).mkdir(parents=True)
    if promote:
        await house.promotions.promote(1, adapter.version, by="night")
    else:
        await house.adapters.retire(adapter.version)
    return adapter.version


async def test_text_goes_on_its_day_and_not_before(
    house: Ledger, retention: Retention, message: Callable[..., Message], tmp_path: Path
) -> None:
    now = to_ms(house.clock.now())
    old, young = now - 180 * DAY_MS - 1, now - 180 * DAY_MS
    await house.messages.add_many([message(1, "xylophone", created_at=old), message(2, created_at=young)])
    await house.consent.opt_in(1, 7)
    await house.answers.add(BotAnswer(50, 1, 100, 7, None, "xylophone", None, old))
    await house.answers.add(BotAnswer(51, 1, 100, 7, None, "an answer", None, young))
    swept = await retention.sweep()
    assert (swept.messages, swept.replies) == ({1: 1}, {1: 1})
    assert [kept.id for kept in await house.messages.of_guild(1)] == [2]
    assert [kept.message_id for kept in await answers_of(house, 1)] == [51]
    left = b"".join(file.read_bytes() for file in house.path.parent.iterdir() if file.is_file())
    assert b"xylophone" not in left


async def test_old_datasets_go_with_what_was_fitted_on_them_by_hand(
    house: Ledger, retention: Retention, tmp_path: Path
) -> None:
    now = house.clock.now().timestamp()
    folders = [
        (tmp_path / "datasets" / "g1-old", 181),
        (tmp_path / "datasets" / "g1-young", 179),
        (tmp_path / "runs" / "fit-g1-old", 181),
        (tmp_path / "runs" / "fit-g1-young", 179),
        (tmp_path / "runs" / "g1-a-nights", 181),
    ]
    for folder, age in folders:
        folder.mkdir(parents=True)
        os.utime(folder, (now - age * 86_400,) * 2)
    assert (await retention.sweep()).datasets == 2
    assert [folder.name for folder, _ in folders if folder.is_dir()] == [
        "g1-young",
        "fit-g1-young",
        "g1-a-nights",
    ]


async def test_retired_versions_beyond_the_newest_few_go_and_serving_ones_stay(
    house: Ledger, retention: Retention, tmp_path: Path
) -> None:
    previous = await version(house, tmp_path, promote=True)
    champion = await version(house, tmp_path, promote=True)
    retired = [await version(house, tmp_path) for _ in range(4)]
    assert set((await retention.sweep()).versions) == set(retired[:2])
    states = {adapter.version: adapter.state for adapter in await house.adapters.of_guild(1)}
    assert states[champion] == "champion"
    assert states[previous] == "previous"
    assert states[retired[3]] == "retired"
    assert not Path((await house.adapters.require(1, retired[0])).path).exists()


async def test_a_version_that_is_too_old_goes_even_among_the_newest(
    house: Ledger, retention: Retention, tmp_path: Path
) -> None:
    retired = await version(house, tmp_path)
    house.clock.advance(days=366)  # type: ignore[attr-defined]
    assert (await retention.sweep()).versions == (retired,)


async def test_a_second_look_finds_nothing(
    house: Ledger, retention: Retention, message: Callable[..., Message]
) -> None:
    await house.messages.add(message(1, created_at=0))
    assert await retention.sweep()
    assert not await retention.sweep()


async def test_the_newest_retired_ones_are_kept_besides_those_that_serve(
    house: Ledger, retention: Retention, tmp_path: Path
) -> None:
    retired = [await version(house, tmp_path) for _ in range(3)]
    for _ in range(2):
        await version(house, tmp_path, promote=True)
    assert (await retention.sweep()).versions == (retired[0],)


def test_each_guild_is_told_of_its_own_alone() -> None:
    swept = Swept({1: 3, 11: 4}, {1: 2}, 0, ("g1-v000001", "g11-v000001"))
    assert swept.guilds == [1, 11]
    assert swept.of_guild(1) == "Deleted by age or date: 3 messages, 2 answers, versions: g1-v000001."
    assert swept.of_guild(11) == "Deleted by age or date: 4 messages, 0 answers, versions: g11-v000001."


async def test_a_dataset_by_hand_goes_with_the_first_message_in_it_that_is_too_old(
    house: Ledger, retention: Retention, message: Callable[..., Message], tmp_path: Path
) -> None:
    now = to_ms(house.clock.now())
    await house.messages.add_many([message(1, created_at=now - 181 * DAY_MS), message(2, created_at=now)])
    kept, gone = tmp_path / "datasets" / "g1-by-hand-kept", tmp_path / "datasets" / "g1-by-hand-gone"
    fitted = tmp_path / "runs" / "fit-g1-by-hand-gone"
    for folder in (kept, gone, fitted):
        folder.mkdir(parents=True)
    for folder, ids in ((kept, [2]), (gone, [2, 1])):
        (folder / "train.jsonl").write_text(json.dumps({"message_ids": ids}) + "\n", encoding="utf-8")
    assert (await retention.sweep()).datasets == 2
    assert (kept.is_dir(), gone.is_dir(), fitted.is_dir()) == (True, False, False)


@pytest.mark.parametrize("mark", ["\u2028", "\u2029", "\x85", "\x0b", "\x1c", "\r"])
async def test_a_dataset_goes_whatever_ends_a_line_within_its_messages(
    house: Ledger, retention: Retention, message: Callable[..., Message], tmp_path: Path, mark: str
) -> None:
    now = to_ms(house.clock.now())
    await house.messages.add_many([message(1, created_at=now), message(2, created_at=now)])
    kept, gone = tmp_path / "datasets" / "kept", tmp_path / "datasets" / "gone"
    for folder, ids in ((kept, [1]), (gone, [1, 2])):
        folder.mkdir(parents=True)
        line = {"messages": [{"role": "user", "content": f"first{mark}second"}], "message_ids": ids}
        (folder / "train.jsonl").write_text(json.dumps(line, ensure_ascii=False) + "\n", encoding="utf-8")
    assert not await retention.sweep()
    await Forgetting(house, datasets_dir=tmp_path / "datasets", runs_dir=tmp_path / "runs").messages(
        1, [2], asked_by="Discord"
    )
    await retention.sweep()
    assert (kept.is_dir(), gone.is_dir()) == (True, False)


@pytest.mark.parametrize("line", ["{", "[]", '{"message_ids": null}', '{"message_ids": ["x"]}', "[" * 99_999])
async def test_a_dataset_with_a_line_that_nobody_can_read_goes(
    house: Ledger, retention: Retention, tmp_path: Path, line: str
) -> None:
    folder = tmp_path / "datasets" / "odd"
    folder.mkdir(parents=True)
    (folder / "train.jsonl").write_text(line + "\n", encoding="utf-8")
    assert (await retention.sweep()).datasets == 1
    assert not folder.exists()


async def test_a_dataset_that_is_being_written_stays(
    house: Ledger, retention: Retention, message: Callable[..., Message], tmp_path: Path
) -> None:
    await house.messages.add(message(1, created_at=to_ms(house.clock.now())))
    folder = tmp_path / "datasets" / "spring.unfinished"
    folder.mkdir(parents=True)
    (folder / "train.jsonl").write_text('{"message_ids": [1]}\n{"messa', encoding="utf-8")
    assert not await retention.sweep()
    assert folder.is_dir()


async def test_what_a_night_worked_in_goes_a_day_after_it_ended_and_not_before(
    house: Ledger, retention: Retention, tmp_path: Path
) -> None:
    ended, cut_off = await house.runs.create(1, "night"), await house.runs.create(1, "night")
    await house.runs.advance(ended.id, "failed", error="it was stopped")
    for run in (ended, cut_off):
        (tmp_path / "runs" / run.id / "checkpoints").mkdir(parents=True)
    house.clock.advance(hours=23)  # type: ignore[attr-defined]
    assert not await retention.sweep()
    house.clock.advance(hours=2)  # type: ignore[attr-defined]
    assert (await retention.sweep()).works == 1
    house.clock.advance(days=170)  # type: ignore[attr-defined]
    assert not await retention.sweep()
    assert [folder.name for folder in (tmp_path / "runs").iterdir()] == [cut_off.id]


async def test_the_work_of_a_run_that_the_ledger_does_not_know_goes_once_it_is_old(
    house: Ledger, retention: Retention, tmp_path: Path
) -> None:
    now = house.clock.now().timestamp()
    for name, age in (("g1-20260101T030000", 181), ("g1-20260102T030000", 179)):
        (tmp_path / "runs" / name).mkdir(parents=True)
        os.utime(tmp_path / "runs" / name, (now - age * 86_400,) * 2)
    assert (await retention.sweep()).works == 1
    assert [folder.name for folder in (tmp_path / "runs").iterdir()] == ["g1-20260102T030000"]


async def test_what_was_imported_counts_from_its_import(
    house: Ledger, retention: Retention, message: Callable[..., Message]
) -> None:
    now = to_ms(house.clock.now())
    archive = message(
        1, created_at=now - 730 * DAY_MS, source="import", basis=declared("a vote"), imported_at=now
    )
    await house.messages.add(archive)
    house.clock.advance(days=179)  # type: ignore[attr-defined]
    assert not await retention.sweep()
    await house.messages.add(replace(archive, imported_at=to_ms(house.clock.now())))  # prolongs nothing
    house.clock.advance(days=2)  # type: ignore[attr-defined]
    assert (await retention.sweep()).messages == {1: 1}


async def test_a_quarantine_is_kept_as_long_as_the_messages_that_it_covers(
    house: Ledger, retention: Retention
) -> None:
    now = to_ms(house.clock.now())
    await house.quarantine.hold(1, {7: ["abuse"]}, since=now, days=14)
    house.clock.advance(days=194)  # type: ignore[attr-defined]
    await retention.sweep()
    assert set(await house.quarantine.of_guild(1)) == {7}
    house.clock.advance(days=1)  # type: ignore[attr-defined]
    await retention.sweep()
    assert await house.quarantine.of_guild(1) == {}


async def served_daily(house: Ledger, tmp_path: Path, days: int) -> list[str]:
    """Let a version of its own serve on each day; return them, the oldest first."""
    found = []
    for _ in range(days):
        house.clock.advance(days=1)  # type: ignore[attr-defined]
        found.append(await version(house, tmp_path, promote=True))
    return found


async def left(house: Ledger) -> list[str]:
    adapters = await house.adapters.of_guild(1)
    return [adapter.version for adapter in reversed(adapters) if adapter.state != "deleted"]


async def test_of_each_of_the_last_weeks_the_newest_version_that_served_stays_beside_the_newest(
    house: Ledger, tmp_path: Path
) -> None:
    weeks: dict[int, str] = {}
    for _ in range(50):
        [served] = await served_daily(house, tmp_path, 1)
        weeks[to_ms(house.clock.now()) // (7 * DAY_MS)] = served
        # Once a day, as the bot does: what slides out of its week a day later is no anchor.
        await looking_after(house, tmp_path, anchor_weeks=4).sweep()
    anchors = [weeks[week] for week in sorted(weeks)][-4:]
    assert set(anchors) <= set(await left(house))
    # Beside them the champion, the one before it, and the two newest.
    assert len(await left(house)) <= 4 + 4


async def test_without_weeks_no_anchor_stays(house: Ledger, tmp_path: Path) -> None:
    served = await served_daily(house, tmp_path, 10)
    await looking_after(house, tmp_path).sweep()
    assert await left(house) == served[-4:]


async def test_an_anchor_has_served_and_knows_nothing_that_was_deleted(house: Ledger, tmp_path: Path) -> None:
    clean, tainted, never = [await version(house, tmp_path, promote=what < 2) for what in range(3)]
    run = (await house.adapters.require(1, tainted)).run_id
    await house.runs.learned_from(run, [(70, 7)])
    house.clock.advance(days=8)  # type: ignore[attr-defined]
    await served_daily(house, tmp_path, 5)
    await house.deletions.begin(1, "messages", [70], asked_by="Discord", keep_ms=10 * DAY_MS)
    await looking_after(house, tmp_path, anchor_weeks=3).sweep()
    assert clean in await left(house)
    assert not {tainted, never} & set(await left(house))


async def test_an_anchor_is_kept_no_longer_than_any_version_may_be(house: Ledger, tmp_path: Path) -> None:
    old = await version(house, tmp_path, promote=True)
    house.clock.advance(days=364)  # type: ignore[attr-defined]
    await served_daily(house, tmp_path, 2)
    weekly = looking_after(house, tmp_path, anchor_weeks=520)
    await house.promotions.promote(1, old, by="test")  # it is the one before the champion no more
    await house.promotions.rollback(1, by="test")
    house.clock.advance(days=1)  # type: ignore[attr-defined]
    await served_daily(house, tmp_path, 2)
    assert (await weekly.sweep()).versions == (old,)


async def test_what_a_night_under_way_grows_from_stays_until_that_has_ended(
    house: Ledger, tmp_path: Path
) -> None:
    first, *_ = served = await served_daily(house, tmp_path, 6)
    run = await house.runs.create(1, "night")
    child = await house.adapters.reserve(
        1, run.id, adapters_dir=str(tmp_path / "a"), base_model="tiny", parent=first
    )
    weekly = looking_after(house, tmp_path)
    assert (await weekly.sweep()).versions == (served[1],)
    await house.adapters.retire(child.version)
    assert first in (await weekly.sweep()).versions


async def test_the_list_of_a_version_that_age_took_stays_while_another_knows_what_it_learned(
    house: Ledger, retention: Retention, tmp_path: Path
) -> None:
    run = await house.runs.create(1, "night")
    await house.runs.learned_from(run.id, [(70, 7)])
    house.clock.advance(days=400)  # type: ignore[attr-defined]
    parent = await house.adapters.reserve(1, run.id, adapters_dir=str(tmp_path / "a"), base_model="tiny")
    await house.adapters.retire(parent.version)
    night = await house.runs.create(1, "night")
    child = await house.adapters.reserve(
        1, night.id, adapters_dir=str(tmp_path / "a"), base_model="tiny", parent=parent.version
    )
    await house.promotions.promote(1, child.version, by="night")
    house.clock.advance(days=366)  # type: ignore[attr-defined]
    assert (await retention.sweep()).versions == (parent.version,)
    assert await house.lineage.seen_by(child.version) == {70}
    receipt = await house.deletions.begin(1, "person", [7], asked_by="member", keep_ms=0)
    assert {version.version for version in receipt.versions} == {parent.version, child.version}
    await retention.sweep()
    assert await house.lineage.seen_by(child.version) == set()


async def test_hashes_of_what_was_scored_go_with_text_that_is_too_old(
    house: Ledger, retention: Retention, message: Callable[..., Message]
) -> None:
    now = to_ms(house.clock.now())
    await house.messages.add_many([message(1, created_at=now - 181 * DAY_MS), message(2, created_at=now)])
    run = await house.runs.create(1, "night")
    scores = [ConversationScore("test", "base", n, bytes([n]), 1.0, 1, 1, 1) for n in (1, 2)]
    await house.scores.keep(run.id, scores)
    await retention.sweep()
    assert set(await house.scores.of_model(1, "base")) == {b"\x02"}
