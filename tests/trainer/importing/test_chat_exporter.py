from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger.records import Message
from trainer.importing.chat_exporter import read_chat_export
from trainer.importing.json_text import Malformed
from trainer.importing.message_drafts import (
    BOT,
    DELETED,
    DELETED_USER_ID,
    DIRECT,
    NO_TEXT,
    SYSTEM,
    UNREADABLE,
    FileReading,
    MessageDraft,
    Skipped,
)


def read(path: Path) -> list[MessageDraft | Skipped]:
    return list(read_chat_export(FileReading(path)))


def kept(path: Path) -> list[Message]:
    return [item.message for item in read(path) if isinstance(item, MessageDraft) and not item.left_out]


def reasons(path: Path) -> list[str]:
    return [item.left_out for item in read(path)]


def test_a_message_is_read_with_its_channel_and_time(exports: Any) -> None:
    raw = exports.message(1, exports.ada, "the pond is full", timestamp="2024-05-01T12:00:01.25+02:00")
    (draft,) = read(exports.write("a.json", exports.chat([raw])))
    assert isinstance(draft, MessageDraft)
    assert (draft.channel.guild_name, draft.channel.channel_name) == ("Moss Club", "pond")
    message = draft.message
    assert (message.id, message.author_id, message.author_name) == (exports.first + 1, exports.ada, "Ada")
    assert (message.guild_id, message.channel_id) == (exports.guild, exports.channel)
    assert message.content == "the pond is full"
    assert message.created_at == 1714557601250  # 10:00:01.25 UTC


def test_a_reply_and_an_edit_are_kept(exports: Any) -> None:
    raw = exports.message(
        2,
        exports.bo,
        "indeed",
        type="Reply",
        timestampEdited="2024-05-01T10:05:00+00:00",
        reference={"messageId": str(exports.first + 1), "channelId": str(exports.channel), "guildId": "1"},
        mentions=[{"id": str(exports.ada), "name": "ada"}, {"name": "lost"}],
    )
    (message,) = kept(exports.write("a.json", exports.chat([raw])))
    assert message.reply_to == exports.first + 1
    assert message.edited_at == 1714557900000
    assert message.mentions == (exports.ada,)


@pytest.mark.parametrize(
    "fields",
    [
        {"type": "Default", "reference": {"messageId": "5", "channelId": None}},
        {"type": "Reply", "reference": {"messageId": "5", "channelId": "6"}},
        {"type": "Reply", "reference": {"messageId": None}},
        {"type": 19},
    ],
)
def test_other_references_are_no_replies(exports: Any, fields: dict[str, Any]) -> None:
    raw = exports.message(1, exports.ada, "look here", **fields)
    assert kept(exports.write("a.json", exports.chat([raw])))[0].reply_to is None


def test_types_may_be_numbers_or_names(exports: Any) -> None:
    kinds = [0, "0", 19, "Reply", 20, "RecipientAdd", 7, "GuildMemberJoin", "ChannelPinnedMessage"]
    path = exports.write(
        "a.json", exports.chat([exports.message(n, exports.ada, "hm", type=k) for n, k in enumerate(kinds)])
    )
    assert reasons(path) == ["", "", "", "", SYSTEM, SYSTEM, SYSTEM, SYSTEM, SYSTEM]


def test_a_leading_mark_and_gzip_are_read(exports: Any) -> None:
    data = b"\xef\xbb\xbf" + json.dumps(exports.chat([exports.message(1, exports.ada, "hé")])).encode()
    for name, content in (("a.json", data), ("b.json.gz", data), ("c.json", gzip.compress(data))):
        assert [message.content for message in kept(exports.write(name, content))] == ["hé"]


def test_an_older_export_without_newer_fields_is_read(exports: Any) -> None:
    raw = exports.message(1, exports.ada, "old times")
    for missing in ("timestampEdited", "reactions", "mentions", "type"):
        del raw[missing]
    for missing in ("nickname", "roles", "isBot"):
        del raw["author"][missing]
    chat = exports.chat([raw])
    del chat["exportedAt"]
    assert kept(exports.write("a.json", chat))[0].author_name == "ada"


def test_ids_may_be_numbers(exports: Any) -> None:
    raw = exports.message(1, exports.ada, "x", id=exports.first + 1)
    assert kept(exports.write("a.json", exports.chat([raw])))[0].id == exports.first + 1


