"""A member's own Discord data package: the zip that Discord sends to whoever asks for their data.

It reads inside the zip and never unpacks it, so that no name in it can become a path on the disk. A
package holds one member's messages; their direct messages are left out unread. Folder names differ with
age and language of the package, so they are recognised by their shape.
"""

from __future__ import annotations

import csv
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, cast

from ledger.records import Message
from trainer.importing.channels import kind_of
from trainer.importing.files import most_unpacked
from trainer.importing.json_text import ByteSource, CutOff, JsonText, Malformed, TextSource
from trainer.importing.message_drafts import (
    DIRECT,
    NO_TEXT,
    PRIVATE_THREAD,
    UNKNOWN_SERVER,
    UNREADABLE,
    ExportedChannel,
    FileReading,
    MessageDraft,
    Skipped,
    moment,
    snowflake,
    storable,
)

MAX_ENTRIES = 200_000
"""Files in a zip: two or three a channel, and no account is in 60,000 channels."""
MAX_TOTAL_BYTES = 8 << 30
"""Bytes of messages in a zip once unpacked: far more than one person can write."""
_ENTRY = re.compile(r"(?:[^/]+/)?[^/]+/c?(\d{1,19})/(channel\.json|messages\.json|messages\.csv)", re.I)
_INDEX = re.compile(r"(?:[^/]+/)?[^/]+/index\.json", re.I)
_USER = re.compile(r"(?:[^/]+/)?[^/]+/user\.json", re.I)
_IN_SERVER = re.compile(r"(.*) in (.+)", re.S)
_PACKINGS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
"""What Discord packs with. LZMA and bzip2 would let the file decide how much memory unpacking takes."""

# What zipfile raises for bytes that are not a zip, for names that are not text, and for absurd sizes.
_BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    OverflowError,
)
_DAMAGED = "the zip is damaged or encrypted; download the package again"


@dataclass(slots=True)
class _Contents:
    """The entries that matter, by channel."""

    channels: dict[int, dict[str, zipfile.ZipInfo]] = field(default_factory=dict)
    index: list[zipfile.ZipInfo] = field(default_factory=list)
    user: list[zipfile.ZipInfo] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Member:
    id: int
    name: str
    names: tuple[str, ...]


def read_data_package(reading: FileReading) -> Iterator[MessageDraft | Skipped]:
    """Yield the member's messages, channel by channel; broken channels are named in ``faults``.

    Raises:
        Malformed: it is not a data package, is broken, or unpacks to more than any package holds.
    """
    try:
        with zipfile.ZipFile(reading.path) as package:
            contents = _contents(package, reading.path.stat().st_size)
            member = _member(package, contents)
            if reading.owner_id not in (None, member.id):
                raise Malformed("it is another account's package; only its owner can hand it in")
            index = _index(package, contents, reading)
            # Sorted, so that a second import meets the channels in the same order as the first.
            for done, (channel_id, files) in enumerate(sorted(contents.channels.items()), start=1):
                try:
                    yield from _channel(package, channel_id, files, index, member, reading)
                except Malformed as fault:
                    reading.faults.append(f"c{channel_id} ({fault})")
                except _BROKEN:
                    reading.faults.append(f"c{channel_id} (it is damaged or encrypted)")
                reading.share = done / len(contents.channels)
    except _BROKEN as error:
        raise Malformed(_DAMAGED) from error


def _contents(package: zipfile.ZipFile, size: int) -> _Contents:
    entries = package.infolist()
    if len(entries) > MAX_ENTRIES:
        raise Malformed(f"the zip lists {len(entries)} files, far more than a data package")
    contents = _Contents()
    for entry in entries:
        # Nothing is unpacked, so such names could do no harm; but Discord writes none, so they are not its.
        if entry.filename.startswith("/") or ".." in entry.filename.split("/"):
            continue
        if found := _ENTRY.fullmatch(entry.filename):
            contents.channels.setdefault(int(found[1]), {})[found[2].lower()] = entry
        elif _INDEX.fullmatch(entry.filename):
            contents.index.append(entry)
        elif _USER.fullmatch(entry.filename):
            contents.user.append(entry)
    _refuse_bombs(contents, size)
    return contents


def _refuse_bombs(contents: _Contents, size: int) -> None:
    used = [entry for files in contents.channels.values() for entry in files.values()]
    used += contents.index + contents.user
    if sum(entry.file_size for entry in used) > MAX_TOTAL_BYTES:
        raise Malformed(f"the zip unpacks to more than {MAX_TOTAL_BYTES >> 30} GiB of messages")
    # Each entry by itself and all together: overlapping entries can share the same bytes, and many small
    # ones add up.
    if any(entry.file_size > most_unpacked(entry.compress_size) for entry in used) or (
        sum(entry.file_size for entry in used) > most_unpacked(size)
    ):
        raise Malformed("the zip holds a file that grows enormously when unpacked")


