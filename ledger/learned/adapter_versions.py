"""Adapter versions and which of them serves: promotion and rollback are one transaction each.

Knows the rows only; what lies in a version's directory is the engine's and the trainer's business.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import aiosqlite

from ledger.clock import Clock, from_ms, to_ms
from ledger.errors import AdapterError, ParentTainted
from ledger.learned.runs import close_promoted
from ledger.people.policy import refuses_sql
from ledger.records import Adapter
from ledger.sqlite.database import Reader
from ledger.sqlite.writer import Writer

VERSION = re.compile(r"g(?P<guild>\d+)-v(?P<number>\d{6,})")
"""Names of versions, and so of their folders; the only place that knows their form."""
_FOLDER = ":dir || '/' || guild_id || '/' || version"
"""The same as :func:`version_folder`, in SQL."""


def version_name(guild_id: int, number: int) -> str:
    """Return the version's name; fixed width, so that no name is ever a prefix of another."""
    return f"g{guild_id}-v{number:06d}"


def owner_of(version: str) -> int:
    """Return the guild that a version belongs to.

    Raises:
        AdapterError: ``version`` is no version's name.
    """
    return int(_parsed(version)["guild"])


def version_folder(adapters_dir: Path | str, version: str) -> Path:
    """Return where a version's files are, below the folder of its guild.

    Raises:
        AdapterError: ``version`` is no version's name.
    """
    return Path(adapters_dir) / _parsed(version)["guild"] / version


def _parsed(version: str) -> re.Match[str]:
    found = VERSION.fullmatch(version)
    if found is None:
        raise AdapterError(f"{version!r} is no version's name, such as {version_name(7, 1)}.")
    return found


def short_name(version: str, made_at: int | None) -> str:
    """Return a version as people read it, "v2, 4 January"; ``made_at`` in milliseconds, if it is known."""
    found = VERSION.fullmatch(version)
    if found is None:
        return version
    number = f"v{int(found['number'])}"
    return number if made_at is None else f"{number}, {from_ms(made_at):%-d %B}"


def unfit(measured: Mapping[str, Any]) -> str:
    """Return why nobody may let a version serve, by the figures of its night; empty where it may.

    That is more than not being better: it is broken, or gives people away.
    """
    scores = (measured.get("scores") or {}).get("candidate") or {}
    figures = [scores[name] for name in ("nll", "general_nll") if name in scores]
    if not all(isinstance(figure, int | float) and math.isfinite(figure) for figure in figures):
        return "is broken: a score of its night is no finite number"
    return leaks(measured.get("recitals") or {})


def leaks(recitals: Mapping[str, float]) -> str:
    """Return what a version gives away beyond the limit, by the figures of its night, or an empty text."""
    if recitals.get("values"):
        return "gives away secret values that it learned"
    rate, limit = recitals.get("rate", 0.0), recitals.get("limit", 1.0)
    return f"recites what single people wrote ({rate:.1%}, limit {limit:.1%})" if rate > limit else ""


