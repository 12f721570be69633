"""Up to where stored messages have been compared with what Discord still has.

After each new session all of them have to be, newest first, a hundred a call: hours for a long history. A
session that begins meanwhile goes on from where the last one was, round to the same place, so that a bot that
is restarted often reaches the oldest as well. Knows numbers of messages; asks Discord nothing.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from ledger.sqlite.database import Reader
from ledger.sqlite.writer import Writer

TOP = 2**63 - 1
"""Above every message."""
_BITS = 22
"""Bits of a snowflake below its milliseconds."""


class Comparisons:
    """The marks, a channel each."""

    def __init__(self, reader: Reader, writer: Writer) -> None:
        self._reader, self._writer = reader, writer

    async def begin(self, guild_id: int) -> None:
        """Note that everything stored of the guild has to be compared from now on."""
        await self._writer.execute(
            "INSERT INTO comparisons SELECT id, :top, :top FROM channels WHERE guild_id = :guild"
            " ON CONFLICT (channel_id) DO UPDATE SET turn = next",
            {"guild": guild_id, "top": TOP},
        )

    async def due(self, guild_id: int) -> dict[int, tuple[int, int]]:
        """Return the mark, (next, turn), of each channel of which something is still to be compared."""
        async with self._reader.execute(
            "SELECT channel_id, next, turn FROM comparisons JOIN channels ON channels.id = channel_id"
            " WHERE guild_id = ? ORDER BY channel_id",
            (guild_id,),
        ) as cursor:
            return {int(row[0]): (int(row[1]), int(row[2])) async for row in cursor}

    async def reached(self, channel_id: int, message_id: int) -> None:
        """Note that a channel has been compared down to a message, by the time of which it is noted.

        A number would outlive its message.
        """
        await self._writer.execute(
            # Not synced: after a power cut some messages are compared twice.
            "UPDATE comparisons SET next = ? WHERE channel_id = ?",
            (((message_id >> _BITS) + 1) << _BITS, channel_id),
            durable=False,
        )

    async def turned(self, channel_id: int) -> None:
        """Note that a channel has been compared down to its first message."""
        await self._writer.execute(
            "UPDATE comparisons SET next = ? WHERE channel_id = ?", (TOP, channel_id), durable=False
        )

    async def done(self, channel_id: int) -> None:
        """Note that all of a channel has been compared."""
        await self._writer.execute("DELETE FROM comparisons WHERE channel_id = ?", (channel_id,))


def still_to_compare(ids: Sequence[int], mark: tuple[int, int]) -> tuple[Sequence[int], Sequence[int]]:
    """Return what of the sorted ``ids`` is to be compared before and after the turn at the first of them."""
    following, turn = mark
    end, start = bisect_left(ids, following), bisect_left(ids, turn)
    return (ids[:end], ids[start:]) if following <= turn else ((), ids[start:end])


__all__ = ["TOP", "Comparisons", "still_to_compare"]
