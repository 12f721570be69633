"""What a version knows: its own night's messages and those of every version that it grew from.

A night may start from the champion, so that what a parent learned, its children know. Identifiers and
roles alone, never text.
"""

from __future__ import annotations

from typing import cast

from ledger.records import LEARNED, ROLES, Role
from ledger.sqlite.database import Reader

_LINE = (
    "WITH RECURSIVE line (version, parent, run_id) AS ("
    " SELECT version, parent, run_id FROM adapters WHERE version = ?"
    " UNION SELECT a.version, a.parent, a.run_id FROM line JOIN adapters a ON a.version = line.parent)"
)


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

    async def targets_of(self, version: str) -> set[int]:
        """Return the messages that the version, or one that it grew from, learned to write."""
        return await self._messages(version, "role = 'target'")

    async def seen_by(self, version: str) -> set[int]:
        """Return every message that had a part in what the version became."""
        return await self._messages(version, learned_sql("role"))

    async def authors_of(self, version: str) -> dict[int, int]:
        """Return who wrote each message that had a part in what the version became."""
        async with self._reader.execute(
            f"{_LINE} SELECT message_id, author_id FROM run_messages WHERE {learned_sql('role')}"
            " AND run_id IN (SELECT run_id FROM line)",
            (version,),
        ) as cursor:
            return {int(row["message_id"]): int(row["author_id"]) async for row in cursor}

    async def _messages(self, version: str, where: str) -> set[int]:
        async with self._reader.execute(
            f"{_LINE} SELECT DISTINCT message_id FROM run_messages WHERE {where}"
            " AND run_id IN (SELECT run_id FROM line)",
            (version,),
        ) as cursor:
            return {int(row["message_id"]) async for row in cursor}

    async def roles(self, guild_id: int) -> dict[int, Role]:
        """Return how the guild's nights used each message; in several ways: the one that learned most.

        What a night had that failed or was cancelled is still new to the next one.
        """
        async with self._reader.execute(
            "SELECT message_id, role FROM run_messages JOIN runs ON runs.id = run_id WHERE guild_id = ?"
            " AND stage IN ('promoted', 'kept')",
            (guild_id,),
        ) as cursor:
            found: dict[int, Role] = {}
            async for row in cursor:
                role = cast("Role", row["role"])
                found[row["message_id"]] = min(role, found.get(row["message_id"], role), key=ROLES.index)
            return found

    async def split_key(self) -> bytes:
        """Return the secret that decides which part a conversation belongs to."""
        async with self._reader.execute("SELECT key FROM split_key") as cursor:
            row = await cursor.fetchone()
        return bytes(row["key"]) if row else b""


__all__ = ["Lineage", "learned_sql"]
