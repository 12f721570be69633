"""Whatever a file holds: a report in sentences, the good file beside it taken, and no traceback."""

from __future__ import annotations

import asyncio
import bz2
import gzip
import json
import shutil
import time
import zipfile
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.clock import FIRST_MS, LAST_MS
from ledger.errors import DatasetError
from ledger.forgetting.retention import NOBODYS, _messages_in
from ledger.store import Ledger
from tests.fuzz.conftest import FUZZ
from tests.fuzz.shapes import bent, damaged, dumped
from trainer.export import export_dataset
from trainer.importing import ImportReport, import_paths
from trainer.preparing.dataset_files import PARTS, read_lines, read_manifest

pytestmark = [pytest.mark.fuzz, pytest.mark.filterwarnings("ignore:Duplicate name")]

SECONDS = 5.0
GUILD, CHANNEL, MEMBER = 41, 51, 800_000_000_000_000_001
MOMENT = "2024-05-01T10:00:00+00:00"
TEXT = "the good line"
GOOD = {"guild": GUILD, "channel": "pond", "author": "Bo", "content": TEXT, "timestamp": 1_714_557_600}


@dataclass
class House:
    """A ledger that all inputs are read into, and a loop to read in."""

    loop: asyncio.AbstractEventLoop
    ledger: Ledger
    folder: Path

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    def take(self, name: str, data: bytes, **options: Any) -> ImportReport:
        """Import a file beside a good one; see that it is told in full, and nothing beyond bounds kept."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        (self.folder / name).write_bytes(data)
        (self.folder / "zz.jsonl").write_text(json.dumps(GOOD) + "\n", encoding="utf-8")
        began = time.monotonic()
        report: ImportReport = self.run(import_paths(self.ledger, [self.folder], basis="a vote", **options))
        assert time.monotonic() - began < SECONDS
        assert report.read == report.added + report.already_there + report.left_out.total()
        json.dumps(report.as_json()).encode()
        "\n".join(report.lines()).encode()
        return report

    def taken(self, name: str, data: bytes, **options: Any) -> ImportReport:
        """Import a file; see that the good one was taken too."""
        report = self.take(name, data, **options)
        assert report.files >= 1
        assert report.added + report.already_there >= 1
        (found, bad) = self.run(self._look())
        assert found == 1
        assert bad == 0
        return report

    async def _look(self) -> tuple[int, int]:
        """Return how often the good line is there, and how many rows have an impossible date."""
        async with self.ledger.reader.execute(
            "SELECT total(content = ?), total(created_at NOT BETWEEN ? AND ?) FROM messages",
            (TEXT, FIRST_MS, LAST_MS),
        ) as cursor:
            row = await cursor.fetchone()
        assert row is not None
        return int(row[0]), int(row[1])


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("readers")
    loop = asyncio.new_event_loop()
    opened = Ledger.open(folder / "data" / "ledger.db")
    ledger = loop.run_until_complete(opened.__aenter__())
    try:
        yield House(loop, ledger, folder / "exports")
    finally:
        loop.run_until_complete(opened.__aexit__(None, None, None))
        loop.close()


def message(number: int) -> dict[str, Any]:
    return {
        "id": str(900_000_000_000_000_000 + number),
        "type": "Reply",
        "timestamp": MOMENT,
        "timestampEdited": MOMENT,
        "content": "Bo: did you see that",
        "author": {"id": str(MEMBER), "name": "ada", "nickname": "Ada", "isBot": False},
        "mentions": [{"id": "5", "name": "bo"}],
        "reference": {"messageId": "5", "channelId": str(CHANNEL), "guildId": str(GUILD)},
    }


EXPORT = {
    "guild": {"id": str(GUILD), "name": "Moss Club"},
    "channel": {"id": str(CHANNEL), "type": "GuildPublicThread", "categoryId": "50", "category": "pond"},
    "dateRange": {"after": None},
    "messages": [message(number) for number in range(3)],
}
LINE = {
    "guild": {"id": GUILD, "name": "Moss Club"},
    "channel": {"id": CHANNEL, "name": "pond"},
    "author": {"id": MEMBER, "name": "Ada"},
    "content": "hm",
    "timestamp": MOMENT,
    "id": "m17",
    "reply_to": 16,
    "is_bot": False,
}
SERVER = {"id": str(GUILD), "name": "Moss Club"}
PACKAGE: dict[str, Any] = {
    "account/user.json": {"id": str(MEMBER), "username": "ada", "global_name": "Ada"},
    "messages/index.json": {"51": "pond in Moss Club", "52": "Direct Message with bo"},
    "messages/c51/channel.json": {"id": "51", "type": 0, "name": "pond", "guild": SERVER},
    "messages/c51/messages.json": [{"ID": 901, "Timestamp": "2024-05-01 10:00:00", "Contents": "mine"}],
    "messages/c53/channel.json": {"id": "53", "type": "PUBLIC_THREAD", "parent_id": "51", "guild": SERVER},
    "messages/c53/messages.csv": 'ID,Timestamp,Contents\n902,2020-05-01 10:00:00+00:00,"a\nb"\n',
}
ODD_NAMES = (f"messages/c{'9' * 19}/messages.json", "../c5/channel.json", "/x", "ü", "a" * 300)
PACKINGS = (zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2)
BEGINNINGS = (
    b"",
    b"{",
    b"[",
    b"PK\x03\x04",
    b"PK\x05\x06",
    b"\x1f\x8b\x08\x00",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
)


@FUZZ
@given(st.data())
def test_a_chat_export_of_any_shape(house: House, data: st.DataObject) -> None:
    raw = data.draw(bent(EXPORT).map(dumped).flatmap(damaged))
    packed = data.draw(st.booleans())
    house.taken("a.json.gz" if packed else "a.json", gzip.compress(raw, 1) if packed else raw)


@FUZZ
@given(st.data())
def test_a_packed_export_of_damaged_bytes(house: House, data: st.DataObject) -> None:
    house.taken("a.json.gz", data.draw(damaged(gzip.compress(dumped(EXPORT), 1))))


@FUZZ
@given(st.data(), st.sampled_from([None, GUILD]))
def test_json_lines_of_any_shape(house: House, data: st.DataObject, guild: int | None) -> None:
    lines = data.draw(st.lists(bent(LINE), min_size=1, max_size=4))
    raw = data.draw(damaged(b"\n".join(map(dumped, lines))))
    house.taken("a.jsonl", raw, guild_id=guild)


@FUZZ
@given(st.data(), st.sampled_from([None, GUILD]))
def test_a_data_package_of_any_shape(house: House, data: st.DataObject, guild: int | None) -> None:
    path = house.folder.with_name("package.zip")
    with zipfile.ZipFile(path, "w", data.draw(st.sampled_from(PACKINGS))) as package:
        for name, content in PACKAGE.items():
            raw = content.encode() if isinstance(content, str) else dumped(data.draw(bent(content)))
            odd = data.draw(st.integers(0, 19)) == 0
            inside = data.draw(st.sampled_from(ODD_NAMES)) if odd else name
            package.writestr(inside, data.draw(damaged(raw)))
    house.taken("a.zip", data.draw(damaged(path.read_bytes())), guild_id=guild)


@FUZZ
@given(st.data())
def test_a_package_that_a_member_hands_in(house: House, data: st.DataObject) -> None:
    """Nothing of it may be somebody else's, whatever it says."""
    path = house.folder.with_name("package.zip")
    with zipfile.ZipFile(path, "w") as package:
        for name, content in PACKAGE.items():
            raw = content.encode() if isinstance(content, str) else dumped(data.draw(bent(content)))
            package.writestr(name, raw)
    report = house.take("a.zip", path.read_bytes(), guild_id=GUILD, handed_in_by=MEMBER + 1)
    assert (report.added, report.already_there) == (0, 0)


