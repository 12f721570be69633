"""Plain JSON lines: one message a line, from anywhere.

Each has ``{"channel", "author", "content", "timestamp"}`` and, where known, ``id``, ``reply_to``,
``author_id``, ``channel_id`` and ``guild``. A message without an id gets one computed from its content, so
that a second import finds it again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from ledger.records import Message
from trainer.importing.files import opened
from trainer.importing.json_text import MAX_BLANKS, Malformed
from trainer.importing.message_drafts import (
    BOT,
    DELETED,
    NO_TEXT,
    UNREADABLE,
    ExportedChannel,
    FileReading,
    MessageDraft,
    Skipped,
    is_deleted,
    moment,
    snowflake,
    stable_id,
    storable,
)

_SMALLEST_SNOWFLAKE = 1 << 40
"""Discord's ids are far larger; smaller ones are somebody's line numbers, and would collide."""


def read_json_lines(reading: FileReading) -> Iterator[MessageDraft | Skipped]:
    """Yield every line's message, in the file's order; sets ``reading.cut_off``.

    Raises:
        Malformed: a line is not a JSON object, or nothing names its guild.
    """
    with opened(reading) as source:
        blanks = 0
        for number, (line, complete) in enumerate(source.lines(), start=1):
            blanks = 0 if line.strip() else blanks + len(line) + 1
            if blanks > MAX_BLANKS:
                raise Malformed(f"there are blanks alone up to line {number}")
            if blanks:
                continue
            try:
                value = json.loads(line)
            except (ValueError, RecursionError) as error:
                # Only a last line without a line break can be cut off; any other is wrong.
                if not complete:
                    reading.cut_off = True
                    return
                raise Malformed(f"line {number} is no JSON") from error
            # One line that is something else means that the file is: taking the rest would be a guess.
            if not isinstance(value, dict):
                raise Malformed(f"line {number} is no JSON object")
            yield _draft(value, reading.guild_id, number)
        reading.cut_off = source.cut_off


def _draft(raw: dict[str, Any], guild_id: int | None, number: int) -> MessageDraft | Skipped:
    guild = raw.get("guild")
    if guild is None and guild_id is None:
        raise Malformed(f'line {number} names no guild; add "guild" to each line, or pass --guild')
    try:
        channel = _exported_channel(raw, guild, guild_id)
        author = _named(raw["author"])
        name = storable(author.get("name")) or "someone"
        created_at = moment(raw["timestamp"])
        content = storable(raw["content"])
        author_id = _id(author.get("id", raw.get("author_id")), "author", channel.guild_id, name)
        own = raw.get("id")
        message = Message(
            id=_message_id(own, channel)
            if own
            else stable_id(channel.guild_id, channel.channel_id, author_id, created_at, content),
            guild_id=channel.guild_id,
            channel_id=channel.channel_id,
            author_id=author_id,
            author_name=name,
            content=content,
            created_at=created_at,
            reply_to=_message_id(raw["reply_to"], channel) if raw.get("reply_to") else None,
            is_bot=bool(raw.get("is_bot", False)),
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        return Skipped(UNREADABLE)
    return MessageDraft(channel, message, (name,), _reason(message, name))


def _reason(message: Message, name: str) -> str:
    if message.is_bot:
        return BOT
    if is_deleted(message.author_id, name):
        return DELETED
    return "" if message.content.strip() else NO_TEXT


def _exported_channel(raw: dict[str, Any], guild: Any, guild_id: int | None) -> ExportedChannel:
    server, channel = _named(guild), _named(raw["channel"])
    server_name = storable(server.get("name")) or (str(guild_id) if guild_id else "unnamed")
    number = server.get("id") or (guild_id if guild_id is not None else stable_id("guild", server_name))
    channel_name = (storable(channel.get("name")) or "unnamed").removeprefix("#")
    return ExportedChannel(
        guild_id=snowflake(number),
        guild_name=server_name,
        channel_id=_id(channel.get("id", raw.get("channel_id")), "channel", snowflake(number), channel_name),
        channel_name=channel_name,
    )


def _named(value: Any) -> dict[str, Any]:
    """Return id and name from ``{"id", "name"}``, from a number, or from a name alone."""
    if isinstance(value, dict):
        return value
    if isinstance(value, int):
        return {"id": value, "name": str(value)}
    return {"name": value}


def _message_id(value: Any, channel: ExportedChannel) -> int:
    """Return Discord's id as given; any other ("m17", 17) is unique in its channel only."""
    try:
        number = snowflake(value)
    except ValueError:
        number = 0
    if number >= _SMALLEST_SNOWFLAKE:
        return number
    return stable_id("message", channel.guild_id, channel.channel_id, storable(value))


def _id(value: Any, kind: str, guild_id: int, name: str) -> int:
    """Return the id as given, or one computed from a foreign id ("u17") or from the name."""
    if value is None or value == "":
        return stable_id(kind, guild_id, name)
    try:
        return snowflake(value)
    except ValueError:
        return stable_id(kind, guild_id, "foreign", storable(value))
