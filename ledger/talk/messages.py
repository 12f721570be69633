"""Messages of people who agreed, or that an operator declared lawful to use, and nobody else's.

Adding is idempotent by message id, so that an import can be repeated and a message that arrives
live and by import is kept once.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

import aiosqlite

from ledger.clock import FIRST_MS, LAST_MS
from ledger.errors import LedgerError
from ledger.people.policy import agrees_sql, refuses_sql
from ledger.records import OPT_IN, Message
from ledger.scrubbing import scrub
from ledger.sqlite.database import Reader
from ledger.sqlite.writer import Writer
from ledger.talk.bot_answers import WITH_TEXT

SELECT_MESSAGE = (
    "SELECT m.*, coalesce(p.name, '') AS author_name, coalesce(p.is_bot, 0) AS is_bot, c.conversation"
    " FROM messages m LEFT JOIN message_conversations c ON c.message_id = m.id"
    " LEFT JOIN people p ON p.guild_id = m.guild_id AND p.user_id = m.author_id"
)
INSERT = (
    "INSERT INTO messages (id, guild_id, channel_id, author_id, content, created_at, edited_at, reply_to,"
    " mentions, source, basis, imported_at) SELECT :id, :guild_id, :channel_id, :author_id, :content,"
    " :created_at, :edited_at, :reply_to, :mentions, :source, :basis, :imported_at WHERE {condition}"
    " ON CONFLICT (id) DO NOTHING"
)
"""Stores a row of :meth:`Messages.row` if it is new, and ``condition`` holds."""
NAME = (
    "INSERT INTO people (guild_id, user_id, name) SELECT :guild_id, :author_id, :author_name"
    " WHERE {condition} ON CONFLICT DO UPDATE SET name = excluded.name WHERE name <> excluded.name"
)
"""Stores the name of such a row's author, if ``condition`` holds."""


@dataclass(frozen=True, slots=True)
class DeletedOnce:
    """What deletions named: messages and channels, and per person until when their words are gone."""

    messages: frozenset[tuple[object, object]]
    channels: frozenset[tuple[object, object]]
    people: Mapping[tuple[object, object], int]

    def holds(self, row: Mapping[str, object]) -> bool:
        """Tell whether a row of ``messages`` was deleted."""
        guild, written = row["guild_id"], int(str(row["created_at"]))
        return (
            (guild, row["id"]) in self.messages
            or (guild, row["channel_id"]) in self.channels
            # Up to then alone: somebody who was forgotten may have agreed again, and written more.
            or written < self.people.get((guild, row["author_id"]), 0)
        )


async def deleted_once(connection: aiosqlite.Connection, guild_ids: Collection[int]) -> DeletedOnce:
    """Return what was deleted in these guilds."""
    found: dict[str, dict[tuple[object, object], int]] = {"messages": {}, "channel": {}, "person": {}}
    async with connection.execute(
        "SELECT guild_id, kind, value, max(asked_at) AS at FROM deletions, json_each(subject)"
        " WHERE kind <> 'guild' AND guild_id IN (SELECT value FROM json_each(?))"
        " GROUP BY guild_id, kind, value",
        (json.dumps(list(guild_ids)),),
    ) as cursor:
        async for row in cursor:
            found[row["kind"]][row["guild_id"], row["value"]] = int(row["at"])
    return DeletedOnce(frozenset(found["messages"]), frozenset(found["channel"]), found["person"])