def _member(package: zipfile.ZipFile, contents: _Contents) -> _Member:
    """Return the member who owns the package."""
    for entry in contents.user:
        with suppress(Malformed, *_BROKEN):
            raw = _object(package, entry)
            names = tuple(storable(raw[key]) for key in ("global_name", "username") if raw.get(key))
            return _Member(snowflake(raw.get("id")), names[0] if names else "someone", names)
    raise Malformed("it has no readable account/user.json, so nobody can tell whose messages these are")


def _index(package: zipfile.ZipFile, contents: _Contents, reading: FileReading) -> dict[str, str]:
    """Return each channel's title in ``index.json``: "name in Server", or something else for DMs."""
    index: dict[str, str] = {}
    for entry in contents.index:
        try:
            raw = _object(package, entry)
        except Malformed as fault:
            reading.faults.append(f"index.json ({fault})")
            continue
        index.update({key: storable(value) for key, value in raw.items() if isinstance(value, str)})
    return index


def _channel(
    package: zipfile.ZipFile,
    channel_id: int,
    files: dict[str, zipfile.ZipInfo],
    index: dict[str, str],
    member: _Member,
    reading: FileReading,
) -> Iterator[MessageDraft | Skipped]:
    about = _object(package, files["channel.json"]) if "channel.json" in files else {}
    channel = _exported_channel(channel_id, about, index.get(str(channel_id), ""), reading.guild_id)
    for row in _rows(package, files):
        yield Skipped(channel) if isinstance(channel, str) else _draft(row, channel, member)


def _exported_channel(
    channel_id: int, about: dict[str, Any], title: str, guild_id: int | None
) -> ExportedChannel | str:
    """Return the channel and its server, or the reason to leave its messages out."""
    named = _IN_SERVER.fullmatch(title)
    guild = about.get("guild")
    kind = kind_of(about.get("type"))
    if kind == "direct" or "recipients" in about:
        return DIRECT
    if kind == "private thread":
        return PRIVATE_THREAD
    if not isinstance(guild, dict):
        if named is None or guild_id is None:
            return DIRECT if title and named is None else UNKNOWN_SERVER
        guild = {"id": guild_id, "name": named[2]}
    is_thread = kind == "thread"
    try:
        return ExportedChannel(
            guild_id=snowflake(guild.get("id")),
            guild_name=storable(guild.get("name")) or (named[2] if named else "unnamed"),
            channel_id=snowflake(channel_id),
            channel_name="thread"  # its title is what somebody said, and the package does not say who
            if is_thread
            else storable(about.get("name")) or (named[1] if named else "unnamed"),
            is_thread=is_thread,
            parent_id=snowflake(about["parent_id"]) if is_thread and about.get("parent_id") else None,
        )
    except ValueError:
        return UNKNOWN_SERVER


def _rows(package: zipfile.ZipFile, files: dict[str, zipfile.ZipInfo]) -> Iterator[Any]:
    if "messages.json" in files:
        with _opened(package, files["messages.json"]) as source:
            try:
                yield from JsonText(source).elements()
            except CutOff as error:
                raise Malformed("its messages.json ends early") from error
    elif "messages.csv" in files:
        with _opened(package, files["messages.csv"]) as source:
            lines = (line + "\n" for line, _ in source.lines())
            try:
                yield from csv.DictReader(lines)
            except csv.Error as error:
                raise Malformed("its messages.csv is no table") from error


def _draft(raw: Any, channel: ExportedChannel, member: _Member) -> MessageDraft | Skipped:
    try:
        message = Message(
            id=snowflake(raw["ID"]),
            guild_id=channel.guild_id,
            channel_id=channel.channel_id,
            author_id=member.id,
            author_name=member.name,
            content=storable(raw["Contents"]),
            created_at=moment(raw["Timestamp"]),
        )
    except (KeyError, TypeError, ValueError, OverflowError):
        return Skipped(UNREADABLE)
    return MessageDraft(channel, message, member.names, "" if message.content.strip() else NO_TEXT)


def _object(package: zipfile.ZipFile, entry: zipfile.ZipInfo) -> dict[str, Any]:
    """Decode one of the package's small files.

    Raises:
        Malformed: it is no JSON object.
    """
    name = entry.filename.rsplit("/", 1)[-1]
    with _opened(package, entry) as source:
        try:
            value = JsonText(source).value()
        except CutOff as error:
            raise Malformed(f"its {name} ends early") from error
    if not isinstance(value, dict):
        raise Malformed(f"its {name} is not what a package holds")
    return value


@contextmanager
def _opened(package: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Iterator[TextSource]:
    """Open a file of the package.

    Raises:
        Malformed: it is packed in a way that Discord does not pack.
    """
    if entry.compress_type not in _PACKINGS:
        raise Malformed("it is packed in a way that Discord does not use")
    with package.open(entry) as file:
        yield TextSource(cast(ByteSource, file))
