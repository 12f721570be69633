"""Damaged and hostile files: each costs itself, never the call, and is told in a sentence."""

from __future__ import annotations

import gzip
import io
import json
import os
import time
import zipfile
from collections.abc import Callable
from typing import Any

import pytest

from ledger.store import Ledger
from trainer.importing import ImportReport, import_paths
from trainer.importing.json_text import MAX_BLANKS, TextSource

BASIS = "the club's archive, by vote of its members"
HUGE = "9" * 4_400
DEEP = "[" * 100_000
PAGE = '"guild": {"id": "41", "name": "Moss Club"}, "channel": {"id": "51", "name": "pond"}'
USER = {"id": "800000000000000001", "username": "ada", "global_name": None}
POND = {"id": "51", "type": 0, "name": "pond", "guild": {"id": "41", "name": "Moss Club"}}
SHORE = {**POND, "id": "52", "name": "shore"}
WORDS = [{"ID": 901, "Timestamp": "2024-05-01 10:00:00", "Contents": "the pond is full"}]
MORE = [{"ID": 902, "Timestamp": "2024-05-01 10:00:00", "Contents": "the shore is dry"}]
WHOLE: dict[str, object] = {
    "account/user.json": USER,
    "messages/c51/channel.json": POND,
    "messages/c51/messages.json": WORDS,
    "messages/c52/channel.json": SHORE,
    "messages/c52/messages.json": MORE,
}


@pytest.fixture
def taken(ledger: Ledger, exports: Any) -> Callable[[], Any]:
    """Import everything in the folder beside a good file that comes last; return what it made."""

    async def take() -> tuple[ImportReport, set[str]]:
        exports.write("zz good.json", exports.chat([exports.message(1, exports.ada, "the good file")]))
        report = await import_paths(ledger, [exports.folder], basis=BASIS)
        stored = [
            m.content for guild in await ledger.guilds.all() for m in await ledger.messages.of_guild(guild)
        ]
        return report, set(stored)

    return take


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.json", f'{{"stray": {HUGE}, {PAGE}, "messages": []}}', "too many digits"),
        ("a.json", f'{{{PAGE}, "messages": [{{"id": {HUGE}}}]}}', "too many digits"),
        ("a.json", f'{{"stray": {DEEP}', "nested too deeply"),
        ("a.json", DEEP, "bare list"),
        ("a.json", '{"a":' * 100_000, "nested too deeply"),
        ("a.jsonl", f'{{"content": {HUGE}}}\n', "too many digits"),
        ("a.jsonl", f'{{"content": "x", "guild": 41}}\n{{"content": {HUGE}}}\n', "line 2 is no JSON"),
        ("a.jsonl", f'{{"content": "x", "guild": 41}}\n{{"content": {DEEP}\n', "line 2 is no JSON"),
        ("a.json.gz", b"\x1f\x8b" + bytes(40), "damaged"),
        ("a.json", b"\xff\xfe" + b"\x00\xd8" * 9, "not UTF-8"),
        ("a.zip", b"PK\x03\x04" + bytes(60), "damaged or encrypted"),
    ],
)
async def test_a_broken_file_is_told_and_the_good_one_is_taken(
    taken: Callable[[], Any], exports: Any, name: str, content: str | bytes, told: str
) -> None:
    exports.write(name, content)
    report, stored = await taken()
    (problem,) = report.problems
    assert problem.startswith(f"{name} cannot be imported")
    assert told in problem
    assert (stored, report.exit_code) == ({"the good file"}, 1)


@pytest.mark.parametrize(
    "fields",
    [
        {"id": str(2**63)},
        {"id": -5},
        {"author": {"id": str(2**64), "name": "ada"}},
        {"author": None},
        {"author": {"id": "5", "name": ["ada"]}},
        {"content": ["no", "text"]},
        {"timestamp": 1e300},
        {"timestamp": None},
        {"timestampEdited": "yesterday"},
    ],
)
async def test_a_damaged_message_costs_itself_alone(
    taken: Callable[[], Any], exports: Any, fields: dict[str, Any]
) -> None:
    raws = [exports.message(8, exports.bo, "damaged") | fields, exports.message(9, exports.bo, "whole")]
    exports.write("a.json", exports.chat(raws))
    report, stored = await taken()
    assert (stored, report.problems) == ({"whole", "the good file"}, [])
    assert report.left_out.total() == 1


async def test_odd_fields_beside_the_text_do_no_harm(taken: Callable[[], Any], exports: Any) -> None:
    odd = {"type": ["x"], "mentions": 5, "reference": 7}
    reply = {"type": "Reply", "reference": {"messageId": "5", "channelId": ["x"]}}
    raws = [
        exports.message(6, exports.bo, f"<@{'9' * 19}> hello", mentions=[{"id": HUGE[:50]}, None]),
        exports.message(7, exports.bo, "a reply into another channel", **reply),
        exports.message(8, exports.bo, "of no known kind", **odd),
    ]
    exports.write("a.json", exports.chat(raws))
    report, stored = await taken()
    assert stored == {f"<@{'9' * 19}> hello", "a reply into another channel", "the good file"}
    assert report.problems == []


@pytest.mark.parametrize(
    ("inside", "content", "told", "lost"),
    [
        ("messages/c51/channel.json", '{"id": "51", "na', "channel.json ends early", "pond"),
        ("messages/c51/channel.json", "", "channel.json ends early", "pond"),
        ("messages/c51/channel.json", "[1]", "channel.json is not what a package holds", "pond"),
        ("messages/c51/messages.json", "", "messages.json ends early", "pond"),
        ("messages/c51/messages.json", f'[{{"ID": {HUGE}}}]', "too many digits", "pond"),
        ("messages/c51/messages.json", DEEP, "nested too deeply", "pond"),
        ("messages/index.json", '{"51": "po', "index.json", None),
        ("messages/index.json", "null", "index.json", None),
    ],
)
async def test_a_broken_folder_of_a_package_is_told_and_the_rest_is_taken(
    taken: Callable[[], Any], exports: Any, inside: str, content: str, told: str, lost: str | None
) -> None:
    exports.package("a.zip", WHOLE | {inside: content})
    report, stored = await taken()
    (problem,) = report.problems
    assert told in problem
    assert "the rest was read" in problem
    assert stored == {"the good file", "the shore is dry"} | (set() if lost else {"the pond is full"})


