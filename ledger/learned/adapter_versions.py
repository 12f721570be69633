"""The record of adapter versions, each with its run, its parent and what was measured on it.

Knows the rows only; what lies in a version's directory is the engine's and the trainer's business.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import aiosqlite

from ledger.clock import Clock, to_ms
from ledger.errors import AdapterError, ParentTainted
from ledger.learned.promotion_history import is_given_up
from ledger.learned.version_names import FOLDER_SQL, owner_of, version_folder, version_name
from ledger.records import Adapter
from ledger.sqlite.database import Reader
from ledger.sqlite.writer import Writer


class Adapters:
    """The record of what was learned."""

    def __init__(self, reader: Reader, writer: Writer, clock: Clock) -> None:
        self._reader = reader
        self._writer = writer
        self._clock = clock

    async def reserve(
        self,
        guild_id: int,
        run_id: str,
        *,
        adapters_dir: str,
        base_model: str,
        parent: str | None = None,
    ) -> Adapter:
        """Take the next version number for a run's candidate; a run that has one gets it again.

        ``parent`` is the version that the fit starts from. From here on a deletion that reaches the parent
        finds the run, too.

        Raises:
            ParentTainted: the parent learned something that was deleted since, or its files are gone.
            AdapterError: the parent is another guild's.
        """
        if parent is not None and owner_of(parent) != guild_id:
            raise AdapterError(f"{parent} belongs to another server, so nothing here may grow from it.")
        now = to_ms(self._clock.now())

        async def job(connection: aiosqlite.Connection) -> str:
            async with connection.execute(
                "SELECT version FROM adapters WHERE run_id = ? AND state <> 'deleted'", (run_id,)
            ) as cursor:
                row = await cursor.fetchone()
            if row is not None:
                return str(row["version"])
            if parent is not None and not await _is_clean(connection, parent):
                raise ParentTainted(f"{parent} learned from something that was deleted since.")
            if parent is not None and await is_given_up(connection, parent):
                raise ParentTainted(f"{parent} was rolled back from, so nothing grows from it.")
            # Deleted versions keep their rows, so no number is ever used again.
            async with connection.execute(
                "SELECT coalesce(max(number), 0) + 1 AS next FROM adapters WHERE guild_id = ?", (guild_id,)
            ) as cursor:
                row = await cursor.fetchone()
            number = int(row["next"]) if row else 1
            version = version_name(guild_id, number)
            await connection.execute(
                "INSERT INTO adapters (version, guild_id, number, run_id, path, base_model, created_at,"
                " state, parent) VALUES (?, ?, ?, ?, ?, ?, ?, 'candidate', ?)",
                (
                    version,
                    guild_id,
                    number,
                    run_id,
                    str(version_folder(adapters_dir, version)),
                    base_model,
                    now,
                    parent,
                ),
            )
            return version

        return await self.require(guild_id, await self._writer.run(job))

    async def note_folder(self, adapters_dir: str) -> None:
        """Note where the versions' files are now, since somebody may have moved the project.

        A deletion looks there: at the old path it would find nothing and report that as deleted.
        """
        await self._writer.execute(
            f"UPDATE adapters SET path = {FOLDER_SQL} WHERE path <> {FOLDER_SQL}",
            {"dir": adapters_dir},
        )

    async def set_metrics(self, version: str, metrics: Mapping[str, Any]) -> None:
        """Keep what was measured on the version."""
        await self._writer.execute(
            "UPDATE adapters SET metrics = ? WHERE version = ?", (json.dumps(metrics), version)
        )

    async def retire(self, version: str) -> None:
        """Note that a candidate was not promoted."""
        await self._writer.execute(
            "UPDATE adapters SET state = 'retired' WHERE version = ? AND state = 'candidate'", (version,)
        )

    async def get(self, guild_id: int, version: str) -> Adapter | None:
        """Return the guild's version; another guild's is not found."""
        async with self._reader.execute(
            "SELECT * FROM adapters WHERE version = ? AND guild_id = ?", (version, guild_id)
        ) as cursor:
            row = await cursor.fetchone()
        return adapter_of(row) if row else None

    async def require(self, guild_id: int, version: str) -> Adapter:
        """Return the guild's version, by its name or, as people say it, by its number: ``v2``.

        Raises:
            AdapterError: the guild has no such version.
        """
        # With whatever follows, so that "v2, 4 January" can be copied from a list.
        short = re.fullmatch(r"v(\d{1,9})\b.*", version.strip())
        name = version_name(guild_id, int(short[1])) if short else version
        adapter = await self.get(guild_id, name)
        if adapter is None:
            raise AdapterError(f"This server has no adapter version {version!r}; see /adapter list.")
        return adapter

    async def runs_of_versions(self) -> dict[str, str]:
        """Return the run of each version of every guild."""
        async with self._reader.execute("SELECT version, run_id FROM adapters") as cursor:
            return {str(row["version"]): str(row["run_id"]) async for row in cursor}

    async def of_guild(self, guild_id: int) -> list[Adapter]:
        """Return the guild's versions, newest first."""
        async with self._reader.execute(
            "SELECT * FROM adapters WHERE guild_id = ? ORDER BY number DESC", (guild_id,)
        ) as cursor:
            return [adapter_of(row) async for row in cursor]

    async def champions(self) -> dict[int, Adapter]:
        """Return the champion of each guild that has one."""
        async with self._reader.execute("SELECT * FROM adapters WHERE state = 'champion'") as cursor:
            return {int(row["guild_id"]): adapter_of(row) async for row in cursor}

    async def champion(self, guild_id: int) -> Adapter | None:
        """Return the version that serves, or None while the bare base does."""
        async with self._reader.execute(
            "SELECT * FROM adapters WHERE guild_id = ? AND state = 'champion'", (guild_id,)
        ) as cursor:
            row = await cursor.fetchone()
        return adapter_of(row) if row else None

    async def is_clean(self, version: str) -> bool:
        """Tell whether the version's files exist and it learned nothing that was deleted since."""
        async with self._reader.execute(_CLEAN, {"version": version}) as cursor:
            return await cursor.fetchone() is not None


_CLEAN = (
    "SELECT 1 FROM adapters WHERE version = :version AND state <> 'deleted' AND run_id NOT IN"
    " (SELECT run_id FROM tainted_runs WHERE learned)"
)


async def _is_clean(connection: aiosqlite.Connection, version: str) -> bool:
    async with connection.execute(_CLEAN, {"version": version}) as cursor:
        return await cursor.fetchone() is not None


def adapter_of(row: aiosqlite.Row) -> Adapter:
    """Return the record of a row of the table ``adapters``, which may hold more columns."""
    values: dict[str, Any] = {field.name: row[field.name] for field in fields(Adapter)}
    return Adapter(**{**values, "metrics": json.loads(values["metrics"])})
