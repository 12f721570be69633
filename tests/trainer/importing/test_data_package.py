from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pytest

from trainer.importing import data_package, files
from trainer.importing.data_package import read_data_package
from trainer.importing.json_text import Malformed
from trainer.importing.message_drafts import (
    DIRECT,
    NO_TEXT,
    UNKNOWN_SERVER,
    UNREADABLE,
    FileReading,
    MessageDraft,
    Skipped,
)

USER = {"id": "800000000000000001", "username": "ada", "global_name": "Ada"}
POND = {"id": "51", "type": "GUILD_TEXT", "name": "pond", "guild": {"id": "41", "name": "Moss Club"}}
WORDS = [{"ID": 901, "Timestamp": "2024-05-01 10:00:00", "Contents": "the pond is full", "Attachments": ""}]


def read(path: Path, guild_id: int | None = None) -> list[MessageDraft | Skipped]:
    return list(read_data_package(FileReading(path, guild_id)))


def package(exports: Any, **more: Any) -> Path:
    files = {
        "Account/user.json": USER,
        "Messages/index.json": {"51": "pond in Moss Club"},
        "Messages/c51/channel.json": POND,
        "Messages/c51/messages.json": WORDS,
    }
    return exports.package("package.zip", files | more)  # type: ignore[no-any-return]


def test_a_members_messages_are_read_with_their_server(exports: Any) -> None:
    (draft,) = read(package(exports))
    assert isinstance(draft, MessageDraft)
    assert (draft.channel.guild_id, draft.channel.guild_name) == (41, "Moss Club")
    assert (draft.channel.channel_id, draft.channel.channel_name) == (51, "pond")
    message = draft.message
    assert (message.id, message.author_id, message.author_name) == (901, int(USER["id"]), "Ada")
    assert message.content == "the pond is full"
    assert message.created_at == 1714557600000


@pytest.mark.parametrize("folders", [("messages/", "account/"), ("package/Nachrichten/", "package/Konto/")])
def test_folder_names_of_other_ages_and_languages_are_found(exports: Any, folders: tuple[str, str]) -> None:
    messages, account = folders
    table = (
        'ID,Timestamp,Contents,Attachments\n901,2020-05-01 10:00:00.125000+00:00,"two\nlines, ""quoted""",\n'
    )
    path = exports.package(
        "old.zip",
        {
            f"{account}user.json": USER,
            f"{messages}index.json": {"51": "pond in Moss Club"},
            f"{messages}51/channel.json": {**POND, "type": 0},
            f"{messages}51/messages.csv": table,
        },
    )
    (draft,) = read(path)
    assert isinstance(draft, MessageDraft)
    assert draft.message.content == 'two\nlines, "quoted"'
    assert draft.message.created_at == 1588327200125


def test_direct_messages_are_left_out_by_type_recipients_or_title(exports: Any) -> None:
    path = package(
        exports,
        **{
            "Messages/index.json": {"54": "Direct Message with bo#0"},
            "Messages/c52/channel.json": {"id": "52", "type": "DM", "recipients": ["1", "2"]},
            "Messages/c52/messages.json": WORDS,
            "Messages/c53/channel.json": {"id": "53", "type": 3},
            "Messages/c53/messages.json": WORDS * 2,
            "Messages/c54/messages.json": WORDS,
        },
    )
    assert [item.left_out for item in read(path)] == ["", DIRECT, DIRECT, DIRECT, DIRECT]


def test_a_channel_without_its_server_needs_to_be_told_which(exports: Any) -> None:
    path = package(
        exports,
        **{
            "Messages/index.json": {"51": "pond in Moss Club"},
            "Messages/c51/channel.json": {"id": "51", "type": "GUILD_TEXT"},
        },
    )
    assert [item.left_out for item in read(path)] == [UNKNOWN_SERVER]
    (draft,) = read(path, guild_id=41)
    assert isinstance(draft, MessageDraft)
    assert (draft.channel.guild_id, draft.channel.guild_name, draft.channel.channel_name) == (
        41,
        "Moss Club",
        "pond",
    )


def test_empty_and_damaged_rows_are_told_apart(exports: Any) -> None:
    rows = [*WORDS, {**WORDS[0], "Contents": ""}, {"ID": 903}, {**WORDS[0], "Timestamp": "never"}]
    path = package(exports, **{"Messages/c51/messages.json": rows})
    assert [item.left_out for item in read(path)] == ["", NO_TEXT, UNREADABLE, UNREADABLE]


def test_a_package_that_does_not_say_whose_it_is_is_refused(exports: Any) -> None:
    path = exports.package("p.zip", {"Messages/c51/messages.json": WORDS})
    with pytest.raises(Malformed, match=r"user\.json"):
        read(path)


def test_paths_that_leave_the_package_are_not_followed(exports: Any) -> None:
    path = package(exports, **{"../c66/messages.json": WORDS, "/evil/c67/messages.json": WORDS})
    assert len(read(path)) == 1
    assert sorted(file.name for file in exports.folder.parent.rglob("*") if file.is_file()) == ["package.zip"]


def test_a_file_that_grows_enormously_is_refused(exports: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "SMALL_BYTES", 1 << 16)
    path = package(exports, **{"Messages/c51/messages.json": "[" + " " * (1 << 20) + "]"})
    with pytest.raises(Malformed, match="grows enormously"):
        read(path)


def test_a_package_of_too_many_files_or_bytes_is_refused(
    exports: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = package(exports)
    monkeypatch.setattr(data_package, "MAX_TOTAL_BYTES", 100)
    with pytest.raises(Malformed, match="unpacks to more"):
        read(path)
    monkeypatch.setattr(data_package, "MAX_ENTRIES", 2)
    with pytest.raises(Malformed, match="lists 4 files"):
        read(path)


def test_a_damaged_package_is_told_or_refused(exports: Any) -> None:
    data = bytearray(package(exports).read_bytes())
    with zipfile.ZipFile(exports.folder / "package.zip") as intact:
        offset = intact.getinfo("Messages/c51/messages.json").header_offset
    data[offset + 60 : offset + 90] = bytes(30)
    reading = FileReading(exports.write("broken.zip", bytes(data)))
    assert list(read_data_package(reading)) == []
    assert reading.faults
    with pytest.raises(Malformed, match="damaged"):
        read(exports.write("short.zip", bytes(data[:200])))
