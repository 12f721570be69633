"""Rows of a guild that are asked for at every message, kept in memory and in step with what is committed.

A first answer, and never the last word: what is written down is decided in the transaction that writes.
Knows no table.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Generic, TypeVar

V = TypeVar("V")


class GuildCache(Generic[V]):
    """Values by guild and id, each guild's read when it is first asked for."""

    def __init__(self, read: Callable[[int], Awaitable[dict[int, V]]]) -> None:
        self._read = read
        self._guilds: dict[int, dict[int, V]] = {}
        self._changes = 0

    def peek(self, guild_id: int) -> Mapping[int, V] | None:
        """Return a guild's values as of the last commit; None if they have to be read first."""
        return self._guilds.get(guild_id)

    async def get(self, guild_id: int) -> Mapping[int, V]:
        """Return a guild's values, read where they are not in memory.

        Raises:
            LedgerError: the database cannot be read.
        """
        known = self._guilds.get(guild_id)
        if known is not None:
            return known
        before = self._changes
        found = await self._read(guild_id)
        # What was read may be from before a change that was reported meanwhile: good for once, as any
        # read is, and not to be kept.
        if before == self._changes:
            self._guilds[guild_id] = found
        return found

    def put(self, guild_id: int, number: int, value: V | None) -> None:
        """Take over what a commit wrote; None where there is nothing to know any more."""
        self._changes += 1
        guild = self._guilds.get(guild_id)
        if guild is None:
            return
        if value is None:
            guild.pop(number, None)
        else:
            guild[number] = value

    def clear(self) -> None:
        """Drop everything: something was changed that was not reported row by row."""
        self._changes += 1
        self._guilds.clear()
