"""Guilds, their channels, and the names of the people whose words may be kept.

Callers decide who may be named here; the name of somebody who opted out is never written.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping

import aiosqlite

from ledger.clock import Clock, to_ms
from ledger.errors import LedgerError
from ledger.people.guild_cache import GuildCache
from ledger.people.policy import opted_out_sql
from ledger.records import Channel, ChannelMode
from ledger.sqlite.database import Reader
from ledger.sqlite.writer import Writer

# Both come before messages that are stored; where nothing has changed, no row is written.
ENSURE_GUILD = (
    "INSERT INTO guilds (id, name, first_seen_at) VALUES (?, ?, ?)"
    " ON CONFLICT (id) DO UPDATE SET name = excluded.name WHERE name <> excluded.name"
)
"""Takes id, name, and the time in milliseconds."""
ENSURE_CHANNEL = (
    "INSERT INTO channels (id, guild_id, name, mode, parent_id) VALUES (?, ?, ?, ?, ?)"
    " ON CONFLICT (id) DO UPDATE SET name = excluded.name,"
    " parent_id = coalesce(excluded.parent_id, parent_id)"
    " WHERE name <> excluded.name OR parent_id IS NOT coalesce(excluded.parent_id, parent_id)"
)
"""Takes id, guild, name as it is stored, mode, and parent or None."""


class Guilds:
    """The servers that the bot is a member of, or that were imported."""

    def __init__(self, reader: Reader, writer: Writer, clock: Clock) -> None:
        self._reader = reader
        self._writer = writer
        self._clock = clock

    async def ensure(self, guild_id: int, name: str) -> None:
        """Add the guild, or note its new name."""
        await self._writer.execute(ENSURE_GUILD, (guild_id, name, to_ms(self._clock.now())), durable=False)

    async def joined(self, guild_id: int, name: str, account: int) -> None:
        """Note that the bot is a member, under the account ``account``."""
        await self.ensure(guild_id, name)
        await self._writer.execute(
            # IS NOT, because <> finds no guild whose account is NULL.
            "UPDATE guilds SET joined_as = ? WHERE id = ? AND joined_as IS NOT ?",
            (account, guild_id, account),
        )

    async def joined_by(self, account: int) -> set[int]:
        """Return the guilds that this account was last seen as a member of."""
        # By account: guilds of another bot's, or imported ones, have not removed this one.
        async with self._reader.execute("SELECT id FROM guilds WHERE joined_as = ?", (account,)) as cursor:
            return {int(row["id"]) async for row in cursor}

    async def heard(self, guild_ids: Collection[int], until: int) -> None:
        """Note that everything was heard that was said in these guilds up to ``until`` (milliseconds)."""
        await self._writer.execute(
            # Not synced before the talk that it speaks of: a power cut takes both, and Discord is read again.
            "UPDATE guilds SET heard_at = ? WHERE id IN (SELECT value FROM json_each(?))",
            (until, json.dumps(list(guild_ids))),
            durable=False,
        )

    async def heard_until(self, guild_id: int) -> int | None:
        """Return up to when everything was heard, in milliseconds; None for a guild that is new."""
        async with self._reader.execute("SELECT heard_at FROM guilds WHERE id = ?", (guild_id,)) as cursor:
            row = await cursor.fetchone()
        return int(row["heard_at"]) if row and row["heard_at"] is not None else None

    async def all(self) -> dict[int, str]:
        """Return every guild's name by id."""
        async with self._reader.execute("SELECT id, name FROM guilds ORDER BY id") as cursor:
            return {int(row["id"]): str(row["name"]) async for row in cursor}

    async def about(self, user_id: int) -> dict[int, str]:
        """Return the guilds that hold anything of this person, receipts included, as names by id."""
        async with self._reader.execute(
            "SELECT id, name FROM guilds g WHERE"
            " EXISTS (SELECT 1 FROM consent_events WHERE guild_id = g.id AND user_id = :user)"
            " OR EXISTS (SELECT 1 FROM people WHERE guild_id = g.id AND user_id = :user)"
            " OR EXISTS (SELECT 1 FROM messages WHERE guild_id = g.id AND author_id = :user)"
            " OR EXISTS (SELECT 1 FROM replies WHERE guild_id = g.id AND asked_by = :user)"
            " OR EXISTS (SELECT 1 FROM quarantine WHERE guild_id = g.id AND user_id = :user)"
            # The two share one column, message_id.
            " OR EXISTS (SELECT 1 FROM reactions NATURAL JOIN replies"
            " WHERE guild_id = g.id AND user_id = :user)"
            # Who was forgotten has the receipt there, and perhaps nothing else.
            " OR EXISTS (SELECT 1 FROM deletions, json_each(subject) WHERE guild_id = g.id"
            " AND kind = 'person' AND value = :user) ORDER BY id",
            {"user": user_id},
        ) as cursor:
            return {int(row["id"]): str(row["name"]) async for row in cursor}

    async def first_seen(self, guild_id: int) -> int | None:
        """Return when the guild was first seen, in milliseconds, or None."""
        async with self._reader.execute(
            "SELECT first_seen_at FROM guilds WHERE id = ?", (guild_id,)
        ) as cursor:
            row = await cursor.fetchone()
        return int(row["first_seen_at"]) if row else None

    async def the_only(self, guild_id: int | None) -> int:
        """Return ``guild_id`` if it is known; without one, the only guild that there is.

        Raises:
            LedgerError: there is no such guild, or several to choose from.
        """
        guilds = await self.all()
        if not guilds:
            raise LedgerError(
                "The ledger knows no server yet: run the bot in one, or import an export with "
                "`python -m trainer import`."
            )
        known = ", ".join(f"{number} ({name})" for number, name in guilds.items())
        if guild_id is None and len(guilds) == 1:
            return next(iter(guilds))
        if guild_id is None:
            raise LedgerError(f"Say which server is meant with --guild; the ledger knows: {known}.")
        if guild_id not in guilds:
            raise LedgerError(f"The ledger knows no server {guild_id}; it knows: {known}.")
        return guild_id


