"""Forgetting: nothing of a person's words is left, and everybody else's stay."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ledger.clock import to_ms
from ledger.forgetting import deletion_path as forgetting_module
from ledger.forgetting.backup_notes import NOTES
from ledger.forgetting.deletion_path import DAY_MS, Forgetting
from ledger.process.locks import hold, night_lock_path
from ledger.records import BackupFolder, Message
from ledger.store import Ledger
from tests.ledger.forgetting.learned_nights import learned, state


async def test_no_byte_of_the_files_holds_their_words(
    house: Ledger, forgetting: Forgetting, message: Callable[..., Message]
) -> None:
    await house.messages.add_many(message(n, f"xylophone {n} " + "and so on " * 30) for n in range(1, 90))
    await house.messages.add(message(500, "mine", author_id=8))
    await forgetting.person(1, 7, asked_by="member")
    left = b"".join(file.read_bytes() for file in house.path.parent.iterdir() if file.is_file())
    assert b"xylophone" not in left
    assert b"mine" in left


async def test_versions_that_do_not_serve_go_at_once_and_the_champion_at_the_next_promotion(
    house: Ledger, forgetting: Forgetting, tmp_path: Path
) -> None:
    old = await learned(house, tmp_path, (70, 7))
    clean = await learned(house, tmp_path, (80, 8))
    champion = await learned(house, tmp_path, (70, 7), (80, 8))
    receipt = await forgetting.person(1, 7, asked_by="member")
    assert [v.version for v in receipt.versions] == [old.version, champion.version]
    assert receipt.versions[0].deleted_at is not None
    assert receipt.versions[1].deleted_at is None
    assert receipt.versions[1].delete_by == to_ms(house.clock.now()) + 30 * DAY_MS
    assert [await state(house, each) for each in (old, clean, champion)] == [
        "deleted",
        "previous",
        "champion",
    ]
    assert not Path(old.path).exists()
    assert Path(champion.path).exists()
    await learned(house, tmp_path, (80, 8))
    assert await forgetting.sweep() == [champion.version]
    assert not Path(champion.path).exists()
    (later,) = await house.deletions.of_person(1, 7)
    assert all(version.deleted_at is not None for version in later.versions)


async def test_an_edited_message_leaves_a_version_to_roll_back_to_for_its_days(
    house: Ledger, forgetting: Forgetting, tmp_path: Path, message: Callable[..., Message]
) -> None:
    await house.messages.add(message(70))
    previous = await learned(house, tmp_path, (70, 7))
    champion = await learned(house, tmp_path, (70, 7))
    retired = await learned(house, tmp_path, (70, 7), promote=False)
    await house.adapters.retire(retired.version)
    await forgetting.messages(1, [70], asked_by="edit in Discord")
    assert [await state(house, a) for a in (previous, champion, retired)] == [
        "previous",
        "champion",
        "deleted",
    ]
    await learned(house, tmp_path, (80, 8))
    assert await forgetting.sweep() == [previous.version]
    assert await state(house, champion) == "previous"
    house.clock.advance(days=30)  # type: ignore[attr-defined]
    assert await forgetting.sweep() == [champion.version]


async def test_a_champion_that_nothing_replaces_goes_on_its_date(
    house: Ledger, forgetting: Forgetting, tmp_path: Path, clock: Callable[..., object]
) -> None:
    clean = await learned(house, tmp_path, (80, 8))
    champion = await learned(house, tmp_path, (70, 7))
    await forgetting.person(1, 7, asked_by="member")
    house.clock.advance(days=29)  # type: ignore[attr-defined]
    assert await forgetting.sweep() == []
    house.clock.advance(days=1)  # type: ignore[attr-defined]
    assert await forgetting.sweep() == [champion.version]
    assert await state(house, clean) == "champion"


async def test_a_champion_that_has_to_go_makes_room_for_the_clean_version_that_served_last(
    house: Ledger, forgetting: Forgetting, tmp_path: Path
) -> None:
    clean = [await learned(house, tmp_path, (80, 8), promote=False) for _ in range(3)]
    marked = await learned(house, tmp_path, (70, 7), promote=False)
    # By number, by their first promotion or from the oldest on, another one of them would come first.
    for place in (1, 2, 0, 1):
        await house.promotions.promote(1, clean[place].version, by="night")
    await house.promotions.promote(1, marked.version, by="night")
    champion = await learned(house, tmp_path, (70, 7))
    await forgetting.person(1, 7, asked_by="member")
    house.clock.advance(days=30)  # type: ignore[attr-defined]
    assert await forgetting.sweep() == [champion.version]
    assert await state(house, clean[1]) == "champion"
    assert [await state(house, gone) for gone in (marked, champion)] == ["deleted", "deleted"]


async def test_what_somebody_rolled_back_from_serves_in_nobodys_place(
    house: Ledger, forgetting: Forgetting, tmp_path: Path
) -> None:
    faulty = await learned(house, tmp_path, (80, 8))
    await house.promotions.rollback(1, by="admin")
    await learned(house, tmp_path, (70, 7))
    await forgetting.person(1, 7, asked_by="member")
    house.clock.advance(days=30)  # type: ignore[attr-defined]
    await forgetting.sweep()
    assert await house.adapters.champion(1) is None
    assert await state(house, faulty) == "retired"


async def test_strict_forgetting_falls_back_to_the_bare_base_at_once(house: Ledger, tmp_path: Path) -> None:
    strict = Forgetting(house, datasets_dir=tmp_path / "datasets", runs_dir=tmp_path / "runs", strict=True)
    champion = await learned(house, tmp_path, (70, 7))
    await strict.person(1, 7, asked_by="member")
    assert await house.adapters.champion(1) is None
    assert await state(house, champion) == "deleted"


async def test_datasets_of_runs_that_saw_it_go_and_others_stay(
    house: Ledger, forgetting: Forgetting, tmp_path: Path
) -> None:
    seen = await learned(house, tmp_path, (70, 7))
    other = await learned(house, tmp_path, (80, 8))
    await forgetting.person(1, 7, asked_by="member")
    assert not (tmp_path / "datasets" / seen.run_id).exists()
    assert not (tmp_path / "runs" / seen.run_id).exists()
    assert (tmp_path / "datasets" / other.run_id).exists()


async def test_a_deletion_that_was_cut_off_is_completed(
    house: Ledger, forgetting: Forgetting, tmp_path: Path, message: Callable[..., Message]
) -> None:
    adapter = await learned(house, tmp_path, (1, 7), promote=False)
    await house.messages.add(message(1, "my xylophone"))
    # The first transaction alone, as a process that is killed right after it leaves things.
    await house.deletions.begin(1, "person", [7], asked_by="member", keep_ms=0)
    assert Path(adapter.path).exists()
    assert await forgetting.complete() == 1
    assert not Path(adapter.path).exists()
    assert await forgetting.complete() == 0


async def test_folders_with_backups_are_told_once_they_are_there(
    house: Ledger, forgetting: Forgetting, tmp_path: Path, message: Callable[..., Message]
) -> None:
    folder = tmp_path / "backups"
    await house.note_backup_folder(BackupFolder(str(folder), 0, 0))
    await house.messages.add(message(1, "my xylophone"))
    await forgetting.person(1, 7, asked_by="member")
    assert not folder.exists()
    folder.mkdir()
    (folder / "ledger-20260302T120000Z.db").touch()
    await forgetting.note_beside_backups()
    await forgetting.note_beside_backups()
    notes = [json.loads(line) for line in (folder / NOTES).read_text(encoding="utf-8").splitlines()]
    assert [(note["kind"], note["subject"]) for note in notes] == [("person", [7])]


async def test_a_removed_guild_takes_everything_of_its_own_along(
    house: Ledger, forgetting: Forgetting, tmp_path: Path, message: Callable[..., Message]
) -> None:
    adapter = await learned(house, tmp_path, (1, 7))
    await house.messages.add_many([message(1), message(3, guild_id=11, channel_id=200)])
    await forgetting.guild(1, asked_by="Discord")
    assert await state(house, adapter) == "deleted"
    assert await house.messages.of_guild(1) == []
    assert len(await house.messages.of_guild(11)) == 1


async def test_a_folder_that_cannot_be_removed_keeps_nothing_else_from_being_forgotten(
    house: Ledger,
    forgetting: Forgetting,
    tmp_path: Path,
    message: Callable[..., Message],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await house.messages.add_many([message(1), message(3, "xylophone", guild_id=11, channel_id=200)])
    adapter = await learned(house, tmp_path, (1, 7), promote=False)
    dataset, remove = tmp_path / "datasets" / adapter.run_id, forgetting_module._remove

    def not_that_one(folder: Path) -> None:
        if folder == dataset:
            raise PermissionError(13, "Permission denied")
        remove(folder)

    with monkeypatch.context() as patch:
        patch.setattr(forgetting_module, "_remove", not_that_one)
        first = await forgetting.person(1, 7, asked_by="member")
        second = await forgetting.person(11, 7, asked_by="member")
        assert await forgetting.complete() == 1
    assert (first.completed_at is None, second.completed_at is None) == (True, False)
    assert b"xylophone" not in house.path.read_bytes()
    assert await state(house, adapter) == "candidate", "it is not told to be deleted while a part is there"
    assert not Path(adapter.path).exists()
    assert caplog.text.count("remove it by hand") == 1
    assert await forgetting.complete() == 1
    assert not dataset.exists()
    assert await state(house, adapter) == "deleted"
    assert await house.deletions.unfinished() == []


async def test_the_dataset_of_a_night_that_died_unrecorded_goes_and_that_of_a_living_one_stays(
    house: Ledger, forgetting: Forgetting, tmp_path: Path
) -> None:
    for guild_id in (1, 11):
        run = await house.runs.create(guild_id, "night")
        for name in (run.id, f"{run.id}.unfinished"):
            (tmp_path / "datasets" / name).mkdir(parents=True)
    recorded = await house.runs.create(1, "night")
    await house.runs.learned_from(recorded.id, [(1, 7)])
    (tmp_path / "datasets" / recorded.id).mkdir()
    with hold(night_lock_path(house.path.parent, 11)):
        await forgetting.sweep()
    left = {folder.name for folder in (tmp_path / "datasets").iterdir()}
    assert left == {recorded.id, run.id, f"{run.id}.unfinished"}
    await forgetting.sweep()
    assert {folder.name for folder in (tmp_path / "datasets").iterdir()} == {recorded.id}


async def test_what_may_not_be_promoted_any_more_is_passed_over_on_the_way_back(
    house: Ledger, tmp_path: Path, message: Callable[..., Message]
) -> None:
    await house.messages.add_many([message(1), message(2, author_id=8), message(4, author_id=8)])
    older = await learned(house, tmp_path, (4, 8))
    leaky = await learned(house, tmp_path, (2, 8))
    hers = await learned(house, tmp_path, (1, 7))
    await house.adapters.set_metrics(leaky.version, {"recitals": {"probes": 64, "recited": 1, "values": 1}})
    strict = Forgetting(house, datasets_dir=tmp_path / "datasets", runs_dir=tmp_path / "runs", strict=True)
    receipt = await strict.person(1, 7, asked_by="member")
    assert receipt.completed_at is not None
    champion = await house.adapters.champion(1)
    assert champion is not None
    assert champion.version == older.version
    assert await state(house, hers) == "deleted"
