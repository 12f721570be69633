"""The bot's own replies, the adapter version that wrote each, and the reactions to them."""

from __future__ import annotations

import json
from collections.abc import Collection

import aiosqlite

from ledger.clock import Clock, to_ms
from ledger.database import Reader, Writer
from ledger.records import Reaction, Reply


class Replies:
    """What the bot said."""

    def __init__(self, reader: Reader, writer: Writer, clock: Clock) -> None:
        self._reader = reader
        self._writer = writer
        self._clock = clock

    async def add(self, reply: Reply) -> None:
        """Store a reply once it stands complete in Discord."""
        await self._writer.execute(
            "INSERT INTO replies (message_id, guild_id, channel_id, asked_by, in_reply_to, content,"
            " adapter_version, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (
                reply.message_id,
                reply.guild_id,
                reply.channel_id,
                reply.asked_by,
                reply.in_reply_to,
                reply.content,
                reply.adapter_version,
                reply.created_at,
            ),
        )

    async def get(self, message_id: int) -> Reply | None:
        async with self._reader.execute(
            "SELECT * FROM replies WHERE message_id = ?", (message_id,)
        ) as cursor:
            row = await cursor.fetchone()
        return _reply(row) if row else None

    async def of_guild(self, guild_id: int, *, limit: int = 100) -> list[Reply]:
        """Return the guild's newest replies, newest first."""
        async with self._reader.execute(
            "SELECT * FROM replies WHERE guild_id = ? ORDER BY created_at DESC, message_id DESC LIMIT ?",
            (guild_id, limit),
        ) as cursor:
            return [_reply(row) async for row in cursor]

    async def asked_by(self, guild_id: int, user_id: int) -> list[Reply]:
        """Return the replies that one person asked for, oldest first."""
        async with self._reader.execute(
            "SELECT * FROM replies WHERE guild_id = ? AND asked_by = ? ORDER BY created_at",
            (guild_id, user_id),
        ) as cursor:
            return [_reply(row) async for row in cursor]

    async def delete(self, message_ids: Collection[int]) -> int:
        """Delete replies (and the reactions to them) by message id; return how many there were."""
        return await self._writer.execute(
            "DELETE FROM replies WHERE message_id IN (SELECT value FROM json_each(?))",
            (json.dumps(list(message_ids)),),
        )

    async def delete_older(self, before: int) -> int:
        """Delete what was written before ``before`` (milliseconds); return how many there were."""
        return await self._writer.execute("DELETE FROM replies WHERE created_at < ?", (before,))

    async def react(self, message_id: int, user_id: int, emoji: str) -> None:
        """Note a reaction, if the message is one of the bot's replies."""
        await self._writer.execute(
            "INSERT INTO reactions (message_id, user_id, emoji, at)"
            " SELECT message_id, ?, ?, ? FROM replies WHERE message_id = ? ON CONFLICT DO NOTHING",
            (user_id, emoji, to_ms(self._clock.now()), message_id),
        )

    async def unreact(self, message_id: int, user_id: int, emoji: str) -> None:
        """Take a reaction back."""
        await self._writer.execute(
            "DELETE FROM reactions WHERE message_id = ? AND user_id = ? AND emoji = ?",
            (message_id, user_id, emoji),
        )

    async def reactions(self, message_id: int) -> dict[str, int]:
        """Return how many people reacted, by emoji."""
        async with self._reader.execute(
            "SELECT emoji, count(*) AS n FROM reactions WHERE message_id = ? GROUP BY emoji", (message_id,)
        ) as cursor:
            return {str(row["emoji"]): int(row["n"]) async for row in cursor}

    async def reactions_of(self, guild_id: int, user_id: int) -> list[Reaction]:
        """Return one person's reactions to the bot's replies, oldest first."""
        async with self._reader.execute(
            "SELECT message_id, emoji, r.at FROM reactions r JOIN replies USING (message_id)"
            " WHERE guild_id = ? AND user_id = ? ORDER BY r.at, message_id",
            (guild_id, user_id),
        ) as cursor:
            return [Reaction(**{key: row[key] for key in row.keys()}) async for row in cursor]  # noqa: SIM118


def _reply(row: aiosqlite.Row) -> Reply:
    return Reply(**{key: row[key] for key in row.keys()})  # noqa: SIM118 - a Row iterates over values
