from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from trainer.importing.json_lines import read_json_lines
from trainer.importing.json_text import Malformed
from trainer.importing.message_drafts import BOT, NO_TEXT, UNREADABLE, FileReading, MessageDraft, Skipped

LINE = {
    "guild": "Moss Club",
    "channel": "#pond",
    "author": "Ada",
    "content": "the pond is full",
    "timestamp": "2024-05-01T10:00:00Z",
}


def read(path: Path, guild_id: int | None = None) -> list[MessageDraft | Skipped]:
    return list(read_json_lines(FileReading(path, guild_id)))


def lines(exports: Any, *values: dict[str, Any], name: str = "a.jsonl") -> Path:
    return exports.write(name, "".join(json.dumps(value) + "\n" for value in values))  # type: ignore[no-any-return]


def drafts(path: Path, guild_id: int | None = None) -> list[MessageDraft]:
    return [item for item in read(path, guild_id) if isinstance(item, MessageDraft)]


def test_a_line_without_ids_gets_the_same_ones_each_time(exports: Any) -> None:
    one = drafts(lines(exports, LINE))[0]
    two = drafts(lines(exports, {**LINE, "content": "another"}, LINE, name="b.jsonl"))
    assert two[1].message == one.message
    assert two[0].message.id != one.message.id
    assert two[0].message.author_id == one.message.author_id
    assert 0 < one.message.id < 2**63
    assert (one.channel.guild_name, one.channel.channel_name) == ("Moss Club", "pond")


def test_ids_and_replies_that_are_given_are_kept(exports: Any) -> None:
    given = {**LINE, "id": "900000000000000009", "author": {"id": 81, "name": "Ada"}, "channel_id": 51}
    answer = {
        **LINE,
        "author": "Bo",
        "reply_to": 900000000000000009,
        "guild": {"id": 41, "name": "Moss Club"},
    }
    first, second = drafts(lines(exports, given, answer))
    assert (first.message.id, first.message.author_id, first.message.channel_id) == (
        900000000000000009,
        81,
        51,
    )
    assert second.message.reply_to == first.message.id
    assert second.channel.guild_id == 41


def test_foreign_ids_refer_to_each_other_and_collide_with_nothing(exports: Any) -> None:
    ask, answer = {**LINE, "id": 17}, {**LINE, "author": "Bo", "id": "m18", "reply_to": 17}
    other = {**ask, "channel": "shore"}
    first, second, third = drafts(lines(exports, ask, answer, other))
    assert second.message.reply_to == first.message.id
    assert len({first.message.id, second.message.id, third.message.id}) == 3


def test_a_file_without_a_guild_needs_to_be_told_one(exports: Any) -> None:
    path = lines(exports, {key: value for key, value in LINE.items() if key != "guild"})
    with pytest.raises(Malformed, match="--guild"):
        read(path)
    assert drafts(path, guild_id=41)[0].channel.guild_id == 41


@pytest.mark.parametrize(
    "time", ["2024-05-01T12:00:00+02:00", "2024-05-01 10:00:00", 1714557600, 1714557600000]
)
def test_times_are_read_in_every_usual_form(exports: Any, time: object) -> None:
    assert drafts(lines(exports, {**LINE, "timestamp": time}))[0].message.created_at == 1714557600000


def test_lines_that_cannot_be_used_are_counted(exports: Any) -> None:
    nobody = {key: value for key, value in LINE.items() if key != "author"}
    bot = {**LINE, "is_bot": True}
    path = lines(exports, nobody, {**LINE, "timestamp": "soon"}, {**LINE, "content": ""}, bot, LINE)
    assert [item.left_out for item in read(path)] == [UNREADABLE, UNREADABLE, NO_TEXT, BOT, ""]


def test_an_incomplete_last_line_is_cut_off(exports: Any) -> None:
    reading = FileReading(exports.write("a.jsonl", json.dumps(LINE) + "\n" + json.dumps(LINE)[:40]))
    assert len(list(read_json_lines(reading))) == 1
    assert reading.cut_off


def test_a_gzip_that_ends_at_a_line_break_is_still_cut_off(exports: Any) -> None:
    packed = gzip.compress((json.dumps(LINE) + "\n").encode())
    reading = FileReading(exports.write("a.jsonl.gz", packed[:-8]))
    assert len(list(read_json_lines(reading))) == 1
    assert reading.cut_off


@pytest.mark.parametrize("second", ["{oops}", "[1]", "17"])
def test_a_broken_line_is_told_by_its_number(exports: Any, second: str) -> None:
    with pytest.raises(Malformed, match="line 2"):
        read(exports.write("a.jsonl", f"{json.dumps(LINE)}\n{second}\n{json.dumps(LINE)}\n"))