def test_bots_deleted_accounts_and_empty_messages_are_told_apart(exports: Any) -> None:
    deleted = exports.message(2, DELETED_USER_ID, "gone")
    renamed = exports.message(3, exports.bo, "gone too")
    renamed["author"] |= {"name": "deleted_user_1a2b3c", "nickname": "deleted_user_1a2b3c"}
    raws = [
        exports.message(1, exports.beep, "beep"),
        deleted,
        renamed,
        exports.message(4, exports.ada, " \n"),
    ]
    assert reasons(exports.write("a.json", exports.chat(raws))) == [BOT, DELETED, DELETED, NO_TEXT]


def test_direct_messages_are_left_out(exports: Any) -> None:
    raws = [exports.message(1, exports.ada, "psst")]
    private = exports.chat(raws, channel={"id": "5", "type": "DirectTextChat", "name": "Bo"})
    nowhere = exports.chat(raws, guild={"id": "0", "name": "Direct Messages"})
    assert reasons(exports.write("a.json", private)) == [DIRECT]
    assert reasons(exports.write("b.json", nowhere)) == [DIRECT]


def test_one_damaged_message_does_not_spoil_the_others(exports: Any) -> None:
    good = exports.message(1, exports.ada, "fine")
    bad: list[Any] = [
        {**good, "id": "minus one"},
        {**good, "id": str(2**63)},
        {**good, "timestamp": "yesterday"},
        {**good, "author": None},
        {"id": "4"},
        "text",
        None,
    ]
    assert reasons(exports.write("a.json", exports.chat([*bad, good]))) == [UNREADABLE] * 7 + [""]


def test_half_a_surrogate_becomes_storable(exports: Any) -> None:
    text = json.dumps(exports.chat([exports.message(1, exports.ada, "x\ud83dy\r\nz\0")]))
    (message,) = kept(exports.write("a.json", text))
    assert message.content == "x\ufffdy\nz"


def test_an_interrupted_export_gives_its_complete_messages(exports: Any) -> None:
    raws = [exports.message(n, exports.ada, f"line {n}") for n in range(5)]
    whole = json.dumps(exports.chat(raws))
    reading = FileReading(exports.write("a.json", whole[: whole.index("line 3") + 3]))
    assert len(list(read_chat_export(reading))) == 3
    assert reading.cut_off


def test_an_export_that_ends_in_half_a_character_is_cut_off_and_not_broken(exports: Any) -> None:
    whole = json.dumps(exports.chat([exports.message(1, exports.ada, "naïve")]), ensure_ascii=False).encode()
    reading = FileReading(exports.write("a.json", whole[: whole.index(b"\xc3") + 1]))
    assert list(read_chat_export(reading)) == []
    assert reading.cut_off


def test_a_gzip_that_ends_early_is_cut_off(exports: Any) -> None:
    raws = [exports.message(n, exports.ada, f"line {n} {n * 7919 % 1013}") for n in range(3000)]
    packed = gzip.compress(json.dumps(exports.chat(raws)).encode())
    reading = FileReading(exports.write("a.json.gz", packed[: len(packed) // 2]))
    assert 500 < len(list(read_chat_export(reading))) < 3000
    assert reading.cut_off


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda text: text.replace('"content"', '"content', 1), "delimiter"),
        (lambda text: text.replace('"messages"', '"letters"'), "no list of messages"),
        (lambda text: text.replace('"channel"', '"canal"', 1), "in front of"),
        (lambda text: text + text, "follows"),
    ],
)
def test_a_broken_export_is_told_from_a_cut_off_one(
    exports: Any, damage: Callable[[str], str], reason: str
) -> None:
    raws = [exports.message(n, exports.ada, f"line {n}") for n in range(5)]
    with pytest.raises(Malformed, match=reason):
        read(exports.write("a.json", damage(json.dumps(exports.chat(raws)))))


def test_a_damaged_gzip_is_refused(exports: Any) -> None:
    packed = bytearray(gzip.compress(json.dumps(exports.chat([])).encode() * 50))
    packed[30:60] = bytes(30)
    with pytest.raises(Malformed):
        read(exports.write("a.json.gz", bytes(packed)))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(texts=st.lists(st.text(min_size=1), max_size=8), ascii_only=st.booleans())
def test_every_text_comes_back_as_it_was_written(exports: Any, texts: list[str], ascii_only: bool) -> None:
    raws = [exports.message(n, exports.ada, text) for n, text in enumerate(texts)]
    chat = json.dumps(exports.chat(raws), ensure_ascii=ascii_only)
    wanted = [text.replace("\r\n", "\n").replace("\0", "") for text in texts]
    found = [
        item.message.content for item in read(exports.write("a.json", chat)) if isinstance(item, MessageDraft)
    ]
    assert found == wanted