@FUZZ
@given(
    st.sampled_from(["a.json", "a.jsonl", "a.zip", "a.json.gz", "²[part 3].ndjson"]),
    st.binary(max_size=400),
    st.sampled_from(BEGINNINGS),
)
def test_a_file_of_any_bytes(house: House, name: str, data: bytes, beginning: bytes) -> None:
    house.taken(name, beginning + data)
    house.taken(name, bz2.compress(data))


TURNS = [
    {"role": "user", "content": "Ada: hm"},
    {"role": "assistant", "content": "yes\u2028no", "name": "Bo"},
]
EXAMPLE = {"messages": TURNS, "targets": [1], "message_ids": [5, 6], "channel": "pond", "conversation": 3}
MANIFEST = {"files": {"train.jsonl": {"sha256": "x", "lines": 1}}}


def refused(read: Callable[[], object]) -> str:
    """Return the sentence with which something was refused, or an empty text."""
    try:
        read()
    except DatasetError as error:
        return str(error)
    return ""


@FUZZ
@given(st.data())
def test_a_dataset_of_any_shape(house: House, data: st.DataObject) -> None:
    """What is read is an example, what is not is told, and a deletion sees every message or nobody's."""
    folder = house.folder.with_name("dataset")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    lines = data.draw(st.lists(bent(EXAMPLE), min_size=1, max_size=3))
    raw = data.draw(damaged(b"".join(dumped(line) + b"\n" for line in lines)))
    for part in PARTS:
        (folder / f"{part}.jsonl").write_bytes(raw)
    manifest = data.draw(bent(MANIFEST))
    (folder / "manifest.json").write_bytes(dumped(manifest))
    if not (isinstance(manifest, dict) and manifest.get("files") == {}):
        assert refused(lambda: read_manifest(folder))
    read: list[dict[str, Any]] = []
    told = refused(lambda: read.extend(read_lines(folder, "train")))
    told += refused(lambda: export_dataset(folder, folder / "out", form="sharegpt"))
    assert "yes" not in told
    known = _messages_in(folder)
    for value in read:
        assert all(0 <= target < len(value["messages"]) for target in value["targets"])
        assert NOBODYS in known or set(value.get("message_ids", ())) <= known or not raw.endswith(b"\n")
