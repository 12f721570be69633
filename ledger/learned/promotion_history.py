"""What served when, read from the table ``promotions`` within a transaction of the caller's."""

from __future__ import annotations

import aiosqlite

GIVEN_UP = (
    "SELECT back.replaced FROM promotions back WHERE back.kind = 'rollback' AND NOT EXISTS"
    # Going back to a version makes it serve again, as promoting it does.
    " (SELECT 1 FROM promotions p WHERE p.version = back.replaced AND p.id > back.id)"
)


async def is_given_up(connection: aiosqlite.Connection, version: str) -> bool:
    async with connection.execute(f"{GIVEN_UP} AND back.replaced = ?", (version,)) as cursor:
        return await cursor.fetchone() is not None


async def champion_version(connection: aiosqlite.Connection, guild_id: int) -> str | None:
    async with connection.execute(
        "SELECT version FROM adapters WHERE guild_id = ? AND state = 'champion'", (guild_id,)
    ) as cursor:
        row = await cursor.fetchone()
    return str(row["version"]) if row else None


async def below_champion(connection: aiosqlite.Connection, guild_id: int) -> str | None:
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