class Channels:
    """Channels and what the bot does in each: listen, answer everything, or ignore."""

    def __init__(self, reader: Reader, writer: Writer, *, as_stored: Callable[[str], str]) -> None:
        """``as_stored`` takes private values out of names, which end up in datasets like any text."""
        self._reader = reader
        self._writer = writer
        self._as_stored = as_stored
        self._chosen: GuildCache[ChannelMode] = GuildCache(self._read_chosen)

    async def keep_in_step(self) -> None:
        """Have the writer report channels, so that :meth:`chosen` may be kept in memory."""
        columns = ("guild_id", "id", "mode", "chosen")
        await self._writer.watch("channels", columns, self._changed, unsure=self._chosen.clear)

    def _changed(self, guild_id: int, channel_id: int, mode: ChannelMode, chosen: int) -> None:
        self._chosen.put(guild_id, channel_id, mode if chosen else None)

    async def chosen(self, guild_id: int) -> Mapping[int, ChannelMode]:
        """Return what admins chose for channels of the guild, by channel; from memory if it can be."""
        return await self._chosen.get(guild_id)

    def chosen_in_memory(self, guild_id: int) -> Mapping[int, ChannelMode] | None:
        """Return :meth:`chosen` as the last commit left it; None if it has to be read first."""
        return self._chosen.peek(guild_id)

    async def _read_chosen(self, guild_id: int) -> dict[int, ChannelMode]:
        async with self._reader.execute(
            "SELECT id, mode FROM channels WHERE guild_id = ? AND chosen", (guild_id,)
        ) as cursor:
            return {int(row["id"]): row["mode"] async for row in cursor}

    async def ensure(
        self,
        channel_id: int,
        guild_id: int,
        name: str,
        *,
        mode: ChannelMode = "listen",
        parent_id: int | None = None,
    ) -> None:
        """Add the channel with ``mode``, or note its new name and parent and keep the mode it has."""
        await self._writer.execute(
            ENSURE_CHANNEL, (channel_id, guild_id, self._as_stored(name), mode, parent_id), durable=False
        )

    async def threads_of(self, channel_id: int) -> list[int]:
        """Return the known threads of a channel, archived ones included."""
        async with self._reader.execute(
            "SELECT id FROM channels WHERE parent_id = ? ORDER BY id", (channel_id,)
        ) as cursor:
            return [int(row["id"]) async for row in cursor]

    async def get(self, channel_id: int) -> Channel | None:
        async with self._reader.execute("SELECT * FROM channels WHERE id = ?", (channel_id,)) as cursor:
            row = await cursor.fetchone()
        return _channel(row) if row else None

    async def of_guild(self, guild_id: int) -> list[Channel]:
        async with self._reader.execute(
            "SELECT * FROM channels WHERE guild_id = ? ORDER BY id", (guild_id,)
        ) as cursor:
            return [_channel(row) async for row in cursor]

    async def set_mode(
        self, channel_id: int, guild_id: int, name: str, mode: ChannelMode, *, parent_id: int | None = None
    ) -> None:
        """Note what an admin wants the bot to do in the channel, adding it if it is new."""
        await self.ensure(channel_id, guild_id, name, mode=mode, parent_id=parent_id)
        # Where no admin chose, who may read the channel decides anew each time: it may become private.
        await self._writer.execute(
            "UPDATE channels SET mode = ?, chosen = 1 WHERE id = ?", (mode, channel_id)
        )


