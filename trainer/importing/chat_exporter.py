"""DiscordChatExporter's JSON, plain or .gz, whole, in parts, or cut off in the middle.

Tolerates what its versions differ in: ids as texts or numbers, a leading mark, message types by
name or number, missing ``nickname``, ``roles``, ``stickers`` and ``exportedAt``. Reads; stores
nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from ledger.records import Message
from trainer.importing.drafts import (
    BOT,
    DELETED,
    DIRECT,
    NO_TEXT,
    SYSTEM,
    UNREADABLE,
    Draft,
    Place,
    Reading,
    Skipped,
    is_deleted,
    moment,
    snowflake,
    storable,
)
from trainer.importing.files import opened
from trainer.importing.json_text import CutOff, JsonText, Malformed

_WRITTEN = {"default", "reply", "0", "19"}
_REPLY = {"reply", "19"}
_DIRECT_CHANNELS = {"directtextchat", "directgrouptextchat", "dm", "groupdm", "1", "3"}


def read_chat_export(reading: Reading) -> Iterator[Draft | Skipped]:
    """Yield every message of one export, in the file's order; sets ``reading.cut_off``.

    Raises:
        Malformed: the file is no such export, or is broken at a place inside.
    """
    with opened(reading) as source:
        text = JsonText(source)
        head: dict[str, Any] = {}
        try:
            for key in text.keys():  # noqa: SIM118 - a cursor, no dictionary
                if key == "messages":
                    place = _place(head, text.position)
                    for element in text.elements():
                        yield DIRECT_MESSAGE if place is None else _draft(element, place)
                    head[key] = True
                else:
                    head[key] = text.value()
        except CutOff:
            reading.cut_off = True
            return
        if "messages" not in head:
            raise Malformed("it has no list of messages")
        if text.peek():
            raise Malformed("something follows after the export's end", text.position)


DIRECT_MESSAGE = Skipped(DIRECT)


def _place(head: dict[str, Any], position: int) -> Place | None:
    """Return the channel that the export is of, or None for a private conversation."""
    guild, channel = head.get("guild"), head.get("channel")
    if not isinstance(guild, dict) or not isinstance(channel, dict):
        raise Malformed("guild and channel do not stand in front of the messages", position)
    if str(channel.get("type", "")).lower() in _DIRECT_CHANNELS or str(guild.get("id")) == "0":
        return None
    try:
        return Place(
            guild_id=snowflake(guild.get("id")),
            guild_name=storable(guild.get("name")) or "unnamed",
            channel_id=snowflake(channel.get("id")),
            channel_name=storable(channel.get("name")) or "unnamed",
        )
    except ValueError as error:
        raise Malformed("its guild or channel has no usable id", position) from error


def _draft(raw: Any, place: Place) -> Draft | Skipped:
    try:
        author = raw["author"]
        kind = str(raw.get("type", "Default")).lower()
        name = storable(author.get("nickname") or author.get("name")) or "someone"
        message = Message(
            id=snowflake(raw["id"]),
            guild_id=place.guild_id,
            channel_id=place.channel_id,
            author_id=snowflake(author["id"]),
            author_name=name,
            content=storable(raw.get("content")),
            created_at=moment(raw["timestamp"]),
            reply_to=_answered(raw, kind, place),
            edited_at=moment(raw["timestampEdited"]) if raw.get("timestampEdited") else None,
            mentions=tuple(_ids(raw.get("mentions"))),
            is_bot=bool(author.get("isBot")),
        )
        names = tuple(storable(author[key]) for key in ("nickname", "name") if author.get(key))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        return Skipped(UNREADABLE)
    return Draft(place, message, names, _reason(message, names, kind))


def _reason(message: Message, names: tuple[str, ...], kind: str) -> str:
    if message.is_bot:
        return BOT
    if any(is_deleted(message.author_id, name) for name in names):
        return DELETED
    if kind not in _WRITTEN:
        return SYSTEM
    return "" if message.content.strip() else NO_TEXT


def _answered(raw: dict[str, Any], kind: str, place: Place) -> int | None:
    """Return the id of the message that this one replies to; pins and forwards refer to others too."""
    reference = raw.get("reference")
    if kind not in _REPLY or not isinstance(reference, dict) or not reference.get("messageId"):
        return None
    channel = reference.get("channelId")
    if channel and str(channel) not in ("0", str(place.channel_id)):
        return None
    return snowflake(reference["messageId"])


def _ids(people: Any) -> Iterator[int]:
    for person in people or ():
        with suppress(KeyError, TypeError, ValueError):  # a mention that lacks its id mentions nobody
            yield snowflake(person["id"])