class Adapters:
    """The record of what was learned, and of what serves."""

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
            if parent is not None and await _is_given_up(connection, parent):
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
            f"UPDATE adapters SET path = {_FOLDER} WHERE path <> {_FOLDER}",
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

    async def promote(self, guild_id: int, version: str, *, by: str, run: str = "") -> Adapter:
        """Let ``version`` serve from now on; return it.

        ``run`` is the night that ends with it: closed in the same transaction, so that no kill leaves a
        night open whose version serves already.

        Raises:
            AdapterError: the guild has no such version, its files were deleted, it is broken, gives away
                secrets or recites people, or it learned from something that somebody had deleted since.
        """
        adapter = await self.require(guild_id, version)
        # It may have been asked for as "v2".
        version = adapter.version
        if adapter.state == "deleted":
            raise AdapterError(f"The files of {version} were deleted; choose another version.")
        if reason := unfit(adapter.metrics):
            raise AdapterError(f"{version} {reason}, so nobody can promote it.")

        async def job(connection: aiosqlite.Connection) -> None:
            # In this job, so that a refusal below undoes it, too, and leaves the run open.
            if run:
                await close_promoted(connection, run, version, to_ms(self._clock.now()))
            # A second row of the same version would make it what a rollback from it returns to.
            if await _champion_version(connection, guild_id) == version:
                return
            if await _saw_what_is_deleted(connection, version):
                raise AdapterError(
                    f"{version} learned from something that was deleted since, so it is not promoted; "
                    "the next night trains without it."
                )
            # Nights alone: an opt-out ends learning, and takes nothing back that was learned before it.
            if by.startswith("night ") and await _saw_who_refuses(connection, guild_id, version):
                raise AdapterError(
                    f"{version} learned from somebody who opted out meanwhile, so it is not promoted; "
                    "the next night trains without them."
                )
            # Nights alone here, too: an admin may let anything serve that is whole.
            if by.startswith("night ") and adapter.parent and await _is_given_up(connection, adapter.parent):
                raise AdapterError(
                    f"{version} grew from {adapter.parent}, which was rolled back from meanwhile, so it is "
                    "not promoted; the next night starts elsewhere."
                )
            await self._switch(connection, guild_id, version, "promote", by)

        await self._writer.run(job)
        return await self.require(guild_id, version)

    async def rollback(self, guild_id: int, *, by: str) -> Adapter | None:
        """Return to what served before the champion; None when that is the bare base.

        Raises:
            AdapterError: nothing is promoted, so there is nothing to go back from.
        """

        async def job(connection: aiosqlite.Connection) -> str | None:
            current = await _champion_version(connection, guild_id)
            if current is None:
                raise AdapterError("The bare base model serves already; there is nothing to roll back.")
            below = await _below_champion(connection, guild_id)
            await self._switch(connection, guild_id, below, "rollback", by)
            return below

        version = await self._writer.run(job)
        return await self.require(guild_id, version) if version else None

    async def serve_base(self, guild_id: int, *, by: str) -> None:
        """Let the bare base serve from now on."""
        await self._writer.run(lambda connection: self._switch(connection, guild_id, None, "rollback", by))

    async def once_served(self, guild_id: int) -> list[str]:
        """Return the versions that served at some time and still can, the latest promoted first."""
        async with self._reader.execute(
            "SELECT p.version FROM promotions p JOIN adapters a ON a.version = p.version"
            # By promotion, not by number: an admin may have gone back to an older one on purpose.
            " WHERE p.guild_id = ? AND a.state <> 'deleted' GROUP BY p.version ORDER BY max(p.id) DESC",
            (guild_id,),
        ) as cursor:
            return [str(row["version"]) async for row in cursor]

    async def clean(self, guild_id: int) -> list[Adapter]:
        """Return the versions that served at some time, still can, and learned nothing deleted since.

        The champion first, then the latest promoted: any of them may be what tonight's fit starts from. What
        was rolled back from is none of them: what was wrong with it, its children would inherit. While the
        bare base serves there are none: somebody, or a deletion, went back that far.
        """
        champion = await self.champion(guild_id)
        if champion is None:
            return []
        served = await self.once_served(guild_id)
        given_up = await self._given_up(guild_id)
        found = [version for version in served if version not in given_up and await self.is_clean(version)]
        if champion.version in found:
            found = [champion.version, *(version for version in found if version != champion.version)]
        return [await self.require(guild_id, version) for version in found]

    async def _given_up(self, guild_id: int) -> set[str]:
        """Return the versions that were rolled back from and not promoted again since."""
        async with self._reader.execute(
            f"{_GIVEN_UP} AND back.guild_id = :guild AND back.replaced IS NOT NULL", {"guild": guild_id}
        ) as cursor:
            return {str(row["replaced"]) async for row in cursor}

    async def promotion_of(self, version: str) -> tuple[str, int] | None:
        """Return who let the version serve last, and when in milliseconds; None if it never did."""
        async with self._reader.execute(
            "SELECT by, at FROM promotions WHERE version = ? ORDER BY id DESC LIMIT 1", (version,)
        ) as cursor:
            row = await cursor.fetchone()
        return (str(row["by"]), int(row["at"])) if row else None

    async def is_clean(self, version: str) -> bool:
        """Tell whether the version's files exist and it learned nothing that was deleted since."""
        async with self._reader.execute(_CLEAN, {"version": version}) as cursor:
            return await cursor.fetchone() is not None

    async def _switch(
        self, connection: aiosqlite.Connection, guild_id: int, version: str | None, kind: str, by: str
    ) -> None:
        current = await _champion_version(connection, guild_id)
        await connection.execute(
            "UPDATE adapters SET state = 'retired' WHERE guild_id = ? AND state = 'previous'", (guild_id,)
        )
        # What was rolled back from is nothing to roll back to.
        left = "retired" if kind == "rollback" else "previous"
        await connection.execute(
            "UPDATE adapters SET state = ? WHERE guild_id = ? AND state = 'champion'", (left, guild_id)
        )
        await connection.execute(
            # Before _below_champion, which replays these rows.
            "INSERT INTO promotions (guild_id, kind, version, replaced, by, at) VALUES (?, ?, ?, ?, ?, ?)",
            (guild_id, kind, version, current, by, to_ms(self._clock.now())),
        )
        if version is None:
            return
        # Behind the others: an index of the schema allows one champion a guild.
        await connection.execute("UPDATE adapters SET state = 'champion' WHERE version = ?", (version,))
        previous = await _below_champion(connection, guild_id)
        if previous is not None:
            await connection.execute(
                "UPDATE adapters SET state = 'previous' WHERE version = ? AND state = 'retired'", (previous,)
            )


