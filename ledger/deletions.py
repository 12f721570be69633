"""The record of deletions: what was asked, what it touched, and how far it is.

Rows hold identifiers and counts, never text. Text in tables goes in the transaction that writes the
row, so there is no state in which a deletion is noted and its text still stored, or the reverse.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import aiosqlite

from ledger.adapters import adapter_of
from ledger.clock import Clock, to_ms
from ledger.database import Writer
from ledger.records import Adapter

Kind = Literal["person", "messages", "channel", "guild"]

_SCOPE: Mapping[str, str] = {
    "person": "author_id IN (SELECT value FROM json_each(:subject))",
    "messages": "id IN (SELECT value FROM json_each(:subject))",
    "channel": "channel_id IN (SELECT value FROM json_each(:subject))",
    "guild": "1",
}
"""Which of a guild's messages a deletion reaches."""
_REPLY_SCOPE: Mapping[str, str] = {
    "person": "asked_by IN (SELECT value FROM json_each(:subject))",
    "messages": "message_id IN (SELECT value FROM json_each(:subject))"
    " OR in_reply_to IN (SELECT value FROM json_each(:subject))",
    "channel": "channel_id IN (SELECT value FROM json_each(:subject))",
    "guild": "1",
}


@dataclass(frozen=True, slots=True)
class TaintedVersion:
    """An adapter version that saw something deleted; times in milliseconds."""

    version: str
    delete_by: int
    deleted_at: int | None


@dataclass(frozen=True, slots=True)
class Deletion:
    """One deletion, and thereby the receipt for it."""

    id: int
    guild_id: int
    kind: Kind
    subject: tuple[int, ...]
    asked_by: str
    asked_at: int
    counts: Mapping[str, int]
    completed_at: int | None
    versions: tuple[TaintedVersion, ...]


class Deletions:
    """Writes, reads and closes deletions."""

    def __init__(self, reader: aiosqlite.Connection, writer: Writer, clock: Clock) -> None:
        self._reader = reader
        self._writer = writer
        self._clock = clock

    async def begin(
        self, guild_id: int, kind: Kind, subject: Collection[int], *, asked_by: str, keep_ms: int
    ) -> Deletion:
        """Note the deletion, delete its text from all tables, and mark the versions that saw it.

        One transaction. ``keep_ms`` is how long a version that serves may go on until it is deleted
        at the latest, in milliseconds.
        """
        now = to_ms(self._clock.now())
        names = {"guild": guild_id, "subject": json.dumps(sorted(subject)), "now": now, "by": asked_by}

        async def job(connection: aiosqlite.Connection) -> int:
            cursor = await connection.execute(
                "INSERT INTO deletions (guild_id, kind, subject, asked_by, asked_at)"
                f" VALUES (:guild, '{kind}', :subject, :by, :now)",
                names,
            )
            deletion_id = int(cursor.lastrowid or 0)
            # Before the rows go: a channel's or a guild's messages are known by them alone.
            await _taint(connection, kind, {**names, "id": deletion_id, "until": now + keep_ms})
            counts = await _delete_rows(connection, kind, names)
            await connection.execute(
                "UPDATE deletions SET counts = ? WHERE id = ?", (json.dumps(counts), deletion_id)
            )
            return deletion_id

        return await self._require(await self._writer.run(job))

    async def touches(self, guild_id: int, message_ids: Collection[int]) -> bool:
        """Tell whether any of the messages is stored, answered, or was learned from."""
        names = {"guild": guild_id, "subject": json.dumps(list(message_ids))}
        async with self._reader.execute(
            "SELECT EXISTS (SELECT 1 FROM messages WHERE id IN (SELECT value FROM json_each(:subject)))"
            " OR EXISTS (SELECT 1 FROM replies WHERE message_id IN (SELECT value FROM json_each(:subject))"
            "   OR in_reply_to IN (SELECT value FROM json_each(:subject)))"
            " OR EXISTS (SELECT 1 FROM run_messages JOIN runs ON runs.id = run_id WHERE guild_id = :guild"
            "   AND message_id IN (SELECT value FROM json_each(:subject)))",
            names,
        ) as cursor:
            row = await cursor.fetchone()
        return bool(row and row[0])

    async def complete(self, deletion_id: int) -> None:
        """Note that nothing of it is left to do but versions with a date of their own."""
        await self._writer.execute(
            "UPDATE deletions SET completed_at = ? WHERE id = ? AND completed_at IS NULL",
            (to_ms(self._clock.now()), deletion_id),
        )

    async def unfinished(self) -> list[Deletion]:
        """Return the deletions that a restart has to complete, oldest first."""
        return await self._select("WHERE completed_at IS NULL ORDER BY id")

    async def of_guild(self, guild_id: int) -> list[Deletion]:
        return await self._select("WHERE guild_id = ? ORDER BY id", (guild_id,))

    async def since(self, deletion_id: int) -> list[Deletion]:
        """Return the deletions after one, oldest first."""
        return await self._select("WHERE id > ? ORDER BY id", (deletion_id,))

    async def of_person(self, guild_id: int, user_id: int) -> list[Deletion]:
        """Return the receipts of one person, newest first."""
        found = await self._select("WHERE guild_id = ? AND kind = 'person' ORDER BY id DESC", (guild_id,))
        return [deletion for deletion in found if user_id in deletion.subject]

    async def runs_touched(self, deletion_id: int) -> list[str]:
        """Return the runs that saw what the deletion reaches."""
        async with self._reader.execute(
            "SELECT run_id FROM tainted_runs WHERE deletion_id = ? ORDER BY run_id", (deletion_id,)
        ) as cursor:
            return [str(row["run_id"]) async for row in cursor]

    async def is_tainted(self, run_id: str) -> bool:
        """Tell whether the run saw something that was deleted since: it must not be promoted."""
        async with self._reader.execute(
            "SELECT EXISTS (SELECT 1 FROM tainted_runs WHERE run_id = ?)", (run_id,)
        ) as cursor:
            row = await cursor.fetchone()
        return bool(row and row[0])

    async def tainted(self) -> list[tuple[Adapter, int]]:
        """Return each adapter version of such a run whose files still exist, with its last date."""
        async with self._reader.execute(
            "SELECT a.*, min(t.delete_by) AS delete_by FROM tainted_runs t JOIN adapters a USING (run_id)"
            " WHERE a.state <> 'deleted' GROUP BY a.version"
        ) as cursor:
            rows = [row async for row in cursor]
        return [(adapter_of(row), int(row["delete_by"])) for row in rows]

    async def version_deleted(self, adapter: Adapter) -> None:
        """Note that a version's files are gone, and drop the list of what it had learned from."""
        now = to_ms(self._clock.now())

        async def job(connection: aiosqlite.Connection) -> None:
            await connection.execute(
                "UPDATE adapters SET state = 'deleted' WHERE version = ?", (adapter.version,)
            )
            await connection.execute(
                "UPDATE tainted_runs SET deleted_at = ? WHERE run_id = ? AND deleted_at IS NULL",
                (now, adapter.run_id),
            )
            await connection.execute("DELETE FROM run_messages WHERE run_id = ?", (adapter.run_id,))

        await self._writer.run(job)

    async def _require(self, deletion_id: int) -> Deletion:
        return (await self._select("WHERE id = ?", (deletion_id,)))[0]

    async def _select(self, where: str, parameters: Sequence[object] = ()) -> list[Deletion]:
        async with self._reader.execute(
            f"SELECT * FROM deletions {where}",
            tuple(parameters),
        ) as cursor:
            rows = [row async for row in cursor]
        return [await self._deletion(row) for row in rows]

    async def _deletion(self, row: aiosqlite.Row) -> Deletion:
        async with self._reader.execute(
            "SELECT version, delete_by, deleted_at FROM tainted_runs JOIN adapters USING (run_id)"
            " WHERE deletion_id = ? ORDER BY version",
            (row["id"],),
        ) as cursor:
            versions = tuple([TaintedVersion(*version) async for version in cursor])
        return Deletion(
            id=row["id"],
            guild_id=row["guild_id"],
            kind=row["kind"],
            subject=tuple(json.loads(row["subject"])),
            asked_by=row["asked_by"],
            asked_at=row["asked_at"],
            counts=json.loads(row["counts"]),
            completed_at=row["completed_at"],
            versions=versions,
        )


