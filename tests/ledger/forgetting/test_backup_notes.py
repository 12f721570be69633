"""The notes beside backups: complete, told once, whole lines alone, and identifiers without any text."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ledger.errors import LedgerError
from ledger.forgetting import backup_notes as notes
from ledger.forgetting.backup_notes import NOTES
from ledger.forgetting.backups import back_up
from ledger.records import BackupFolder, Message
from ledger.store import Ledger
from tests.conftest import ROOT, FakeClock
from tests.ledger.forgetting.restoring import MARK, filled, forgetting_of, put_back


async def test_the_notes_beside_a_backup_suffice_when_the_database_is_lost(
    tmp_path: Path, clock: FakeClock, message: Callable[..., Message]
) -> None:
    database = tmp_path / "ledger.db"
    backup = await filled(database, clock, message)
    async with Ledger.open(database, clock=clock) as ledger:
        await forgetting_of(ledger, database).person(1, 7, asked_by="member")
        await forgetting_of(ledger, database).messages(1, [2], asked_by="Discord")
    assert MARK not in (backup.parent / NOTES).read_text(encoding="utf-8")
    fresh = tmp_path / "new machine" / "ledger.db"
    assert await put_back(backup, fresh, clock) == 2
    async with Ledger.open(fresh, clock=clock) as ledger:
        assert [stored.id for stored in await ledger.messages.of_guild(1)] == [3]


async def test_broken_notes_are_named_instead_of_passed_over(
    tmp_path: Path, clock: FakeClock, message: Callable[..., Message]
) -> None:
    backup = await filled(tmp_path / "ledger.db", clock, message)
    for broken in (json.dumps({"guild_id": 1})[:-2], json.dumps({"guild_id": 1})):
        (backup.parent / NOTES).write_text(f"{broken}\n", encoding="utf-8")
        with pytest.raises(LedgerError, match=NOTES):
            await put_back(backup, tmp_path / "ledger.db", clock)


async def test_a_note_that_a_power_cut_tore_off_keeps_nothing_from_being_restored(
    tmp_path: Path, clock: FakeClock, message: Callable[..., Message]
) -> None:
    database = tmp_path / "ledger.db"
    backup = await filled(database, clock, message)
    async with Ledger.open(database, clock=clock) as ledger:
        await forgetting_of(ledger, database).person(1, 7, asked_by="member")
    with (backup.parent / NOTES).open("a", encoding="utf-8") as file:
        file.write('{"guild_id": 1, "kind": "mess')
    assert await put_back(backup, tmp_path / "new" / "ledger.db", clock) == 1


async def test_a_folder_that_was_not_at_hand_is_told_before_the_next_backup_is_written(
    tmp_path: Path, clock: FakeClock, message: Callable[..., Message]
) -> None:
    database, folder, away = tmp_path / "ledger.db", tmp_path / "backups", tmp_path / "unplugged"
    backup = await filled(database, clock, message)
    async with Ledger.open(database, clock=clock) as ledger:
        folder.rename(away)
        await forgetting_of(ledger, database).person(1, 7, asked_by="member")
        away.rename(folder)
        clock.advance(days=1)
        await back_up(ledger, folder)
    assert await put_back(backup, tmp_path / "new" / "ledger.db", clock) == 1
    assert MARK.encode() not in (tmp_path / "new" / "ledger.db").read_bytes()


async def test_an_empty_folder_where_the_disk_is_not_mounted_takes_no_note(
    tmp_path: Path, clock: FakeClock, message: Callable[..., Message], caplog: pytest.LogCaptureFixture
) -> None:
    database, folder, disk = tmp_path / "ledger.db", tmp_path / "backups", tmp_path / "disk"
    backup = await filled(database, clock, message)
    async with Ledger.open(database, clock=clock) as ledger:
        folder.rename(disk)
        folder.mkdir()
        forgetting = forgetting_of(ledger, database)
        await forgetting.person(1, 7, asked_by="member")
        await forgetting.note_beside_backups()
        assert list(folder.iterdir()) == []
        assert caplog.text.count("cannot be noted") == 1, "it is asked every minute, and said once"
        folder.rmdir()
        disk.rename(folder)
        await forgetting.note_beside_backups()
    assert await put_back(backup, tmp_path / "new" / "ledger.db", clock) == 1


async def test_an_opt_out_reaches_a_backup_though_the_database_is_lost(
    tmp_path: Path, clock: FakeClock, message: Callable[..., Message]
) -> None:
    database = tmp_path / "ledger.db"
    backup = await filled(database, clock, message)
    async with Ledger.open(database, clock=clock) as ledger:
        clock.advance(days=1)
        await ledger.consent.opt_out(1, 7)
        await ledger.consent.opt_in(1, 8, channels=[100])
        for _ in range(2):
            await forgetting_of(ledger, database).note_beside_backups()
    assert len((backup.parent / NOTES).read_text(encoding="utf-8").splitlines()) == 2
    fresh = tmp_path / "new machine" / "ledger.db"
    assert await put_back(backup, fresh, clock) == 0
    async with Ledger.open(fresh, clock=clock) as ledger:
        assert await ledger.consent.refusing(1) == {7}
        assert (await ledger.consent.in_force(1))[8].channels == (100,)
        assert len(await ledger.messages.of_author(1, 7)) == 1, "an opt-out alone deletes nothing"


async def test_a_yes_after_forgetting_is_in_force_after_a_restore(
    tmp_path: Path, clock: FakeClock, message: Callable[..., Message]
) -> None:
    database = tmp_path / "ledger.db"
    backup = await filled(database, clock, message)
    async with Ledger.open(database, clock=clock) as ledger:
        clock.advance(days=1)
        await forgetting_of(ledger, database).person(1, 7, asked_by="member")
        clock.advance(days=1)
        await ledger.consent.opt_in(1, 7)
        before = await ledger.consent.history(1, 7)
        await forgetting_of(ledger, database).note_beside_backups()
    for target in (database, tmp_path / "new machine" / "ledger.db"):
        assert await put_back(backup, target, clock) == 1
        async with Ledger.open(target, clock=clock) as ledger:
            assert await ledger.consent.history(1, 7) == before
            assert await ledger.messages.of_author(1, 7) == []


async def test_an_opt_out_counts_though_the_clock_was_set_back(
    tmp_path: Path, clock: FakeClock, message: Callable[..., Message]
) -> None:
    database = tmp_path / "ledger.db"
    async with Ledger.open(database, clock=clock) as ledger:
        await ledger.guilds.ensure(1, "Lantern Yard")
        await ledger.consent.opt_in(1, 7)
        clock.advance(minutes=10)
        await ledger.consent.opt_in(1, 8)
        backup = await back_up(ledger, tmp_path / "backups")
        clock.advance(minutes=-15)
        await ledger.consent.opt_out(1, 7)
        await forgetting_of(ledger, database).note_beside_backups()
    for target in (database, tmp_path / "new" / "ledger.db"):
        await put_back(backup, target, clock)
        async with Ledger.open(target, clock=clock) as ledger:
            assert await ledger.consent.refusing(1) == {7}


async def test_folders_that_hold_other_backups_are_told_after_a_restore_as_before(
    tmp_path: Path, clock: FakeClock, message: Callable[..., Message]
) -> None:
    database = tmp_path / "ledger.db"
    first = await filled(database, clock, message)
    async with Ledger.open(database, clock=clock) as ledger:
        other = await back_up(ledger, tmp_path / "elsewhere")
    await put_back(first, database, clock)
    async with Ledger.open(database, clock=clock) as ledger:
        await forgetting_of(ledger, database).person(1, 7, asked_by="member")
    database.unlink()
    assert await put_back(other, database, clock) == 1
    async with Ledger.open(database, clock=clock) as ledger:
        assert await ledger.messages.of_author(1, 7) == []


def test_two_processes_lose_no_note_of_each_others(tmp_path: Path) -> None:
    (tmp_path / "ledger-x.db").touch()
    program = (
        "import sys\nfrom pathlib import Path\n"
        "from ledger.forgetting import backup_notes as notes\n"
        "for number in range(60):\n"
        "    deletion = notes.NotedDeletion(int(sys.argv[2]), 'person', (number,) * 50, 'x', number)\n"
        "    notes._append(Path(sys.argv[1]), [deletion], [])\n"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", program, str(tmp_path), str(number)], cwd=ROOT)
        for number in (1, 2)
    ]
    assert [writer.wait() for writer in writers] == [0, 0]
    deletions, answers = notes.read(tmp_path / NOTES)
    assert answers == []
    assert sorted((each.guild_id, each.asked_at) for each in deletions) == [
        (guild, number) for guild in (1, 2) for number in range(60)
    ]


def noted_lines(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / NOTES).read_text(encoding="utf-8").splitlines()]


async def test_a_note_is_read_as_it_was_written_and_holds_nothing_but_numbers_and_who_asked(
    house: Ledger, tmp_path: Path, message: Callable[..., Message]
) -> None:
    (tmp_path / "ledger-x.db").touch()
    await house.messages.add(message(1, f"my {MARK}"))
    deletion = await house.deletions.begin(1, "messages", [1], asked_by="Discord", keep_ms=0)
    await house.consent.opt_in(1, 8, channels=[100, 101])
    await notes.tell(house, BackupFolder(str(tmp_path), 0, 0))
    deletions, answers = notes.read(tmp_path / NOTES)
    assert deletions == [notes.noted(deletion)]
    assert answers == await house.consent.history(1, 8)
    assert answers[0].channels == (100, 101)
    assert set(noted_lines(tmp_path)[0]) == {"guild_id", "kind", "subject", "asked_by", "asked_at"}
    assert MARK not in (tmp_path / NOTES).read_text(encoding="utf-8")


async def test_a_folder_is_told_only_what_it_lacks(house: Ledger, tmp_path: Path) -> None:
    (tmp_path / "ledger-x.db").touch()
    await house.note_backup_folder(BackupFolder(str(tmp_path), 0, 0))
    for person in (7, 8):
        await house.deletions.begin(1, "person", [person], asked_by="member", keep_ms=0)
        for _ in range(2):
            [folder] = await house.backup_folders()
            await notes.tell(house, folder)
    assert [line["subject"] for line in noted_lines(tmp_path)] == [[7], [8]]


async def test_forgetting_and_the_no_that_it_implies_are_one_line_and_a_no_alone_is_another(
    house: Ledger, tmp_path: Path
) -> None:
    (tmp_path / "ledger-x.db").touch()
    await house.consent.opt_out(1, 8)
    await house.deletions.begin(1, "person", [7], asked_by="member", keep_ms=0)
    await notes.tell(house, BackupFolder(str(tmp_path), 0, 0))
    assert [line["kind"] for line in noted_lines(tmp_path)] == ["person", "answer"]
    assert noted_lines(tmp_path)[1]["user_id"] == 8


async def test_a_folder_without_a_backup_is_not_believed_to_know(house: Ledger, tmp_path: Path) -> None:
    await house.note_backup_folder(BackupFolder(str(tmp_path), 0, 0))
    await house.deletions.begin(1, "person", [7], asked_by="member", keep_ms=0)
    [folder] = await house.backup_folders()
    with pytest.raises(FileNotFoundError, match="holds no backup"):
        await notes.tell(house, folder)
    assert await house.backup_folders() == [folder]
    assert not (tmp_path / NOTES).exists()


def test_a_line_that_was_cut_off_is_not_read_and_the_next_note_replaces_it(tmp_path: Path) -> None:
    (tmp_path / "ledger-x.db").touch()
    first, second = (notes.NotedDeletion(1, "person", (number,), "member", number) for number in (7, 8))
    notes._append(tmp_path, [first], [])
    with (tmp_path / NOTES).open("ab") as file:
        file.write(b'{"guild_id": 1, "ki')
    assert notes.read(tmp_path / NOTES) == ([first], [])
    notes._append(tmp_path, [second], [])
    assert notes.read(tmp_path / NOTES) == ([first, second], [])


def test_a_folder_without_notes_notes_nothing(tmp_path: Path) -> None:
    assert notes.read(tmp_path / NOTES) == ([], [])


@pytest.mark.parametrize(
    "line", ["not JSON", "7", "{}", '{"kind": "person"}', '{"kind": "answer", "channels": [], "no": 1}']
)
def test_a_broken_line_is_named_with_its_file(tmp_path: Path, line: str) -> None:
    (tmp_path / NOTES).write_text(f"{line}\n", encoding="utf-8")
    with pytest.raises(LedgerError, match=r"deletions\.jsonl cannot be read: mend or remove"):
        notes.read(tmp_path / NOTES)


def test_a_note_of_a_newer_version_is_read_without_what_it_adds(tmp_path: Path) -> None:
    deletion = {"guild_id": 1, "kind": "person", "subject": [7], "asked_by": "member", "asked_at": 5}
    (tmp_path / NOTES).write_text(json.dumps({**deletion, "of_the_future": 1}) + "\n", encoding="utf-8")
    assert notes.read(tmp_path / NOTES)[0] == [notes.NotedDeletion(1, "person", (7,), "member", 5)]


def test_two_deletions_are_told_apart_by_everything_but_who_asked() -> None:
    one = notes.NotedDeletion(1, "person", (7,), "member", 5)
    assert one.key == notes.NotedDeletion(1, "person", (7,), "operator", 5).key
    others = [
        notes.NotedDeletion(2, "person", (7,), "member", 5),
        notes.NotedDeletion(1, "messages", (7,), "member", 5),
        notes.NotedDeletion(1, "person", (8,), "member", 5),
        notes.NotedDeletion(1, "person", (7,), "member", 6),
    ]
    assert one.key not in {other.key for other in others}