async def _champion_version(connection: aiosqlite.Connection, guild_id: int) -> str | None:
    async with connection.execute(
        "SELECT version FROM adapters WHERE guild_id = ? AND state = 'champion'", (guild_id,)
    ) as cursor:
        row = await cursor.fetchone()
    return str(row["version"]) if row else None


_CLEAN = (
    "SELECT 1 FROM adapters WHERE version = :version AND state <> 'deleted' AND run_id NOT IN"
    " (SELECT run_id FROM tainted_runs WHERE learned)"
)


_GIVEN_UP = (
    "SELECT back.replaced FROM promotions back WHERE back.kind = 'rollback' AND NOT EXISTS"
    # Going back to a version makes it serve again, as promoting it does.
    " (SELECT 1 FROM promotions p WHERE p.version = back.replaced AND p.id > back.id)"
)


async def _is_given_up(connection: aiosqlite.Connection, version: str) -> bool:
    async with connection.execute(f"{_GIVEN_UP} AND back.replaced = ?", (version,)) as cursor:
        return await cursor.fetchone() is not None


async def _is_clean(connection: aiosqlite.Connection, version: str) -> bool:
    async with connection.execute(_CLEAN, {"version": version}) as cursor:
        return await cursor.fetchone() is not None


async def _saw_what_is_deleted(connection: aiosqlite.Connection, version: str) -> bool:
    async with connection.execute(
        "SELECT 1 FROM tainted_runs JOIN adapters USING (run_id) WHERE version = ? AND learned", (version,)
    ) as cursor:
        return await cursor.fetchone() is not None


async def _saw_who_refuses(connection: aiosqlite.Connection, guild_id: int, version: str) -> bool:
    """Tell whether the version's run learned from somebody who opted out since, there or everywhere."""
    async with connection.execute(
        "SELECT 1 FROM adapters JOIN run_messages m USING (run_id) WHERE version = :version"
        f" AND {refuses_sql('m.author_id', channel='m.channel_id')} LIMIT 1",
        {"version": version, "guild_id": guild_id},
    ) as cursor:
        return await cursor.fetchone() is not None


async def _below_champion(connection: aiosqlite.Connection, guild_id: int) -> str | None:
    """Return the version that rollback returns to, or None for the bare base.

    Replays the history as a stack, so that going back again and again ends at the base even where a
    version was promoted twice. Versions whose files were deleted are passed over.
    """
    async with connection.execute(
        "SELECT p.kind, p.version, a.state = 'deleted' AS gone FROM promotions p"
        " LEFT JOIN adapters a ON a.version = p.version WHERE p.guild_id = ? ORDER BY p.id",
        (guild_id,),
    ) as cursor:
        stack: list[tuple[str, bool]] = []
        async for row in cursor:
            if row["kind"] == "promote":
                stack.append((row["version"], bool(row["gone"])))
            # A rollback takes away what is above its version; to the bare base (NULL) that is everything.
            while stack and stack[-1][0] != row["version"]:
                stack.pop()
    return next((version for version, gone in reversed(stack[:-1]) if not gone), None)


def adapter_of(row: aiosqlite.Row) -> Adapter:
    """Return the record of a row of the table ``adapters``, which may hold more columns."""
    values: dict[str, Any] = {field.name: row[field.name] for field in fields(Adapter)}
    return Adapter(**{**values, "metrics": json.loads(values["metrics"])})
