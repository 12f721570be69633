"""Whose words nights leave out for a while because of how they were written, and who let them in again.

The trainer judges (:mod:`trainer.choosing.suspicion`); here stands what follows. What somebody wrote in
quarantine stays out for good when it ends by time, so that waiting gains nothing; an admin's word lets it
in, and holds for the reasons of that time. Rows hold identifiers and codes, never text.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import aiosqlite

from ledger.clock import Clock, to_ms
from ledger.errors import LedgerError
from ledger.people.policy import opted_out_sql
from ledger.sqlite.database import Reader
from ledger.sqlite.writer import Writer

DAY_MS = 86_400_000

SLOGAN = "slogan"
ABUSE = "abuse"
ONE_CLAIM = "one-claim"
STRANGE = "strange"
UNLIKELY = "unlikely"

WORDS: Mapping[str, str] = {
    SLOGAN: "several new accounts wrote nearly the same",
    ABUSE: "far more abuse than is usual here, or from this person before",
    ONE_CLAIM: "a new account that said the same thing in many lines",
    STRANGE: "a new account whose words are none of this server's",
    UNLIKELY: "a new account whose messages are unlike all others to the version that serves",
}
"""Each reason's code in plain words; they quote nobody."""

_HOLD = (
    "INSERT INTO quarantine (guild_id, user_id, since, until, reasons)"
    # In the transaction that writes: nobody who is forgotten meanwhile comes back, by number either.
    f" SELECT :guild, :user, :since, :until, :reasons WHERE NOT {opted_out_sql(':user', guild=':guild')}"
    " ON CONFLICT DO UPDATE SET since = excluded.since, until = excluded.until,"
    " reasons = excluded.reasons, allowed_by = NULL"
)


@dataclass(frozen=True, slots=True)
class Detained:
    """One person's quarantine; times in milliseconds."""

    guild_id: int
    user_id: int
    since: int
    """What was written from then on is left out."""
    until: int
    reasons: tuple[str, ...]
    allowed_by: str | None = None
    """Who let the person in: an admin's id, or the command line."""

    def covers(self, written_at: int) -> bool:
        """Tell whether a message of this person, written then, is left out."""
        return self.allowed_by is None and self.since <= written_at < self.until

    @property
    def told(self) -> str:
        """The reasons in plain words."""
        return "; ".join(WORDS.get(code, code) for code in self.reasons)


class Quarantine:
    """People whose words wait."""

    def __init__(self, reader: Reader, writer: Writer, clock: Clock) -> None:
        self._reader = reader
        self._writer = writer
        self._clock = clock

    async def hold(
        self, guild_id: int, suspects: Mapping[int, Collection[str]], *, since: int, days: float
    ) -> list[Detained]:
        """Leave out what these people wrote from ``since`` on, for ``days`` days from now.

        ``suspects`` maps each to codes of reasons. Return who is held now and was not before. Somebody whom
        an admin let in is held again only for a reason that the admin had not seen; whom the ledger is to
        forget, or who said no, gets no row.
        """
        until = to_ms(self._clock.now()) + round(days * DAY_MS)

        async def job(connection: aiosqlite.Connection) -> list[Detained]:
            found = []
            for user_id, codes in sorted(suspects.items()):
                before = await _row(connection, guild_id, user_id)
                known = before.reasons if before else ()
                if not codes or (before and before.allowed_by is not None and set(codes) <= set(known)):
                    continue
                begins = min(since, before.since) if before else since
                reasons = (*known, *sorted(set(codes) - set(known)))
                values = {"guild": guild_id, "user": user_id, "since": begins, "until": until}
                cursor = await connection.execute(_HOLD, {**values, "reasons": json.dumps(reasons)})
                is_new = before is None or before.allowed_by is not None or before.until <= since
                if cursor.rowcount and is_new:
                    found.append(Detained(guild_id, user_id, begins, until, reasons))
            return found

        return await self._writer.run(job)

    async def allow(self, guild_id: int, user_id: int, *, by: str) -> Detained:
        """Let a person's words in again, those written meanwhile included; ``by`` says who did.

        Raises:
            LedgerError: this person is not in quarantine.
        """

        async def job(connection: aiosqlite.Connection) -> Detained | None:
            await connection.execute(
                "UPDATE quarantine SET allowed_by = ? WHERE guild_id = ? AND user_id = ?",
                (by, guild_id, user_id),
            )
            return await _row(connection, guild_id, user_id)

        held = await self._writer.run(job)
        if held is None:
            raise LedgerError(f"Nobody with the number {user_id} is in quarantine; list shows who is.")
        return held

    async def of_guild(self, guild_id: int) -> dict[int, Detained]:
        """Return every row of a guild by person, those whose time is over or who were let in included."""
        async with self._reader.execute(
            "SELECT * FROM quarantine WHERE guild_id = ? ORDER BY until DESC, user_id", (guild_id,)
        ) as cursor:
            return {int(row["user_id"]): _held(row) async for row in cursor}

    async def in_force(self, guild_id: int) -> dict[int, Detained]:
        """Return who is in quarantine now, by person."""
        now = to_ms(self._clock.now())
        return {user: held for user, held in (await self.of_guild(guild_id)).items() if held.covers(now)}

    async def of_person(self, guild_id: int, user_id: int) -> Detained | None:
        """Return one person's row, or None."""
        return (await self.of_guild(guild_id)).get(user_id)

    async def delete_older(self, before: int) -> None:
        """Delete what ended before ``before`` (milliseconds): by then its messages are gone."""
        await self._writer.execute("DELETE FROM quarantine WHERE until < ?", (before,))


async def _row(connection: aiosqlite.Connection, guild_id: int, user_id: int) -> Detained | None:
    async with connection.execute(
        "SELECT * FROM quarantine WHERE guild_id = ? AND user_id = ?", (guild_id, user_id)
    ) as cursor:
        row = await cursor.fetchone()
    return _held(row) if row else None


def _held(row: aiosqlite.Row) -> Detained:
    return Detained(
        guild_id=row["guild_id"],
        user_id=row["user_id"],
        since=row["since"],
        until=row["until"],
        reasons=tuple(json.loads(row["reasons"])),
        allowed_by=row["allowed_by"],
    )
