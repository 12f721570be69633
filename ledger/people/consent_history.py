"""Who agreed to be learned from: an append-only history per person and guild.

``opt_in`` and ``opt_out`` add rows and never change one; the newest row is in force. What follows from
it stands in :mod:`ledger.people.policy`. Callers see to it that ``user_id`` is the person who speaks.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import aiosqlite

from ledger.clock import Clock, to_ms
from ledger.people.guild_cache import GuildCache
from ledger.people.policy import agrees
from ledger.records import Agreement, ConsentEvent
from ledger.sqlite.database import Reader
from ledger.sqlite.writer import Writer

WORDING_VERSION = "2026-11-2"
"""Version of the words that members agree to; it changes whenever those words do."""
Row = aiosqlite.Row | Mapping[str, Any]

_COLUMNS = ("id", "guild_id", "user_id", "granted", "channels", "wording", "at")
_IN_FORCE = (
    "SELECT * FROM consent_events WHERE id IN"
    " (SELECT max(id) FROM consent_events WHERE guild_id = ? GROUP BY user_id)"
)


class Consent:
    """Opt-ins and opt-outs."""

    def __init__(self, reader: Reader, writer: Writer, clock: Clock) -> None:
        self._reader = reader
        self._writer = writer
        self._clock = clock
        self._agreements = GuildCache(self._read_agreements)

    async def keep_in_step(self) -> None:
        """Have the writer report answers, so that :meth:`agreements` may be kept in memory."""
        await self._writer.watch("consent_events", _COLUMNS, self._answered, unsure=self._agreements.clear)

    def _answered(self, *row: Any) -> None:
        given = _agreement(dict(zip(_COLUMNS, row, strict=True)))
        self._agreements.put(given.word.guild_id, given.word.user_id, given if given.word.granted else None)

    async def agreements(self, guild_id: int) -> Mapping[int, Agreement]:
        """Return each yes that is in force, for all channels or some, by user id; from memory if possible."""
        return await self._agreements.get(guild_id)

    def agreements_in_memory(self, guild_id: int) -> Mapping[int, Agreement] | None:
        """Return :meth:`agreements` as the last commit left them; None if they have to be read first."""
        return self._agreements.peek(guild_id)

    async def _read_agreements(self, guild_id: int) -> dict[int, Agreement]:
        async with self._reader.execute(f"{_IN_FORCE} AND granted", (guild_id,)) as cursor:
            return {int(row["user_id"]): _agreement(row) async for row in cursor}

    async def opt_in(
        self, guild_id: int, user_id: int, *, channels: Iterable[int] = (), wording: str = WORDING_VERSION
    ) -> None:
        """Note that the person agrees; ``channels`` limits it, empty means all that may be learned from."""
        await self._append(guild_id, user_id, True, tuple(channels), wording)

    async def opt_out(self, guild_id: int, user_id: int, *, wording: str = WORDING_VERSION) -> None:
        """Note that the person does not (or no longer) agree."""
        await self._append(guild_id, user_id, False, (), wording)

    async def _append(
        self, guild_id: int, user_id: int, granted: bool, channels: tuple[int, ...], wording: str
    ) -> None:
        await self._writer.execute(
            "INSERT INTO consent_events (guild_id, user_id, granted, channels, wording, at)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (guild_id, user_id, granted, json.dumps(channels), wording, to_ms(self._clock.now())),
        )

    async def current(self, guild_id: int, user_id: int) -> ConsentEvent | None:
        """Return the row in force, or None for somebody who was never asked or never answered."""
        async with self._reader.execute(
            "SELECT * FROM consent_events WHERE guild_id = ? AND user_id = ? ORDER BY id DESC LIMIT 1",
            (guild_id, user_id),
        ) as cursor:
            row = await cursor.fetchone()
        return _event(row) if row else None

    async def allows(self, guild_id: int, user_id: int, channel_id: int) -> bool:
        """Tell whether this person's words in this channel may be kept."""
        return agrees(await self.current(guild_id, user_id), channel_id)

    async def in_force(self, guild_id: int) -> dict[int, ConsentEvent]:
        """Return the row in force of everybody who ever answered, by user id."""
        async with self._reader.execute(_IN_FORCE, (guild_id,)) as cursor:
            return {int(row["user_id"]): _event(row) async for row in cursor}

    async def consenting(self, guild_id: int) -> set[int]:
        """Return the ids of those who opted in, for all channels or some."""
        return {user for user, event in (await self.in_force(guild_id)).items() if event.granted}

    async def refusing(self, guild_id: int) -> set[int]:
        """Return the ids of those who opted out; this outweighs any declared basis."""
        return {user for user, event in (await self.in_force(guild_id)).items() if not event.granted}

    async def guilds_of(self, user_id: int) -> list[int]:
        """Return the guilds in which this person has opted in."""
        async with self._reader.execute(
            "SELECT guild_id FROM consent_events WHERE granted AND id IN"
            " (SELECT max(id) FROM consent_events WHERE user_id = ? GROUP BY guild_id) ORDER BY guild_id",
            (user_id,),
        ) as cursor:
            return [int(row["guild_id"]) async for row in cursor]

    async def newest(self) -> int:
        """Return the number of the last answer, in any guild; 0 when there was none."""
        async with self._reader.execute("SELECT coalesce(max(id), 0) FROM consent_events") as cursor:
            row = await cursor.fetchone()
        return int(row[0]) if row else 0

    async def after(self, event_id: int) -> list[ConsentEvent]:
        """Return what was answered after an event, in all guilds, oldest first."""
        async with self._reader.execute(
            "SELECT * FROM consent_events WHERE id > ? ORDER BY id", (event_id,)
        ) as cursor:
            return [_event(row) async for row in cursor]

    async def repeat(self, events: Iterable[ConsentEvent]) -> None:
        """Add answers again as they were given, to a ledger that does not know of them: a restored backup."""
        rows = [(e.guild_id, e.user_id, e.granted, json.dumps(e.channels), e.wording, e.at) for e in events]

        async def job(connection: aiosqlite.Connection) -> None:
            # The backup may be older than the guild, and an event needs its row.
            for row in rows:
                await connection.execute(
                    "INSERT INTO guilds (id, name, first_seen_at) VALUES (?, '', ?) ON CONFLICT DO NOTHING",
                    (row[0], row[-1]),
                )
            await connection.executemany(
                "INSERT INTO consent_events (guild_id, user_id, granted, channels, wording, at)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                rows,
            )

        await self._writer.run(job)

    async def history(self, guild_id: int, user_id: int) -> list[ConsentEvent]:
        """Return every change, oldest first."""
        async with self._reader.execute(
            "SELECT * FROM consent_events WHERE guild_id = ? AND user_id = ? ORDER BY id",
            (guild_id, user_id),
        ) as cursor:
            return [_event(row) async for row in cursor]


def _agreement(row: Row) -> Agreement:
    return Agreement(int(row["id"]), _event(row))


def _event(row: Row) -> ConsentEvent:
    return ConsentEvent(
        guild_id=row["guild_id"],
        user_id=row["user_id"],
        granted=bool(row["granted"]),
        channels=tuple(json.loads(row["channels"])),
        wording=row["wording"],
        at=row["at"],
    )
