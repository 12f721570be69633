"""Conversations as the ledger keeps them: each message is sorted into one once, as messages come.

What is sorted stays where it is; later messages join it or start something new, so that a night has to sort
only what came since the last one. Which messages belong together, :mod:`ledger.talk.conversations` decides.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise

import aiosqlite

from ledger.clock import FIRST_MS, LAST_MS
from ledger.learned.lineage import Lineage
from ledger.records import Message, StoredConversation
from ledger.sqlite.database import Reader
from ledger.sqlite.writer import Writer
from ledger.talk.conversations import disentangle
from ledger.talk.messages import SELECT_MESSAGE, message_of

BATCH = 2000
"""Messages that are sorted in one transaction: half a second's work, and what a kill loses of it."""
BEFORE = 200
"""Messages of the channel that are read again before the first to sort; what a message answers depends on
the talk so far."""
PAUSE_MS = 86_400_000
"""Messages further apart than this are sorted by themselves: what lies between is not read again."""
_SCALE = 2**64


def position(key: bytes, guild_id: int, first_message: int) -> float:
    """Return where in [0, 1) the keyed hash puts a conversation: nobody can choose a part by posting."""
    digest = hmac.new(key, f"{guild_id}:{first_message}".encode(), hashlib.sha256).digest()
    return int.from_bytes(digest[:8], "big") / _SCALE


