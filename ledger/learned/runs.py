"""Nights: one row a run, every step written as it happens, so that a restart resumes or closes it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

import aiosqlite

from ledger.clock import Clock, to_ms
from ledger.errors import LedgerError
from ledger.learned.lineage import learned_sql
from ledger.people.policy import refuses_sql
from ledger.records import FINAL_STAGES, Role, Run, Stage
from ledger.sqlite.database import Reader
from ledger.sqlite.writer import Writer
from ledger.talk.bot_answers import WITH_TEXT

RUN = re.compile(r"g(?P<guild>\d+)-(?P<day>\d{8})T\d{6}(?:-\d+)?")
"""Names of runs, and so of their folders; what was made by hand has others."""
_JSON_FIELDS = {"reasons", "counts", "metrics"}
TAKEN_UP = "taken up"
"""The step that marks a run as resumed after it was cut off."""
_FIELDS = {"candidate", "champion", "verdict", "error"} | _JSON_FIELDS


class Runs:
    """What happened in which night."""

    def __init__(self, reader: Reader, writer: Writer, clock: Clock) -> None:
        self._reader = reader
        self._writer = writer
        self._clock = clock

    async def create(self, guild_id: int, trigger: str) -> Run:
        """Open a run in stage ``planned``; ``trigger`` says who or what started it."""
        now = self._clock.now()

        async def job(connection: aiosqlite.Connection) -> str:
            stem = f"g{guild_id}-{now:%Y%m%dT%H%M%S}"
            async with connection.execute(
                "SELECT count(*) FROM runs WHERE guild_id = ? AND id >= ? AND id < ?",
                # "~" sorts behind "-2", so the range holds the runs of the same second and no others.
                (guild_id, stem, stem + "~"),
            ) as cursor:
                row = await cursor.fetchone()
            # A night that begins again may do so within the same second.
            run_id = stem if row is None or row[0] == 0 else f"{stem}-{row[0] + 1}"
            await connection.execute(
                "INSERT INTO runs (id, guild_id, stage, trigger, created_at) VALUES (?, ?, 'planned', ?, ?)",
                (run_id, guild_id, trigger, to_ms(now)),
            )
            await connection.execute(
                "INSERT INTO run_steps (run_id, stage, at) VALUES (?, 'planned', ?)", (run_id, to_ms(now))
            )
            return run_id

        return await self.require(await self._writer.run(job))

    async def advance(self, run_id: str, stage: Stage, **fields: Any) -> Run:
        """Write the step ``stage`` and any of candidate, champion, verdict, reasons, counts, metrics, error.

        Raises:
            LedgerError: there is no such run, or it is finished already.
        """
        unknown = fields.keys() - _FIELDS
        if unknown:
            raise ValueError(f"a run has no field {sorted(unknown)[0]!r}")
        now = to_ms(self._clock.now())
        values = {
            name: json.dumps(value) if name in _JSON_FIELDS else value for name, value in fields.items()
        }
        assignments = "".join(f", {name} = ?" for name in values)
        finished = now if stage in FINAL_STAGES else None

        async def job(connection: aiosqlite.Connection) -> int:
            cursor = await connection.execute(
                f"UPDATE runs SET stage = ?, finished_at = ?{assignments}"
                " WHERE id = ? AND finished_at IS NULL",
                (stage, finished, *values.values(), run_id),
            )
            if cursor.rowcount:
                await connection.execute(
                    "INSERT INTO run_steps (run_id, stage, at) VALUES (?, ?, ?)", (run_id, stage, now)
                )
            return cursor.rowcount

        if not await self._writer.run(job):
            raise LedgerError(f"The run {run_id} is unknown or finished; it cannot become {stage}.")
        return await self.require(run_id)

    async def take_up(self, run_id: str) -> None:
        """Note that a run is resumed after it was cut off."""
        await self._writer.execute(
            "INSERT INTO run_steps (run_id, stage, at) VALUES (?, ?, ?)",
            (run_id, TAKEN_UP, to_ms(self._clock.now())),
        )

    async def attempts(self, guild_id: int, since: int) -> int:
        """Return how often nights since a time were begun or resumed without coming to a good end.

        What kills every attempt must not be tried for ever.
        """
        async with self._reader.execute(
            "SELECT count(*) FROM run_steps s JOIN runs r ON r.id = s.run_id WHERE r.guild_id = ?"
            " AND r.created_at >= ? AND s.stage IN ('planned', ?)"
            " AND (r.finished_at IS NULL OR r.stage = 'failed')",
            (guild_id, since, TAKEN_UP),
        ) as cursor:
            row = await cursor.fetchone()
        return int(row[0]) if row else 0

    async def learned_from(
        self, run_id: str, messages: Iterable[tuple[int, int]], *, roles: Mapping[int, Role] | None = None
    ) -> int:
        """Keep the (message id, author id) pairs that the run sees, where, and in which role; never text.

        ``roles`` are by message id; a message that it does not name is a target.

        An answer of the bot's that people liked counts as its asker's, with the numbers of all its messages.
        Return how many of the messages are not stored any more: 0, unless somebody had them deleted
        between reading and this. A deletion that comes later finds the run by these pairs.
        """
        known = roles or {}
        rows = [
            (run_id, number, author_id, number, number, known.get(number, "target"))
            for number, author_id in messages
        ]

        async def job(connection: aiosqlite.Connection) -> int:
            # A night whose words were deleted while it prepared writes its dataset again, without them.
            await connection.execute("DELETE FROM run_messages WHERE run_id = ?", (run_id,))
            await connection.executemany(
                # With its channel: retention may take the message before somebody deletes the channel.
                "INSERT INTO run_messages (run_id, message_id, author_id, channel_id, role)"
                " VALUES (?, ?, ?, coalesce((SELECT channel_id FROM messages WHERE id = ?),"
                " (SELECT channel_id FROM replies WHERE message_id = ?)), ?) ON CONFLICT DO NOTHING",
                rows,
            )
            async with connection.execute(
                # In the transaction that lists them: whatever is deleted later finds the list.
                "SELECT count(*) FROM run_messages WHERE run_id = ?"
                f" AND message_id NOT IN (SELECT id FROM messages) AND message_id NOT IN ({WITH_TEXT})",
                (run_id,),
            ) as cursor:
                row = await cursor.fetchone()
            return int(row[0]) if row else 0

        return await self._writer.run(job)

    async def messages_of(self, run_id: str) -> set[int]:
        """Return the ids of the messages that a run learns from."""
        async with self._reader.execute(
            "SELECT message_id FROM run_messages WHERE run_id = ?", (run_id,)
        ) as cursor:
            return {int(row["message_id"]) async for row in cursor}

    async def authors_of(self, run_id: str) -> dict[int, int]:
        """Return who wrote each message that a run learns from."""
        async with self._reader.execute(
            "SELECT message_id, author_id FROM run_messages WHERE run_id = ?", (run_id,)
        ) as cursor:
            return {int(row["message_id"]): int(row["author_id"]) async for row in cursor}

    async def refusing(self, run_id: str) -> frozenset[int]:
        """Return whose words a run learns from although they opted out, there or everywhere."""
        async with self._reader.execute(
            "SELECT DISTINCT m.author_id FROM run_messages m JOIN runs r ON r.id = m.run_id"
            f" WHERE r.id = ? AND {refuses_sql('m.author_id', guild='r.guild_id', channel='m.channel_id')}",
            (run_id,),
        ) as cursor:
            return frozenset([int(row["author_id"]) async for row in cursor])

    async def last_verdict(self, guild_id: int) -> int:
        """Return when the guild's last night with a verdict began, in milliseconds; 0: none had one."""
        async with self._reader.execute(
            "SELECT coalesce(max(created_at), 0) FROM runs WHERE guild_id = ?"
            " AND stage IN ('promoted', 'kept')",
            (guild_id,),
        ) as cursor:
            row = await cursor.fetchone()
        return int(row[0]) if row else 0

    async def runs_with_author(self, guild_id: int, user_id: int, *, learned: bool = False) -> list[str]:
        """Return the runs that saw this person's words, or started from a version that had learned them.

        ``learned`` leaves out those that only scored the words, and whose versions hold nothing of them.
        """
        async with self._reader.execute(
            "WITH RECURSIVE saw (run_id, learned) AS ("
            f" SELECT run_id, max({learned_sql('role')}) FROM run_messages JOIN runs ON runs.id = run_id"
            " WHERE guild_id = :guild AND author_id = :user GROUP BY run_id"
            " UNION SELECT child.run_id, 1 FROM saw JOIN adapters made ON made.run_id = saw.run_id"
            " JOIN adapters child ON child.parent = made.version WHERE saw.learned)"
            " SELECT DISTINCT run_id FROM saw WHERE learned >= :least ORDER BY run_id",
            {"guild": guild_id, "user": user_id, "least": int(learned)},
        ) as cursor:
            return [str(row["run_id"]) async for row in cursor]

    async def get(self, run_id: str) -> Run | None:
        async with self._reader.execute("SELECT * FROM runs WHERE id = ?", (run_id,)) as cursor:
            row = await cursor.fetchone()
        return _run(row) if row else None

    async def require(self, run_id: str) -> Run:
        """Return the run.

        Raises:
            LedgerError: there is no such run.
        """
        run = await self.get(run_id)
        if run is None:
            raise LedgerError(f"There is no run {run_id!r}; list them with: python -m trainer runs.")
        return run

    async def ids(self) -> set[str]:
        """Return the ids of all runs of all guilds."""
        async with self._reader.execute("SELECT id FROM runs") as cursor:
            return {str(row["id"]) async for row in cursor}

    async def ended_before(self, at: int) -> list[str]:
        """Return the ids of the runs that ended before ``at`` (milliseconds)."""
        async with self._reader.execute("SELECT id FROM runs WHERE finished_at < ?", (at,)) as cursor:
            return [str(row["id"]) async for row in cursor]

    async def of_guild(self, guild_id: int, *, limit: int = 20) -> list[Run]:
        """Return the guild's runs, newest first."""
        async with self._reader.execute(
            "SELECT * FROM runs WHERE guild_id = ? ORDER BY created_at DESC, id DESC LIMIT ?",
            (guild_id, limit),
        ) as cursor:
            return [_run(row) async for row in cursor]

    async def unreported(self, *, since: int, until: int) -> list[Run]:
        """Return runs that ended within [since, until] (milliseconds) and no admin has read about.

        A night that began again left a cancelled run behind; the run that followed it reports on both.
        """
        async with self._reader.execute(
            "SELECT * FROM runs WHERE reported_at IS NULL AND finished_at BETWEEN ? AND ?"
            " AND NOT (stage = 'cancelled' AND EXISTS (SELECT 1 FROM runs later WHERE"
            " later.guild_id = runs.guild_id AND later.created_at >= runs.created_at AND later.id > runs.id))"
            " ORDER BY finished_at",
            (since, until),
        ) as cursor:
            return [_run(row) async for row in cursor]

    async def reported(self, run_id: str) -> None:
        """Note that the run's report is posted."""
        await self._writer.execute(
            "UPDATE runs SET reported_at = ? WHERE id = ?", (to_ms(self._clock.now()), run_id)
        )

    async def begun_between(self, guild_id: int, start: int, end: int) -> bool:
        """Tell whether a run of the guild was begun from ``start`` to ``end``, both included."""
        async with self._reader.execute(
            "SELECT EXISTS (SELECT 1 FROM runs WHERE guild_id = ? AND created_at BETWEEN ? AND ?)",
            (guild_id, start, end),
        ) as cursor:
            row = await cursor.fetchone()
        return bool(row and row[0])

    async def unfinished(self, guild_id: int) -> list[Run]:
        """Return runs that were cut off, oldest first."""
        async with self._reader.execute(
            "SELECT * FROM runs WHERE guild_id = ? AND finished_at IS NULL ORDER BY created_at, id",
            (guild_id,),
        ) as cursor:
            return [_run(row) async for row in cursor]

    async def steps(self, run_id: str) -> list[tuple[str, int]]:
        """Return each step's stage and time, in order."""
        # By rowid: steps may share a millisecond.
        async with self._reader.execute(
            "SELECT stage, at FROM run_steps WHERE run_id = ? ORDER BY rowid", (run_id,)
        ) as cursor:
            return [(str(row["stage"]), int(row["at"])) async for row in cursor]


async def close_promoted(connection: aiosqlite.Connection, run_id: str, version: str, now: int) -> None:
    """Note, inside the promotion's transaction, that a run ended with its version serving.

    Raises:
        LedgerError: there is no such run, or it is finished already.
    """
    cursor = await connection.execute(
        "UPDATE runs SET stage = 'promoted', finished_at = ?, champion = ?"
        " WHERE id = ? AND finished_at IS NULL",
        (now, version, run_id),
    )
    if not cursor.rowcount:
        raise LedgerError(f"The run {run_id} is unknown or finished; it cannot become promoted.")
    await connection.execute(
        "INSERT INTO run_steps (run_id, stage, at) VALUES (?, 'promoted', ?)", (run_id, now)
    )


def _run(row: aiosqlite.Row) -> Run:
    values: dict[str, Any] = {key: row[key] for key in row.keys()}  # noqa: SIM118 - a Row iterates over values
    counts: Mapping[str, Any] = json.loads(values.pop("counts"))
    metrics: Mapping[str, Any] = json.loads(values.pop("metrics"))
    reasons = tuple(json.loads(values.pop("reasons")))
    return Run(**values, reasons=reasons, counts=counts, metrics=metrics)
