"""The record of deletions: what was asked, what it touched, and how far it is.

Rows hold identifiers and counts, never text. Text in tables goes in the transaction that writes the
row, so there is no state in which a deletion is noted and its text still stored, or the reverse.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import aiosqlite

from ledger.clock import Clock, to_ms
from ledger.forgetting.erasure import Kind, delete_rows, taint_runs
from ledger.learned.adapter_versions import adapter_of
from ledger.people.consent_history import WORDING_VERSION
from ledger.records import Adapter
from ledger.sqlite.database import Reader
from ledger.sqlite.writer import Writer
from ledger.talk.bot_answers import WITH_TEXT


@dataclass(frozen=True, slots=True)
class TaintedVersion:
    """An adapter version that saw something deleted; times in milliseconds."""

    version: str
    delete_by: int
    deleted_at: int | None


@dataclass(frozen=True, slots=True)
class Tainted:
    """A version that has to go, and the last day it may serve, in milliseconds.

    ``wide`` says that a person, a channel or a guild was forgotten, and not single messages alone.
    """

    adapter: Adapter
    delete_by: int
    wide: bool

    def may_wait(self, now: int) -> bool:
        """Tell whether the version may stay for the time being.

        The champion waits for its successor. Where single messages were edited or deleted, so does the
        version that a rollback returns to: in a busy server that happens daily, and a mended typo must
        not take the way back away.
        """
        waits = self.adapter.state == "champion" or (self.adapter.state == "previous" and not self.wide)
        return waits and self.delete_by > now


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
    """Those that learned from it, or grew from one that did."""
    measured: tuple[str, ...] = ()
    """Versions that a night only measured on it: its dataset goes, and they hold nothing of it."""


class Deletions:
    """Writes, reads and closes deletions."""

    def __init__(self, reader: Reader, writer: Writer, clock: Clock) -> None:
        self._reader = reader
        self._writer = writer
        self._clock = clock

    async def begin(
        self,
        guild_id: int,
        kind: Kind,
        subject: Collection[int],
        *,
        asked_by: str,
        keep_ms: int,
        asked_at: int | None = None,
    ) -> Deletion:
        """Note the deletion, delete its text from all tables, and mark the versions that saw it.

        One transaction, in which a person who is forgotten is noted as out, too. ``keep_ms`` is how
        long a version that serves may go on until it is deleted at the latest, in milliseconds, from
        ``asked_at`` on (now, unless the deletion is repeated).
        """
        now = to_ms(self._clock.now()) if asked_at is None else asked_at
        names = {"guild": guild_id, "subject": json.dumps(sorted(subject)), "now": now, "by": asked_by}

        async def job(connection: aiosqlite.Connection) -> int:
            # A restored backup may not know the guild yet.
            await connection.execute(
                "INSERT INTO guilds (id, name, first_seen_at) VALUES (:guild, '', :now)"
                " ON CONFLICT DO NOTHING",
                names,
            )
            cursor = await connection.execute(
                "INSERT INTO deletions (guild_id, kind, subject, asked_by, asked_at)"
                f" VALUES (:guild, '{kind}', :subject, :by, :now)",
                names,
            )
            deletion_id = int(cursor.lastrowid or 0)
            # Counted from when it was asked: what a restore repeats keeps its date.
            marks = {**names, "id": deletion_id, "until": now + keep_ms}
            await taint_runs(connection, kind, marks)
            if kind == "person":
                await connection.executemany(
                    "INSERT INTO consent_events (guild_id, user_id, granted, wording, at)"
                    " VALUES (?, ?, 0, ?, ?)",
                    [(guild_id, user_id, WORDING_VERSION, now) for user_id in sorted(subject)],
                )
            # In the same transaction as the opt-out: whatever is heard later looks consent up and stays out.
            counts = await delete_rows(connection, kind, marks)
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

    async def untold(self, *, since: int, until: int) -> list[Deletion]:
        """Return what members asked for within [since, until] (milliseconds) and have no receipt for."""
        return await self._select(
            "WHERE told_at IS NULL AND kind = 'person' AND asked_by = 'member'"
            " AND asked_at BETWEEN ? AND ? ORDER BY id",
            (since, until),
        )

    async def told(self, deletion_id: int) -> None:
        """Note that who asked has the receipt."""
        await self._writer.execute(
            "UPDATE deletions SET told_at = ? WHERE id = ?", (to_ms(self._clock.now()), deletion_id)
        )

    async def newest(self, guild_id: int) -> int:
        """Return the number of the guild's last deletion; 0 when there was none."""
        async with self._reader.execute(
            "SELECT coalesce(max(id), 0) FROM deletions WHERE guild_id = ?", (guild_id,)
        ) as cursor:
            row = await cursor.fetchone()
        return int(row[0]) if row else 0

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
        """Tell whether the run, or a version that it started from, saw something that was deleted since.

        The night that works on it has to begin again.
        """
        async with self._reader.execute(
            "SELECT EXISTS (SELECT 1 FROM tainted_runs WHERE run_id = ?)", (run_id,)
        ) as cursor:
            row = await cursor.fetchone()
        return bool(row and row[0])

    async def may_serve(self, version: str) -> bool:
        """Tell whether a version that the engine holds may go on answering: its files and time are not up."""
        async with self._reader.execute(
            "SELECT EXISTS (SELECT 1 FROM adapters WHERE version = :version AND state <> 'deleted' AND"
            " run_id NOT IN (SELECT run_id FROM tainted_runs WHERE learned AND delete_by <= :now))",
            {"version": version, "now": to_ms(self._clock.now())},
        ) as cursor:
            row = await cursor.fetchone()
        return bool(row and row[0])

    async def tainted(self) -> list[Tainted]:
        """Return each adapter version of such a run whose files still exist."""
        async with self._reader.execute(
            "SELECT a.*, min(t.delete_by) AS delete_by, max(d.kind <> 'messages') AS wide"
            # The earliest promise holds, and one wide deletion among several counts.
            " FROM tainted_runs t JOIN adapters a USING (run_id) JOIN deletions d ON d.id = t.deletion_id"
            " WHERE a.state <> 'deleted' AND t.learned GROUP BY a.version"
        ) as cursor:
            rows = [row async for row in cursor]
        return [Tainted(adapter_of(row), int(row["delete_by"]), bool(row["wide"])) for row in rows]

    async def leftovers(self) -> list[tuple[str, tuple[str, ...]]]:
        """Return each run that saw something deleted and has ended, with its deleted versions' folders.

        A night that was under way may have written again what the deletion had removed.
        """
        async with self._reader.execute(
            "SELECT r.id, json_group_array(a.path) FILTER (WHERE a.state = 'deleted') AS paths"
            # A night under way heeds the deletion by itself; what it still writes goes when it has ended.
            " FROM runs r LEFT JOIN adapters a ON a.run_id = r.id WHERE r.finished_at IS NOT NULL"
            " AND r.id IN (SELECT run_id FROM tainted_runs) GROUP BY r.id"
        ) as cursor:
            return [(str(row["id"]), tuple(json.loads(row["paths"] or "[]"))) async for row in cursor]

    async def knows_words_of(self, run_id: str) -> bool:
        """Tell whether it is on record which messages the run saw."""
        async with self._reader.execute(
            "SELECT EXISTS (SELECT 1 FROM run_messages WHERE run_id = ?)", (run_id,)
        ) as cursor:
            row = await cursor.fetchone()
        return bool(row and row[0])

    async def datasets_beyond_the_ledger(self) -> list[str]:
        """Return the ended runs that saw messages which are not stored any more."""
        async with self._reader.execute(
            "SELECT DISTINCT run_id FROM run_messages JOIN runs ON runs.id = run_id"
            " WHERE finished_at IS NOT NULL AND message_id NOT IN (SELECT id FROM messages)"
            f" AND message_id NOT IN ({WITH_TEXT})"
        ) as cursor:
            return [str(row["run_id"]) async for row in cursor]

    async def version_deleted(self, adapter: Adapter) -> None:
        """Note that a version's files are gone, and drop lists of what was learned that nobody needs.

        A version's list stays while another lives whose fit started from it: what the parent learned, the
        child knows. With a list goes the hash of what that night scored: no deletion would find it any more.
        """
        now = to_ms(self._clock.now())

        async def job(connection: aiosqlite.Connection) -> None:
            await connection.execute(
                "UPDATE adapters SET state = 'deleted' WHERE version = ?", (adapter.version,)
            )
            await connection.execute(
                "UPDATE tainted_runs SET deleted_at = ? WHERE run_id = ? AND deleted_at IS NULL",
                (now, adapter.run_id),
            )
            for statement in (
                "DELETE FROM run_messages",
                "UPDATE conversation_scores SET fingerprint = NULL",
            ):
                await connection.execute(
                    "WITH RECURSIVE needed (version) AS ("
                    " SELECT version FROM adapters WHERE guild_id = :guild AND state <> 'deleted'"
                    " UNION SELECT a.parent FROM needed JOIN adapters a USING (version)"
                    f" WHERE a.parent IS NOT NULL) {statement} WHERE run_id IN"
                    " (SELECT run_id FROM adapters WHERE guild_id = :guild AND state = 'deleted'"
                    " AND version NOT IN (SELECT version FROM needed))",
                    {"guild": adapter.guild_id},
                )

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
            "SELECT version, delete_by, deleted_at, learned FROM tainted_runs JOIN adapters USING (run_id)"
            " WHERE deletion_id = ? ORDER BY version",
            (row["id"],),
        ) as cursor:
            reached = [(TaintedVersion(*version), bool(learned)) async for *version, learned in cursor]
        return Deletion(
            id=row["id"],
            guild_id=row["guild_id"],
            kind=row["kind"],
            subject=tuple(json.loads(row["subject"])),
            asked_by=row["asked_by"],
            asked_at=row["asked_at"],
            counts=json.loads(row["counts"]),
            completed_at=row["completed_at"],
            versions=tuple(version for version, learned in reached if learned),
            measured=tuple(version.version for version, learned in reached if not learned),
        )
