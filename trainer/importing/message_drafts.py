"""What every reader yields: a message, its channel, and why it may have to be left out.

Readers know file formats and nothing else; consent, storage and addressing come after them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ledger.clock import to_ms
from ledger.records import Message

DELETED_USER_ID = 456226577798135808
"""The account under which Discord shows the words of deleted users: many people, so nobody in particular."""
_DELETED_NAME = re.compile(r"Deleted User( [0-9a-f]{8})?|deleted_user_[0-9a-z]+")

BOT = "written by a bot or webhook"
DELETED = "author's account is deleted"
SYSTEM = "system message"
NO_TEXT = "no text"
DIRECT = "direct message"
PRIVATE_THREAD = "in a private thread"
UNREADABLE = "incomplete message"
UNKNOWN_SERVER = "server unknown"


@dataclass(frozen=True, slots=True)
class ExportedChannel:
    """A channel and its guild, as the export names them."""

    guild_id: int
    guild_name: str
    channel_id: int
    channel_name: str
    is_thread: bool = False
    parent_id: int | None = None
    """A thread's channel, where the export names it."""


@dataclass(frozen=True, slots=True)
class MessageDraft:
    """One message as read; ``left_out`` is the reason not to keep it, or empty."""

    channel: ExportedChannel
    message: Message
    names: tuple[str, ...] = ()
    left_out: str = ""


@dataclass(frozen=True, slots=True)
class Skipped:
    """A message that cannot be taken; nobody needs to know its author or text."""

    left_out: str


@dataclass(slots=True)
class ImportProgress:
    """How far the import of one file has come; ``share`` is between 0 and 1."""

    file: Path
    messages: int = 0
    share: float = 0.0


@dataclass(slots=True)
class FileReading:
    """One file under way: the guild to read it for, and what the reader noticed."""

    path: Path
    guild_id: int | None = None
    owner_id: int | None = None
    """The member whose data package it must be; None for anybody's."""
    share: float = 0.0
    cut_off: bool = False
    faults: list[str] = field(default_factory=list)
    """Parts that could not be read although the rest could, as half-sentences: "c51 (it ends early)"."""


Reader = Callable[[FileReading], Iterator[MessageDraft | Skipped]]


def stable_id(*parts: object) -> int:
    """Return a positive 63-bit number that depends on ``parts`` alone, as the id of what has none."""
    digest = hashlib.blake2b(
        "\x1f".join(str(part) for part in parts).encode("utf-8", "replace"), digest_size=8
    )
    return (int.from_bytes(digest.digest(), "big") & (2**63 - 1)) or 1


def snowflake(value: Any) -> int:
    """Return a Discord id, written as a number or a text.

    Raises:
        ValueError: it is not an id, or does not fit the database's 63 bits.
    """
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError("no id")
    number = int(value)
    if not 0 < number < 2**63:
        raise ValueError("an id out of range")
    return number


def moment(value: Any) -> int:
    """Return an ISO 8601 time or seconds or milliseconds since the epoch as milliseconds, UTC.

    A time without an offset is read as UTC. The gate says which times may be stored.

    Raises:
        ValueError: it is not a time.
        OverflowError: it is infinite.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        # As seconds 1e11 is the year 5138, as milliseconds it is March 1973, before anybody chatted.
        return round(value if abs(value) > 1e11 else value * 1000)
    if not isinstance(value, str):
        raise ValueError("no time")
    parsed = datetime.fromisoformat(value.strip())
    return to_ms(parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC))


def storable(text: Any) -> str:
    """Return ``text`` with plain line ends and without half surrogates, which SQLite refuses.

    Raises:
        ValueError: it is neither text, nor a number, nor None.
    """
    if text is not None and not isinstance(text, str | int | float):
        raise ValueError("no text")
    clean = str("" if text is None else text).replace("\r\n", "\n").replace("\x00", "")
    return clean.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def word(value: Any) -> str:
    """Return a number or a word as lower-case text, and an empty text for anything else."""
    return str(value).lower() if isinstance(value, str | int) else ""


def is_deleted(author_id: int, name: str) -> bool:
    """Return whether the author's account is deleted: nobody who could consent or be forgotten."""
    return author_id == DELETED_USER_ID or _DELETED_NAME.fullmatch(name) is not None
