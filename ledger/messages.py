"""Messages of people who agreed, or that an operator declared lawful to use, and nobody else's.

Adding is idempotent by message id, so that an import can be repeated and a message that arrives
live and by import is kept once.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import replace

import aiosqlite

from ledger.database import Reader, Writer
from ledger.records import Message
from ledger.scrubbing import scrub

_SELECT = (
    "SELECT m.*, coalesce(p.name, '') AS author_name, coalesce(p.is_bot, 0) AS is_bot FROM messages m"
    " LEFT JOIN people p ON p.guild_id = m.guild_id AND p.user_id = m.author_id"
)


class Messages:
    """What people wrote."""

    def __init__(self, reader: Reader, writer: Writer, *, scrubbing: bool = True) -> None:
        self._reader = reader
        self._writer = writer
        self._scrubbing = scrubbing

    def as_stored(self, content: str) -> str:
        """Return the text as it is stored: what looks like a secret is replaced by its kind."""
        return scrub(content).text if self._scrubbing else content

    async def add(self, message: Message) -> bool:
        """Store the message; tell whether it was new."""
        return await self.add_many([message]) == 1

    async def add_many(self, messages: Iterable[Message]) -> int:
        """Store the messages that are new, in one transaction, and return how many those were."""
        rows = [
            (
                m.id,
                m.guild_id,
                m.channel_id,
                m.author_id,
                self.as_stored(m.content),
                m.created_at,
                m.edited_at,
                m.reply_to,
                json.dumps(m.mentions),
                m.source,
                m.basis,
            )
            for m in messages
        ]

        async def job(connection: aiosqlite.Connection) -> int:
            before = connection.total_changes
            await connection.executemany(
                "INSERT INTO messages (id, guild_id, channel_id, author_id, content, created_at, edited_at,"
                " reply_to, mentions, source, basis) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
                " ON CONFLICT (id) DO NOTHING",
                rows,
            )
            return connection.total_changes - before

        return await self._writer.run(job)

    async def edit(self, message_id: int, content: str, edited_at: int) -> bool:
        """Replace a stored message's text; tell whether there was one."""
        return bool(
            await self._writer.execute(
                "UPDATE messages SET content = ?, edited_at = ? WHERE id = ?",
                (self.as_stored(content), edited_at, message_id),
            )
        )

    async def delete(self, message_ids: Collection[int]) -> int:
        """Delete messages by id; return how many there were."""
        ids = json.dumps(list(message_ids))
        return await self._writer.execute(
            "DELETE FROM messages WHERE id IN (SELECT value FROM json_each(?))", (ids,)
        )

    async def delete_older(self, before: int) -> int:
        """Delete what was written before ``before`` (milliseconds); return how many there were."""
        return await self._writer.execute("DELETE FROM messages WHERE created_at < ?", (before,))

    async def delete_channel(self, channel_id: int) -> int:
        """Delete every message of a channel that is gone; return how many there were."""
        return await self._writer.execute("DELETE FROM messages WHERE channel_id = ?", (channel_id,))

    async def of_guild(self, guild_id: int, *, since: int = 0) -> list[Message]:
        """Return the guild's messages from ``since`` (milliseconds) on, by channel, oldest first."""
        async with self._reader.execute(
            f"{_SELECT} WHERE m.guild_id = ? AND m.created_at >= ? ORDER BY m.channel_id, m.created_at, m.id",
            (guild_id, since),
        ) as cursor:
            return [_message(row) async for row in cursor]

    async def of_author(self, guild_id: int, user_id: int) -> list[Message]:
        """Return everything that is stored of one person in one guild, oldest first."""
        async with self._reader.execute(
            f"{_SELECT} WHERE m.guild_id = ? AND m.author_id = ? ORDER BY m.created_at, m.id",
            (guild_id, user_id),
        ) as cursor:
            return [_message(row) async for row in cursor]

    async def get(self, message_id: int) -> Message | None:
        async with self._reader.execute(f"{_SELECT} WHERE m.id = ?", (message_id,)) as cursor:
            row = await cursor.fetchone()
        return _message(row) if row else None

    async def known(self, message_ids: Collection[int]) -> set[int]:
        """Return those of the ids that are stored already."""
        async with self._reader.execute(
            "SELECT id FROM messages WHERE id IN (SELECT value FROM json_each(?))",
            (json.dumps(list(message_ids)),),
        ) as cursor:
            return {int(row["id"]) async for row in cursor}

    async def count(self, guild_id: int) -> int:
        async with self._reader.execute(
            "SELECT count(*) AS n FROM messages WHERE guild_id = ?", (guild_id,)
        ) as cursor:
            row = await cursor.fetchone()
        return int(row["n"]) if row else 0


def with_name(message: Message, name: str) -> Message:
    """Return the message under another author name."""
    return replace(message, author_name=name)


def _message(row: aiosqlite.Row) -> Message:
    return Message(
        id=row["id"],
        guild_id=row["guild_id"],
        channel_id=row["channel_id"],
        author_id=row["author_id"],
        author_name=row["author_name"] or f"member {row['author_id'] % 10_000}",
        content=row["content"],
        created_at=row["created_at"],
        reply_to=row["reply_to"],
        edited_at=row["edited_at"],
        mentions=tuple(json.loads(row["mentions"])),
        source=row["source"],
        basis=row["basis"],
        is_bot=bool(row["is_bot"]),
    )
