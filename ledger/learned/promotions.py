"""Which version serves: promotion and rollback are one transaction each."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import aiosqlite

from ledger.clock import Clock, to_ms
from ledger.errors import AdapterError
from ledger.learned.adapter_versions import Adapters
from ledger.learned.promotion_history import (
    GIVEN_UP,
    below_champion,
    champion_version,
    is_given_up,
)
from ledger.learned.runs import close_promoted
from ledger.people.policy import refuses_sql
from ledger.records import Adapter
from ledger.sqlite.database import Reader
from ledger.sqlite.writer import Writer


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


class Promotions:
    """What serves, what served, and what may serve."""

    def __init__(self, reader: Reader, writer: Writer, clock: Clock, adapters: Adapters) -> None:
        self._reader = reader
        self._writer = writer
        self._clock = clock
        self._adapters = adapters

    async def promote(self, guild_id: int, version: str, *, by: str, run: str = "") -> Adapter:
        """Let ``version`` serve from now on; return it.

        ``run`` is the night that ends with it: closed in the same transaction, so that no kill leaves a
        night open whose version serves already.

        Raises:
            AdapterError: the guild has no such version, its files were deleted, it is broken, gives away
                secrets or recites people, or it learned from something that somebody had deleted since.
        """
        adapter = await self._adapters.require(guild_id, version)
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
            if await champion_version(connection, guild_id) == version:
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
            if by.startswith("night ") and adapter.parent and await is_given_up(connection, adapter.parent):
                raise AdapterError(
                    f"{version} grew from {adapter.parent}, which was rolled back from meanwhile, so it is "
                    "not promoted; the next night starts elsewhere."
                )
            await self._switch(connection, guild_id, version, "promote", by)

        await self._writer.run(job)
        return await self._adapters.require(guild_id, version)

    async def rollback(self, guild_id: int, *, by: str) -> Adapter | None:
        """Return to what served before the champion; None when that is the bare base.

        Raises:
            AdapterError: nothing is promoted, so there is nothing to go back from.
        """

        async def job(connection: aiosqlite.Connection) -> str | None:
            current = await champion_version(connection, guild_id)
            if current is None:
                raise AdapterError("The bare base model serves already; there is nothing to roll back.")
            below = await below_champion(connection, guild_id)
            await self._switch(connection, guild_id, below, "rollback", by)
            return below

        version = await self._writer.run(job)
        return await self._adapters.require(guild_id, version) if version else None

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
        champion = await self._adapters.champion(guild_id)
        if champion is None:
            return []
        served = await self.once_served(guild_id)
        given_up = await self._given_up(guild_id)
        found = [
            version
            for version in served
            if version not in given_up and await self._adapters.is_clean(version)
        ]
        if champion.version in found:
            found = [champion.version, *(version for version in found if version != champion.version)]
        return [await self._adapters.require(guild_id, version) for version in found]

    async def _given_up(self, guild_id: int) -> set[str]:
        """Return the versions that were rolled back from and not promoted again since."""
        async with self._reader.execute(
            f"{GIVEN_UP} AND back.guild_id = :guild AND back.replaced IS NOT NULL", {"guild": guild_id}
        ) as cursor:
            return {str(row["replaced"]) async for row in cursor}

    async def promotion_of(self, version: str) -> tuple[str, int] | None:
        """Return who let the version serve last, and when in milliseconds; None if it never did."""
        async with self._reader.execute(
            "SELECT by, at FROM promotions WHERE version = ? ORDER BY id DESC LIMIT 1", (version,)
        ) as cursor:
            row = await cursor.fetchone()
        return (str(row["by"]), int(row["at"])) if row else None

    async def _switch(
        self, connection: aiosqlite.Connection, guild_id: int, version: str | None, kind: str, by: str
    ) -> None:
        current = await champion_version(connection, guild_id)
        await connection.execute(
            "UPDATE adapters SET state = 'retired' WHERE guild_id = ? AND state = 'previous'", (guild_id,)
        )
        # What was rolled back from is nothing to roll back to.
        left = "retired" if kind == "rollback" else "previous"
        await connection.execute(
            "UPDATE adapters SET state = ? WHERE guild_id = ? AND state = 'champion'", (left, guild_id)
        )
        await connection.execute(
            # Before below_champion, which replays these rows.
            "INSERT INTO promotions (guild_id, kind, version, replaced, by, at) VALUES (?, ?, ?, ?, ?, ?)",
            (guild_id, kind, version, current, by, to_ms(self._clock.now())),
        )
        if version is None:
            return
        # Behind the others: an index of the schema allows one champion a guild.
        await connection.execute("UPDATE adapters SET state = 'champion' WHERE version = ?", (version,))
        previous = await below_champion(connection, guild_id)
        if previous is not None:
            await connection.execute(
                "UPDATE adapters SET state = 'previous' WHERE version = ? AND state = 'retired'", (previous,)
            )


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