class People:
    """Names of people whose words may be kept, and which of the authors are bots."""

    def __init__(self, reader: Reader, writer: Writer, *, as_stored: Callable[[str], str]) -> None:
        """``as_stored`` takes private values out of names, which end up in datasets like any text."""
        self._reader = reader
        self._writer = writer
        self._as_stored = as_stored

    async def ensure(self, guild_id: int, user_id: int, name: str, *, is_bot: bool = False) -> None:
        """Add the person, or note a new name."""
        await self.ensure_many(guild_id, [(user_id, name, is_bot)])

    async def ensure_many(self, guild_id: int, people: Iterable[tuple[int, str, bool]]) -> None:
        """Add people as (user id, name, is a bot), or note their new names; not of those who said no."""
        rows = [
            {"guild_id": guild_id, "user_id": user_id, "name": self._as_stored(name), "is_bot": int(is_bot)}
            for user_id, name, is_bot in people
        ]

        async def job(connection: aiosqlite.Connection) -> None:
            await connection.executemany(
                "INSERT INTO people (guild_id, user_id, name, is_bot)"
                f" SELECT :guild_id, :user_id, :name, :is_bot WHERE NOT {opted_out_sql(':user_id')}"
                " ON CONFLICT DO UPDATE SET name = excluded.name, is_bot = excluded.is_bot"
                " WHERE name <> excluded.name OR is_bot <> excluded.is_bot",
                rows,
            )

        await self._writer.run(job)

    async def note_presence(self, guild_id: int, user_id: int, now: int, *, here: bool) -> int | None:
        """Note whether the person is in the guild; return since when they are known to be gone."""

        async def job(connection: aiosqlite.Connection) -> int | None:
            await connection.execute(
                # The first look that missed them counts, from which the days until they are forgotten run.
                "UPDATE people SET left_at = CASE WHEN ? THEN NULL ELSE coalesce(left_at, ?) END"
                " WHERE guild_id = ? AND user_id = ?",
                (here, now, guild_id, user_id),
            )
            async with connection.execute(
                "SELECT left_at FROM people WHERE guild_id = ? AND user_id = ?", (guild_id, user_id)
            ) as cursor:
                row = await cursor.fetchone()
            return row["left_at"] if row else None

        return await self._writer.run(job)

    async def names(self, guild_id: int) -> dict[int, str]:
        """Return the name of each known person by id."""
        async with self._reader.execute(
            "SELECT user_id, name FROM people WHERE guild_id = ?", (guild_id,)
        ) as cursor:
            return {int(row["user_id"]): str(row["name"]) async for row in cursor}

    async def kept(self, guild_id: int) -> list[int]:
        """Return the people who answered about consent and of whom a name is stored, whatever they said."""
        async with self._reader.execute(
            # Those who said no as well: words from before may still be stored, and go when they leave.
            "SELECT user_id FROM people WHERE guild_id = ? AND NOT is_bot AND user_id IN"
            " (SELECT user_id FROM consent_events c WHERE c.guild_id = people.guild_id) ORDER BY user_id",
            (guild_id,),
        ) as cursor:
            return [int(row["user_id"]) async for row in cursor]

    async def bots(self, guild_id: int) -> dict[int, str]:
        """Return the name of each known bot by id."""
        async with self._reader.execute(
            "SELECT user_id, name FROM people WHERE guild_id = ? AND is_bot", (guild_id,)
        ) as cursor:
            return {int(row["user_id"]): str(row["name"]) async for row in cursor}


def _channel(row: aiosqlite.Row) -> Channel:
    return Channel(
        id=row["id"],
        guild_id=row["guild_id"],
        name=row["name"],
        mode=row["mode"],
        chosen=bool(row["chosen"]),
        parent_id=row["parent_id"],
    )
