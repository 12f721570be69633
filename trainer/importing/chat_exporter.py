"""DiscordChatExporter's JSON, plain or .gz, whole, in parts, or cut off in the middle.

It tolerates the differences between that program's versions: ids as texts or numbers, a leading mark,
message types by name or number, missing ``nickname``, ``roles``, ``stickers`` and ``exportedAt``. It stores
nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from ledger.records import Message
from trainer.importing.channels import kind_of
from trainer.importing.files import opened
from trainer.importing.json_text import CutOff, JsonText, Malformed
from trainer.importing.message_drafts import (
    BOT,
    DELETED,
    DIRECT,
    NO_TEXT,
    PRIVATE_THREAD,
    SYSTEM,
    UNREADABLE,
    ExportedChannel,
    FileReading,
    MessageDraft,
    Skipped,
    is_deleted,
    moment,
    snowflake,
    storable,
    word,
)

# Discord's numbers and the exporter's words for the same message types; all others are system messages.
_WRITTEN = {"default", "reply", "0", "19"}
_REPLY = {"reply", "19"}
_HEAD = ("guild", "channel")


def read_chat_export(reading: FileReading) -> Iterator[MessageDraft | Skipped]:
    """Yield every message of one export, in the file's order; sets ``reading.cut_off``.

    Raises:
        Malformed: the file is not such an export, or is broken inside.
    """
    with opened(reading) as source:
        text = JsonText(source)
        head: dict[str, Any] = {}
        try:
            for key in text.keys():  # noqa: SIM118 - a cursor, no dictionary
                if key == "messages":
                    channel = _exported_channel(head, text.position)
                    for element in text.elements():
                        yield Skipped(channel) if isinstance(channel, str) else _draft(element, channel)
                    head[key] = True
                else:
                    value = text.value()
                    if key in _HEAD:  # everything else is read over, however much it is
                        head[key] = value
        except CutOff:
            reading.cut_off = True
            return
        # A cut-off file returned above: here the end was reached, and the list was never there.
        if "messages" not in head:
            raise Malformed("it has no list of messages")
        if text.peek():
            raise Malformed("something follows after the export's end", text.position)


def _exported_channel(head: dict[str, Any], position: int) -> ExportedChannel | str:
    """Return the export's channel, or the reason to leave its messages out: it is private."""
    guild, channel = head.get("guild"), head.get("channel")
    if not isinstance(guild, dict) or not isinstance(channel, dict):
        raise Malformed("guild and channel do not stand in front of the messages", position)
    kind = kind_of(channel.get("type"))
    if kind == "direct" or word(guild.get("id")) == "0":
        return DIRECT
    if kind == "private thread":
        return PRIVATE_THREAD
    is_thread = kind == "thread"
    # A thread's title is what somebody said, and the export does not say who, so nobody's consent covers
    # it. The thread goes by its channel's name.
    name = channel.get("category" if is_thread else "name")
    try:
        return ExportedChannel(
            guild_id=snowflake(guild.get("id")),
            guild_name=storable(guild.get("name")) or "unnamed",
            channel_id=snowflake(channel.get("id")),
            channel_name=storable(name) or "unnamed",
            is_thread=is_thread,
            parent_id=snowflake(channel["categoryId"]) if is_thread and channel.get("categoryId") else None,
        )
    except ValueError as error:
        raise Malformed("its guild or channel has no usable id or name", position) from error


def _draft(raw: Any, channel: ExportedChannel) -> MessageDraft | Skipped:
    try:
        author = raw["author"]
        kind = word(raw.get("type", "Default"))
        name = storable(author.get("nickname") or author.get("name")) or "someone"
        message = Message(
            id=snowflake(raw["id"]),
            guild_id=channel.guild_id,
            channel_id=channel.channel_id,
            author_id=snowflake(author["id"]),
            author_name=name,
            content=storable(raw.get("content")),
            created_at=moment(raw["timestamp"]),
            reply_to=_answered(raw, kind, channel),
            edited_at=moment(raw["timestampEdited"]) if raw.get("timestampEdited") else None,
            mentions=tuple(_ids(raw.get("mentions"))),
            is_bot=bool(author.get("isBot")),
        )
        names = tuple(storable(author[key]) for key in ("nickname", "name") if author.get(key))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        return Skipped(UNREADABLE)
    return MessageDraft(channel, message, names, _reason(message, names, kind))


def _reason(message: Message, names: tuple[str, ...], kind: str) -> str:
    if message.is_bot:
        return BOT
    if any(is_deleted(message.author_id, name) for name in names):
        return DELETED
    if kind not in _WRITTEN:
        return SYSTEM
    return "" if message.content.strip() else NO_TEXT


def _answered(raw: dict[str, Any], kind: str, channel: ExportedChannel) -> int | None:
    """Return the id of the message that this one replies to; pins and forwards hold references, too."""
    reference = raw.get("reference")
    if kind not in _REPLY or not isinstance(reference, dict) or not reference.get("messageId"):
        return None
    elsewhere = reference.get("channelId")
    if elsewhere and word(elsewhere) not in ("0", str(channel.channel_id)):
        return None
    return snowflake(reference["messageId"])


def _ids(people: Any) -> Iterator[int]:
    for person in people if isinstance(people, list) else ():
        with suppress(KeyError, TypeError, ValueError):  # a mention that lacks its id mentions nobody
            yield snowflake(person["id"])