class Conversations:
    """Sorts messages into conversations, and lists those."""

    def __init__(self, reader: Reader, writer: Writer) -> None:
        self._reader = reader
        self._writer = writer

    async def of_guild(self, guild_id: int) -> list[StoredConversation]:
        """Return the guild's conversations as far as they are sorted, the newest first."""
        async with self._reader.execute(
            "SELECT id, place, ended_at, messages FROM conversations WHERE guild_id = ?"
            " ORDER BY ended_at DESC, id DESC",
            (guild_id,),
        ) as cursor:
            return [StoredConversation(*row) for row in await cursor.fetchall()]

    async def sort(
        self,
        guild_id: int,
        *,
        gap_ms: int,
        stop: Callable[[], bool] = lambda: False,
        on_progress: Callable[[int, int], None] = lambda done, of: None,
    ) -> int:
        """Sort what is not sorted yet, by gaps of ``gap_ms`` milliseconds; return how many messages that was.

        With another gap than last time everything is sorted anew. Goes on where it was cut off; ``stop`` ends
        it after a batch.
        """
        await self._begin(guild_id, gap_ms)
        key = await Lineage(self._reader).split_key()
        left = await self._left(guild_id)
        done, total = 0, sum(left.values())
        for channel_id in left:
            while not stop() and (waiting := await self._waiting(guild_id, channel_id)):
                done += await self._sort(guild_id, channel_id, waiting, gap_ms, key)
                on_progress(done, total)
        return done

    async def _begin(self, guild_id: int, gap_ms: int) -> None:
        """Forget how the guild's messages were sorted, if that was by another gap."""

        async def job(connection: aiosqlite.Connection) -> None:
            cursor = await connection.execute(
                "UPDATE guilds SET sorted_by_gap = :gap WHERE id = :guild AND sorted_by_gap IS NOT :gap",
                {"guild": guild_id, "gap": gap_ms},
            )
            if cursor.rowcount:
                for statement in _ANEW:
                    await connection.execute(statement, {"guild": guild_id})

        await self._writer.run(job)

    async def _left(self, guild_id: int) -> dict[int, int]:
        """Return how many messages are to be sorted, by channel."""
        async with self._reader.execute(
            f"SELECT channel_id, count(*) AS n FROM unsorted {_WAITING} GROUP BY channel_id",
            {"guild": guild_id, "first": FIRST_MS, "last": LAST_MS},
        ) as cursor:
            return {int(row["channel_id"]): int(row["n"]) async for row in cursor}

    async def _waiting(self, guild_id: int, channel_id: int) -> list[tuple[int, int]]:
        """Return (created_at, id) of the oldest messages to sort, up to the first pause."""
        async with self._reader.execute(
            f"SELECT created_at, message_id AS id FROM unsorted {_WAITING} AND channel_id = :channel"
            f" ORDER BY created_at, message_id LIMIT {BATCH}",
            {"guild": guild_id, "channel": channel_id, "first": FIRST_MS, "last": LAST_MS},
        ) as cursor:
            found = [(int(row["created_at"]), int(row["id"])) async for row in cursor]
        for index, (before, after) in enumerate(pairwise(found), start=1):
            if after[0] - before[0] > PAUSE_MS:
                return found[:index]
        return found

    async def _sort(
        self, guild_id: int, channel_id: int, waiting: Sequence[tuple[int, int]], gap_ms: int, key: bytes
    ) -> int:
        talk = await self._talk(guild_id, channel_id, waiting[0], waiting[-1])
        talk = await self._with_references(talk)
        found = await asyncio.to_thread(disentangle, talk, gap_ms=gap_ms)
        fresh = {number for _, number in waiting}
        joined = [(_number(each), [m.id for m in each if m.id in fresh]) for each in found]

        async def job(connection: aiosqlite.Connection) -> None:
            touched = []
            for number, messages in joined:
                if messages:
                    home = (
                        number
                        if await _exists(connection, number)
                        else await self._new(connection, guild_id, position(key, guild_id, messages[0]))
                    )
                    await connection.executemany(
                        # It may have been deleted meanwhile.
                        "INSERT INTO message_conversations (message_id, conversation)"
                        " SELECT id, ? FROM messages WHERE id = ?",
                        [(home, message) for message in messages],
                    )
                    touched.append((home,))
            await connection.executemany(
                "UPDATE conversations SET (messages, ended_at) ="
                " (SELECT count(*), coalesce(max(created_at), 0)"
                " FROM message_conversations c JOIN messages m ON m.id = c.message_id"
                " WHERE c.conversation = conversations.id) WHERE id = ?",
                touched,
            )
            await connection.executemany("DELETE FROM conversations WHERE id = ? AND messages = 0", touched)
            await connection.executemany(
                "DELETE FROM unsorted WHERE guild_id = ? AND channel_id = ? AND created_at = ?"
                " AND message_id = ?",
                [(guild_id, channel_id, *each) for each in waiting],
            )

        await self._writer.run(job)
        return len(waiting)

    async def _new(self, connection: aiosqlite.Connection, guild_id: int, place: float) -> int | None:
        """Add a conversation without messages and return its number."""
        cursor = await connection.execute(
            "INSERT INTO conversations (guild_id, place, ended_at, messages) VALUES (?, ?, 0, 0)",
            (guild_id, place),
        )
        return cursor.lastrowid

    async def _talk(
        self, guild_id: int, channel_id: int, first: tuple[int, int], last: tuple[int, int]
    ) -> list[Message]:
        """Return the channel's messages from some before the first to the last, oldest first."""
        place = "m.guild_id = ? AND m.channel_id = ? AND m.source <> 'example' AND m.created_at >= ?"
        async with self._reader.execute(
            f"SELECT * FROM ({SELECT_MESSAGE} WHERE {place} AND (m.created_at, m.id) < (?, ?)"
            f" ORDER BY m.created_at DESC, m.id DESC LIMIT {BEFORE})",
            (guild_id, channel_id, FIRST_MS, *first),
        ) as cursor:
            before = [message_of(row) async for row in cursor]
        async with self._reader.execute(
            f"{SELECT_MESSAGE} WHERE {place} AND (m.created_at, m.id) >= (?, ?)"
            " AND (m.created_at, m.id) <= (?, ?) ORDER BY m.created_at, m.id",
            (guild_id, channel_id, FIRST_MS, *first, *last),
        ) as cursor:
            return [*reversed(before), *[message_of(row) async for row in cursor]]

    async def _with_references(self, talk: Sequence[Message]) -> list[Message]:
        """Return the talk, where what answers something further back belongs to that conversation."""
        here = {message.id for message in talk}
        far = {m.id: m.reply_to for m in talk if m.conversation is None and m.reply_to not in (None, *here)}
        async with self._reader.execute(
            "SELECT id, channel_id, conversation FROM messages JOIN message_conversations ON message_id = id"
            " WHERE id IN (SELECT value FROM json_each(?))",
            (json.dumps(list(far.values())),),
        ) as cursor:
            homes = {
                (int(row["id"]), int(row["channel_id"])): int(row["conversation"]) async for row in cursor
            }
        return [
            replace(message, conversation=homes.get((far.get(message.id) or 0, message.channel_id)))
            if message.conversation is None
            else message
            for message in talk
        ]


# No window can compute with other dates, which were stored before dates had bounds.
_WAITING = "WHERE guild_id = :guild AND created_at BETWEEN :first AND :last"
_ANEW = (
    "INSERT INTO unsorted SELECT guild_id, channel_id, created_at, id FROM messages"
    " WHERE guild_id = :guild AND source <> 'example' ON CONFLICT DO NOTHING",
    "DELETE FROM message_conversations WHERE conversation IN"
    " (SELECT id FROM conversations WHERE guild_id = :guild)",
    "DELETE FROM conversations WHERE guild_id = :guild",
)
"""Forgets how a guild's messages were sorted."""


async def _exists(connection: aiosqlite.Connection, number: int | None) -> bool:
    """Tell whether a conversation is still there: all of it may be deleted while another is looked for."""
    async with connection.execute("SELECT 1 FROM conversations WHERE id = ?", (number,)) as cursor:
        return await cursor.fetchone() is not None


def _number(conversation: Sequence[Message]) -> int | None:
    return next((each.conversation for each in conversation if each.conversation is not None), None)


__all__ = ["Conversations", "position"]