class Messages:
    """What people wrote."""

    def __init__(self, reader: Reader, writer: Writer, *, scrubbing: bool = True) -> None:
        self._reader = reader
        self._writer = writer
        self._scrubbing = scrubbing

    def as_stored(self, content: str) -> str:
        """Return the text as it is stored: what looks like a secret is replaced by its kind."""
        return scrub(content).text if self._scrubbing else content

    def as_stored_today(self, message: Message) -> Message:
        """Return a stored message as today's rules would store it: they may find more than its day's."""
        return replace(message, content=self.as_stored(message.content))

    async def hear(self, message: Message) -> bool:
        """Store what was said live, and its author's name, if the author agrees; tell whether it was new.

        Whether they do is looked up in the transaction that writes: nobody who is forgotten meanwhile
        comes back. A power cut may undo what was heard in the last seconds.
        """
        row, condition = self.row(replace(message, basis=OPT_IN)), agrees_sql(":author_id")

        async def job(connection: aiosqlite.Connection) -> bool:
            await connection.execute(NAME.format(condition=condition), row)
            return (await connection.execute(INSERT.format(condition=condition), row)).rowcount > 0

        return await self._writer.run(job, durable=False)

    async def add(self, message: Message) -> bool:
        """Store the message; tell whether it was new."""
        return await self.add_many([message]) == 1

    async def add_many(self, messages: Iterable[Message]) -> int:
        """Store the messages that are new, in one transaction, and return how many those were.

        Callers answer for the basis. Whatever it is, two things stay out: the words of somebody who said
        no, and what was deleted once, which an older export may still hold.

        Raises:
            LedgerError: a date or a number is one that no message can have; nothing is stored.
        """
        rows = [self.row(message) for message in messages]
        insert = INSERT.format(condition=f"NOT {refuses_sql(':author_id')}")

        async def job(connection: aiosqlite.Connection) -> int:
            gone = await deleted_once(connection, {int(str(row["guild_id"])) for row in rows})
            allowed = [row for row in rows if not gone.holds(row)]
            return (await connection.executemany(insert, allowed)).rowcount

        return await self._writer.run(job)

    def row(self, message: Message, *, author_name: str | None = None) -> dict[str, object]:
        """Return a message as it is stored, private values taken out; ``author_name`` is, where it is given.

        Raises:
            LedgerError: a date or a number is one that no message can have.
        """
        _refuse_impossible(message)
        return {
            "id": message.id,
            "guild_id": message.guild_id,
            "channel_id": message.channel_id,
            "author_id": message.author_id,
            "author_name": self.as_stored(message.author_name) if author_name is None else author_name,
            "content": self.as_stored(message.content),
            "created_at": message.created_at,
            "edited_at": message.edited_at,
            "reply_to": message.reply_to,
            "mentions": json.dumps(message.mentions),
            "source": message.source,
            "basis": message.basis,
            "imported_at": message.imported_at,
        }

    async def delete_older(self, before: int) -> Counter[int]:
        """Delete what was heard or imported before ``before`` (milliseconds); return how many, by guild.

        What bears a date that no message can have goes as well: no age would ever end it.
        """

        async def job(connection: aiosqlite.Connection) -> Counter[int]:
            async with connection.execute(
                # By its own date an archive of two years was deleted unlearned by the next daily round.
                "DELETE FROM messages WHERE coalesce(imported_at, created_at) < ?"
                " OR created_at NOT BETWEEN ? AND ? RETURNING guild_id",
                (before, FIRST_MS, LAST_MS),
            ) as cursor:
                return Counter([int(row["guild_id"]) async for row in cursor])

        return await self._writer.run(job)

    async def of_guild(self, guild_id: int, *, since: int = 0) -> list[Message]:
        """Return the guild's messages from ``since`` (milliseconds) on, by channel, oldest first.

        Leaves out those with a date that no message can have: they were stored before dates had bounds,
        and no window or split can compute with them.
        """
        async with self._reader.execute(
            # One line of the year 9999 used to end every night of its server.
            f"{SELECT_MESSAGE} WHERE m.guild_id = ? AND m.created_at BETWEEN ? AND ?"
            " ORDER BY m.channel_id, m.created_at, m.id",
            (guild_id, max(since, FIRST_MS), LAST_MS),
        ) as cursor:
            return [message_of(row) async for row in cursor]

    async def of_conversations(self, guild_id: int, numbers: Collection[int]) -> list[Message]:
        """Return the messages of stored conversations, by channel, oldest first."""
        return await self._listed(
            "SELECT message_id FROM message_conversations"
            " WHERE conversation IN (SELECT value FROM json_each(:wanted))",
            guild_id,
            numbers,
        )

    async def among(self, guild_id: int, message_ids: Collection[int]) -> list[Message]:
        """Return those of the messages that are stored, by channel, oldest first."""
        return await self._listed("SELECT value FROM json_each(:wanted)", guild_id, message_ids)

    async def taught(self, guild_id: int) -> list[Message]:
        """Return what admins taught, questions and answers, by channel, oldest first."""
        return await self._listed(
            "SELECT id FROM messages INDEXED BY messages_taught"
            " WHERE guild_id = :guild AND source = 'example'",
            guild_id,
        )

    async def _listed(self, ids_sql: str, guild_id: int, wanted: Collection[int] = ()) -> list[Message]:
        async with self._reader.execute(
            # The plus: by the guild's index, which is in the order that is asked for, SQLite would go through
            # everything that was ever said there.
            f"{SELECT_MESSAGE} WHERE m.id IN ({ids_sql}) AND +m.guild_id = :guild"
            " AND m.created_at BETWEEN :first AND :last ORDER BY m.channel_id, m.created_at, m.id",
            {"guild": guild_id, "wanted": json.dumps(list(wanted)), "first": FIRST_MS, "last": LAST_MS},
        ) as cursor:
            return [message_of(row) for row in await cursor.fetchall()]

    async def first_written(self, guild_id: int, people: Mapping[int, tuple[int, int]]) -> dict[int, int]:
        """Return when each of the people first wrote, in milliseconds, but for one span of each one's own.

        ``people`` maps authors to that span, (from, to) in milliseconds; (0, 0) leaves out nothing.
        """
        found = {}
        for person, (since, until) in people.items():
            async with self._reader.execute(
                "SELECT min(created_at) AS at FROM messages WHERE guild_id = ? AND author_id = ?"
                " AND created_at >= ? AND created_at NOT BETWEEN ? AND ?",
                (guild_id, person, FIRST_MS, since, until),
            ) as cursor:
                row = await cursor.fetchone()
            if row and row["at"] is not None:
                found[person] = int(row["at"])
        return found

    async def begun(self, guild_id: int) -> int | None:
        """Return when the first message of the guild was written, in milliseconds."""
        async with self._reader.execute(
            # By channel, so that each is one look into an index.
            "SELECT min(at) AS at FROM (SELECT (SELECT min(created_at) FROM messages WHERE guild_id = :guild"
            " AND channel_id = channels.id AND created_at >= :first) AS at FROM channels"
            " WHERE guild_id = :guild)",
            {"guild": guild_id, "first": FIRST_MS},
        ) as cursor:
            row = await cursor.fetchone()
        return int(row["at"]) if row and row["at"] is not None else None

    async def heard(self, guild_id: int, channel_id: int) -> list[int]:
        """Return what came from Discord itself in one channel, answers included: message ids in order."""
        async with self._reader.execute(
            "SELECT id FROM messages WHERE guild_id = :guild AND channel_id = :channel AND source = 'discord'"
            " UNION ALL SELECT message_id FROM replies WHERE guild_id = :guild AND channel_id = :channel"
            " ORDER BY 1",
            {"guild": guild_id, "channel": channel_id},
        ) as cursor:
            return [int(row["id"]) async for row in cursor]

    async def of_author(self, guild_id: int, user_id: int) -> list[Message]:
        """Return everything that is stored of one person in one guild, oldest first."""
        async with self._reader.execute(
            f"{SELECT_MESSAGE} WHERE m.guild_id = ? AND m.author_id = ? ORDER BY m.created_at, m.id",
            (guild_id, user_id),
        ) as cursor:
            return [message_of(row) async for row in cursor]

    async def get(self, message_id: int) -> Message | None:
        async with self._reader.execute(f"{SELECT_MESSAGE} WHERE m.id = ?", (message_id,)) as cursor:
            row = await cursor.fetchone()
        return message_of(row) if row else None

    async def lacks(self, message_ids: Collection[int]) -> bool:
        """Tell whether any of the messages, answers of the bot's included, is not stored (any more)."""
        async with self._reader.execute(
            "SELECT EXISTS (SELECT 1 FROM json_each(?) WHERE value NOT IN (SELECT id FROM messages)"
            f" AND value NOT IN ({WITH_TEXT}))",
            (json.dumps(list(message_ids)),),
        ) as cursor:
            row = await cursor.fetchone()
        return bool(row and row[0])

    async def note_edit(self, message_id: int, edited_at: int) -> None:
        """Note that a message was edited without a change of what is stored; in milliseconds."""
        await self._writer.execute(
            "UPDATE messages SET edited_at = ? WHERE id = ? AND coalesce(edited_at, 0) < ?",
            (edited_at, message_id, edited_at),
            durable=False,
        )

    async def count(self, guild_id: int) -> int:
        async with self._reader.execute(
            "SELECT count(*) AS n FROM messages WHERE guild_id = ?", (guild_id,)
        ) as cursor:
            row = await cursor.fetchone()
        return int(row["n"]) if row else 0


def _refuse_impossible(message: Message) -> None:
    numbers = (message.id, message.guild_id, message.channel_id, message.author_id, message.reply_to or 0)
    if not all(-(2**63) <= number < 2**63 for number in (*numbers, *message.mentions)):
        raise LedgerError("A message was not stored: one of its numbers has more than 63 bits.")
    if not all(FIRST_MS <= at <= LAST_MS for at in (message.created_at, message.edited_at or 0)):
        raise LedgerError("A message was not stored: it is dated before 1970 or after 2154.")


def message_of(row: aiosqlite.Row) -> Message:
    """Return the message that a row of :data:`SELECT_MESSAGE` is."""
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
        imported_at=row["imported_at"],
        is_bot=bool(row["is_bot"]),
        conversation=row["conversation"],
    )