@pytest.mark.parametrize(
    "user", ["null", "[1]", '"ada"', '{"id": null}', '{"id": [1]}', "", f'{{"id": {HUGE}}}']
)
async def test_a_package_whose_user_file_is_of_another_kind_is_refused(
    taken: Callable[[], Any], exports: Any, user: str
) -> None:
    exports.package("a.zip", WHOLE | {"account/user.json": user})
    report, stored = await taken()
    (problem,) = report.problems
    assert "user.json" in problem
    assert stored == {"the good file"}


async def test_a_channel_number_beyond_63_bits_costs_its_folder_alone(
    taken: Callable[[], Any], exports: Any
) -> None:
    exports.package("a.zip", WHOLE | {f"messages/c{'9' * 19}/messages.json": WORDS})
    report, stored = await taken()
    assert stored == {"the good file", "the pond is full", "the shore is dry"}
    assert report.left_out.total() == 1


async def test_a_file_packed_as_discord_never_packs_is_told(taken: Callable[[], Any], exports: Any) -> None:
    path = exports.package("a.zip", WHOLE)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_LZMA) as package:
        package.writestr("messages/c53/channel.json", json.dumps({**POND, "id": "53"}))
        package.writestr("messages/c53/messages.json", json.dumps(WORDS))
    report, stored = await taken()
    (problem,) = report.problems
    assert "c53 (it is packed in a way that Discord does not use)" in problem
    assert stored == {"the good file", "the pond is full", "the shore is dry"}


async def test_a_zip_whose_names_are_no_text_is_told(taken: Callable[[], Any], exports: Any) -> None:
    path = exports.package("a.zip", WHOLE | {"messages/ä": "x"})
    path.write_bytes(path.read_bytes().replace("ä".encode(), b"\xff\xff"))
    report, stored = await taken()
    (problem,) = report.problems
    assert "damaged or encrypted" in problem
    assert stored == {"the good file"}


@pytest.mark.parametrize("name", ["part ².json", os.fsdecode(b"caf\xe9.json")])
async def test_a_file_name_that_is_odd_or_no_text_at_all_can_be_told(
    taken: Callable[[], Any], exports: Any, name: str
) -> None:
    exports.write(name, "<html>")
    report, stored = await taken()
    (problem,) = report.problems
    assert problem.encode().startswith(name.encode("utf-8", "backslashreplace"))
    assert stored == {"the good file"}


async def test_what_is_no_file_stops_nothing(taken: Callable[[], Any], exports: Any) -> None:
    (exports.folder / "folder.json").mkdir()
    (exports.folder / "nowhere.json").symlink_to(exports.folder / "absent")
    os.mkfifo(exports.folder / "pipe.json")
    report, stored = await taken()
    assert sorted(problem.split("; ")[0].rsplit("/", 1)[-1] for problem in report.problems) == [
        "nowhere.json",
        "pipe.json",
    ]
    assert stored == {"the good file"}


@pytest.mark.parametrize(
    ("name", "begin", "filling"),
    [
        ("a.json", f'{{{PAGE}, "messages": [', " " * 2),
        ("a.json.gz", f"{{{PAGE}, ", " " * 150),
        ("a.jsonl.gz", '{"content": "x", "guild": 41}\n', " " * 60),
        ("a.jsonl.gz", '{"content": "x", "guild": 41}\n', "\n" * 20),
        ("a.json.gz", '{"number": 1.', "0" * 60),
    ],
    ids=["blanks", "packed blanks", "a line of blanks", "empty lines", "one long number"],
)
async def test_files_of_blanks_cost_little_however_well_they_are_packed(
    ledger: Ledger, exports: Any, name: str, begin: str, filling: str
) -> None:
    path = exports.folder / name
    with gzip.open(path, "wb", 1) if name.endswith(".gz") else path.open("wb") as file:
        file.write(begin.encode() + filling.encode() * MAX_BLANKS + b"]}")
    began = time.process_time()
    report = await import_paths(ledger, [path], basis=BASIS)
    # 0.7 s at most on two slow cores, and four times that while coverage is measured; it used to be 45 s.
    assert time.process_time() - began < 8
    assert len(report.problems) == 1


async def test_a_package_that_grows_by_many_small_files_is_refused(
    taken: Callable[[], Any], exports: Any
) -> None:
    blanks = {f"messages/c{number}/channel.json": " " * (15 << 20) for number in range(100, 103)}
    exports.package("a.zip", WHOLE | blanks)
    report, stored = await taken()
    (problem,) = report.problems
    assert "grows enormously" in problem
    assert stored == {"the good file"}


class Dripping(io.BytesIO):
    """A file that gives a few bytes at a time."""

    def __init__(self, data: bytes, size: int) -> None:
        super().__init__(data)
        self._size = size

    def read1(self, size: int | None = -1, /) -> bytes:
        return self.read(self._size)


def test_lines_are_put_together_from_many_small_pieces() -> None:
    text = "first\n\nthird is longer\r\nlast"
    for size in range(1, 12):
        lines = list(TextSource(Dripping(text.encode(), size)).lines())
        assert lines == [("first", True), ("", True), ("third is longer\r", True), ("last", False)]
