"""A member's own Discord data package: the zip that Discord sends to whoever asks for their data.

Reads inside the zip and never unpacks it, so that no name in it can become a path on the disk.
Holds one member's messages only; their direct messages are left out unread. Folder names differ by
age and language of the package and are found by their shape.
"""

from __future__ import annotations

import csv
import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, cast

from ledger.records import Message
from trainer.importing.drafts import (
    DIRECT,
    NO_TEXT,
    UNKNOWN_SERVER,
    UNREADABLE,
    Draft,
    Place,
    Reading,
    Skipped,
    moment,
    snowflake,
    storable,
)
from trainer.importing.json_text import ByteSource, CutOff, JsonText, Malformed, TextSource

MAX_ENTRIES = 200_000
MAX_TOTAL_BYTES = 8 << 30
MAX_RATIO = 200
"""Chat compresses five- to twentyfold; a file that shrinks more than this is a trap."""
_SMALL_BYTES = 16 << 20  # a small file may shrink as it likes

_ENTRY = re.compile(r"(?:[^/]+/)?[^/]+/c?(\d{1,19})/(channel\.json|messages\.json|messages\.csv)", re.I)
_INDEX = re.compile(r"(?:[^/]+/)?[^/]+/index\.json", re.I)
_USER = re.compile(r"(?:[^/]+/)?[^/]+/user\.json", re.I)
_IN_SERVER = re.compile(r"(.*) in (.+)", re.S)
_DIRECT_TYPES = {"1", "3", "dm", "group_dm"}

_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError)


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


def read_data_package(reading: Reading) -> Iterator[Draft | Skipped]:
    """Yield the member's messages, channel by channel.

    Raises:
        Malformed: it is no data package, is broken, or unpacks to more than any package holds.
    """
    try:
        with zipfile.ZipFile(reading.path) as package:
            contents = _contents(package)
            member = _member(package, contents)
            index = _index(package, contents)
            for done, (channel_id, files) in enumerate(sorted(contents.channels.items()), start=1):
                yield from _channel(package, channel_id, files, index, member, reading)
                reading.share = done / len(contents.channels)
    except _BROKEN as error:
        raise Malformed("the zip is damaged or encrypted; download the package again") from error


def _contents(package: zipfile.ZipFile) -> _Contents:
    entries = package.infolist()
    if len(entries) > MAX_ENTRIES:
        raise Malformed(f"the zip lists {len(entries)} files, far more than a data package")
    contents = _Contents()
    for entry in entries:
        if entry.filename.startswith("/") or ".." in entry.filename.split("/"):
            continue
        if found := _ENTRY.fullmatch(entry.filename):
            contents.channels.setdefault(int(found[1]), {})[found[2].lower()] = entry
        elif _INDEX.fullmatch(entry.filename):
            contents.index.append(entry)
        elif _USER.fullmatch(entry.filename):
            contents.user.append(entry)
    _refuse_bombs(contents)
    return contents


def _refuse_bombs(contents: _Contents) -> None:
    used = [entry for files in contents.channels.values() for entry in files.values()]
    used += contents.index + contents.user
    if sum(entry.file_size for entry in used) > MAX_TOTAL_BYTES:
        raise Malformed(f"the zip unpacks to more than {MAX_TOTAL_BYTES >> 30} GiB of messages")
    for entry in used:
        if entry.file_size > max(_SMALL_BYTES, MAX_RATIO * entry.compress_size):
            raise Malformed("the zip holds a file that grows enormously when unpacked")


def _member(package: zipfile.ZipFile, contents: _Contents) -> _Member:
    """Return whose package it is."""
    for entry in contents.user:
        with suppress(ValueError, KeyError, TypeError, CutOff):
            raw = _small(package, entry)
            names = tuple(storable(raw[key]) for key in ("global_name", "username") if raw.get(key))
            return _Member(snowflake(raw["id"]), names[0] if names else "someone", names)
    raise Malformed("it has no account/user.json, so nobody can tell whose messages these are")


def _index(package: zipfile.ZipFile, contents: _Contents) -> dict[str, str]:
    """Return what ``index.json`` calls each channel: "name in Server", or something else for DMs."""
    index: dict[str, str] = {}
    for entry in contents.index:
        raw = _small(package, entry)
        if isinstance(raw, dict):
            index.update({str(key): storable(value) for key, value in raw.items() if value})
    return index


def _channel(
    package: zipfile.ZipFile,
    channel_id: int,
    files: dict[str, zipfile.ZipInfo],
    index: dict[str, str],
    member: _Member,
    reading: Reading,
) -> Iterator[Draft | Skipped]:
    about: dict[str, Any] = {}
    if "channel.json" in files:
        raw = _small(package, files["channel.json"])
        about = raw if isinstance(raw, dict) else {}
    place = _place(channel_id, about, index.get(str(channel_id), ""), reading.guild_id)
    for row in _rows(package, files, reading):
        yield Skipped(place) if isinstance(place, str) else _draft(row, place, member)


def _place(channel_id: int, about: dict[str, Any], title: str, guild_id: int | None) -> Place | str:
    """Return the channel and its server, or the reason why its messages are left out."""
    named = _IN_SERVER.fullmatch(title)
    guild = about.get("guild")
    if str(about.get("type", "")).lower() in _DIRECT_TYPES or "recipients" in about:
        return DIRECT
    if not isinstance(guild, dict):
        if named is None or guild_id is None:
            return DIRECT if title and named is None else UNKNOWN_SERVER
        guild = {"id": guild_id, "name": named[2]}
    try:
        return Place(
            guild_id=snowflake(guild.get("id")),
            guild_name=storable(guild.get("name")) or (named[2] if named else "unnamed"),
            channel_id=channel_id,
            channel_name=storable(about.get("name")) or (named[1] if named else "unnamed"),
        )
    except ValueError:
        return UNKNOWN_SERVER


def _rows(package: zipfile.ZipFile, files: dict[str, zipfile.ZipInfo], reading: Reading) -> Iterator[Any]:
    if "messages.json" in files:
        with package.open(files["messages.json"]) as file:
            try:
                yield from JsonText(TextSource(cast(ByteSource, file))).elements()
            except CutOff:
                reading.cut_off = True
    elif "messages.csv" in files:
        with package.open(files["messages.csv"]) as file:
            lines = (line + "\n" for line, _ in TextSource(cast(ByteSource, file)).lines())
            try:
                yield from csv.DictReader(lines)
            except csv.Error as error:
                raise Malformed("one of its messages.csv is no table") from error


def _draft(raw: Any, place: Place, member: _Member) -> Draft | Skipped:
    try:
        message = Message(
            id=snowflake(raw["ID"]),
            guild_id=place.guild_id,
            channel_id=place.channel_id,
            author_id=member.id,
            author_name=member.name,
            content=storable(raw["Contents"]),
            created_at=moment(raw["Timestamp"]),
        )
    except (KeyError, TypeError, ValueError, OverflowError):
        return Skipped(UNREADABLE)
    return Draft(place, message, member.names, "" if message.content.strip() else NO_TEXT)


def _small(package: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Any:
    """Decode one of the package's small files."""
    with package.open(entry) as file:
        try:
            return JsonText(TextSource(cast(ByteSource, file))).value()
        except CutOff as error:
            raise Malformed("one of its files ends early; download the package again") from error
