"""What a version knows: its own night's messages and those of every version that it grew from.

A night may start from the champion, so that what a parent learned, its children know. Identifiers and
roles alone, never text.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import cast

from ledger.records import LEARNED, ROLES, Role
from ledger.sqlite.database import Reader

_LINE = (
    "WITH RECURSIVE line (version, parent, run_id) AS ("
    " SELECT version, parent, run_id FROM adapters WHERE version = ?"
    " UNION SELECT a.version, a.parent, a.run_id FROM line JOIN adapters a ON a.version = line.parent)"
)
_AMONG = " AND message_id IN (SELECT value FROM json_each(?))"


def learned_sql(column: str) -> str:
    """Return the SQL condition that a role, in ``column``, had a part in what a version became."""
    return f"{column} IN ({', '.join(repr(role) for role in LEARNED)})"


class Lineage:
    """Reads what versions grew from, and how nights used messages."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def versions(self, version: str) -> list[str]:
        """Return the version and those that it grew from, newest first."""
        async with self._reader.execute(f"{_LINE} SELECT version FROM line", (version,)) as cursor:
            return [str(row["version"]) async for row in cursor]

    async def targets_of(self, version: str, *, among: Collection[int] | None = None) -> set[int]:
        """Return the messages that the version, or one that it grew from, learned to write.

        With ``among`` only of these: years of nights name a million.
        """
        return await self._messages(version, "role = 'target'", among)

    async def seen_by(self, version: str, *, among: Collection[int] | None = None) -> set[int]:
        """Return every message, or every one of ``among``, that had a part in what the version became."""
        return await self._messages(version, learned_sql("role"), among)

    async def authors_of(self, version: str) -> dict[int, int]:
        """Return who wrote each message that had a part in what the version became."""
        async with self._reader.execute(
            f"{_LINE} SELECT message_id, author_id FROM run_messages WHERE {learned_sql('role')}"
            " AND run_id IN (SELECT run_id FROM line)",
            (version,),
        ) as cursor:
            return {int(row["message_id"]): int(row["author_id"]) async for row in cursor}

    async def _messages(self, version: str, where: str, among: Collection[int] | None) -> set[int]:
        # The plus: with a few messages at hand SQLite looks those up, instead of all that the nights read.
        of_these, run = (_AMONG, "+run_id") if among is not None else ("", "run_id")
        async with self._reader.execute(
            f"{_LINE} SELECT DISTINCT message_id FROM run_messages WHERE {where}{of_these}"
            f" AND {run} IN (SELECT run_id FROM line)",
            (version, *([json.dumps(list(among))] if among is not None else [])),
        ) as cursor:
            return {int(row["message_id"]) for row in await cursor.fetchall()}

    async def roles(self, guild_id: int, among: Collection[int]) -> dict[int, Role]:
        """Return how the guild's nights used each message; in several ways: the one that learned most.

        What a night had that failed or was cancelled is still new to the next one.
        """
        # CROSS JOIN keeps SQLite in this order: the messages first, by their index, and then their nights.
        async with self._reader.execute(
            "SELECT message_id, role FROM run_messages CROSS JOIN runs ON runs.id = run_id"
            f" WHERE guild_id = ?{_AMONG} AND stage IN ('promoted', 'kept')",
            (guild_id, json.dumps(list(among))),
        ) as cursor:
            found: dict[int, Role] = {}
            for row in await cursor.fetchall():
                role = cast("Role", row["role"])
                found[row["message_id"]] = min(role, found.get(row["message_id"], role), key=ROLES.index)
            return found

    async def split_key(self) -> bytes:
        """Return the secret that decides which part a conversation belongs to."""
        async with self._reader.execute("SELECT key FROM split_key") as cursor:
            row = await cursor.fetchone()
        return bytes(row["key"]) if row else b""


__all__ = ["Lineage", "learned_sql"]