async def _taint(connection: aiosqlite.Connection, kind: Kind, names: dict[str, object]) -> None:
    """Mark each run that saw a message, as a target or as context, that goes now."""
    seen = {
        "person": "m.author_id IN (SELECT value FROM json_each(:subject))",
        "messages": "m.message_id IN (SELECT value FROM json_each(:subject))",
        "channel": "m.message_id IN (SELECT id FROM messages WHERE guild_id = :guild"
        " AND channel_id IN (SELECT value FROM json_each(:subject)))",
        "guild": "1",
    }[kind]
    await connection.execute(
        "INSERT INTO tainted_runs (run_id, deletion_id, delete_by)"
        " SELECT DISTINCT m.run_id, :id, :until FROM run_messages m JOIN runs r ON r.id = m.run_id"
        f" WHERE r.guild_id = :guild AND {seen}",
        names,
    )


async def _delete_rows(
    connection: aiosqlite.Connection, kind: Kind, names: dict[str, object]
) -> dict[str, int]:
    """Delete from every table that holds anything of the subject; return counts by table."""

    async def delete(sql: str) -> int:
        return (await connection.execute(sql, names)).rowcount

    replies = f"guild_id = :guild AND ({_REPLY_SCOPE[kind]})"
    counts = {
        "messages": await delete(f"DELETE FROM messages WHERE guild_id = :guild AND {_SCOPE[kind]}"),
        "reactions": await delete(
            f"DELETE FROM reactions WHERE message_id IN (SELECT message_id FROM replies WHERE {replies})"
        ),
        "replies": await delete(f"DELETE FROM replies WHERE {replies}"),
    }
    if kind == "person":
        counts["reactions"] += await delete(
            "DELETE FROM reactions WHERE user_id IN (SELECT value FROM json_each(:subject)) AND message_id IN"
            " (SELECT message_id FROM replies WHERE guild_id = :guild)"
        )
        await delete(
            "DELETE FROM people WHERE guild_id = :guild"
            " AND user_id IN (SELECT value FROM json_each(:subject))"
        )
    if kind == "guild":
        await delete("DELETE FROM people WHERE guild_id = :guild")
        await delete("UPDATE runs SET reasons = '[]', error = NULL WHERE guild_id = :guild")
    return counts
