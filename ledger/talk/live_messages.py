"""What is said live, many messages at once: one thread takes private values out, one job writes.

Taken one by one, each message cost three jobs and as many looks into the database, and the writer never had
two to share a commit. Knows no Discord and keeps nothing in memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import aiosqlite

from ledger.clock import Clock, to_ms
from ledger.people.guilds import ENSURE_CHANNEL, ENSURE_GUILD
from ledger.people.policy import agrees_since_sql
from ledger.records import OPT_IN, Heard
from ledger.sqlite.writer import Writer
from ledger.talk.messages import INSERT, NAME, Messages

_AGREES = agrees_since_sql(":author_id", ":agreement")


@dataclass(frozen=True, slots=True)
class _Rows:
    """A batch as it is stored. What its messages have in common is there once."""

    guilds: list[tuple[object, ...]]
    channels: list[tuple[object, ...]]
    authors: list[dict[str, object]]
    messages: list[dict[str, object]]


class LiveMessages:
    """Stores what the bot hears."""

    def __init__(self, writer: Writer, clock: Clock, *, messages: Messages) -> None:
        self._writer = writer
        self._clock = clock
        self._messages = messages

    async def store(self, batch: Sequence[Heard]) -> int:
        """Store the messages whose authors agree, in one transaction; return how many were new.

        Whether they agree is looked up in that transaction: nobody who is forgotten meanwhile comes back,
        not even somebody who has agreed again since. Stores guilds, channels and authors' names along. All
        or nothing of the batch is stored. A power cut may undo what was heard in the last seconds.

        Raises:
            LedgerError: the database cannot be written now, or a message has a date or a number that none
                can have.
        """
        # In a thread: texts as long as Discord allows may take milliseconds, and the loop has to go on.
        rows = await asyncio.to_thread(self._rows, batch, to_ms(self._clock.now()))

        async def job(connection: aiosqlite.Connection) -> int:
            # The rows of guild and channel come first: a message refers to both.
            await connection.executemany(ENSURE_GUILD, rows.guilds)
            await connection.executemany(ENSURE_CHANNEL, rows.channels)
            await connection.executemany(NAME.format(condition=_AGREES), rows.authors)
            return (await connection.executemany(INSERT.format(condition=_AGREES), rows.messages)).rowcount

        return await self._writer.run(job, durable=False)

    def _rows(self, batch: Sequence[Heard], now: int) -> _Rows:
        # Whoever talks does so more than once, and a name takes as long to look through as a message.
        as_stored = cache(self._messages.as_stored)
        guilds: dict[int, tuple[object, ...]] = {}
        channels: dict[int, tuple[object, ...]] = {}
        authors: dict[tuple[int, int, int], dict[str, object]] = {}
        messages = []
        for heard in batch:
            said = heard.message
            guilds[said.guild_id] = (said.guild_id, heard.guild_name, now)
            channels[said.channel_id] = (
                said.channel_id,
                said.guild_id,
                as_stored(heard.channel_name),
                heard.mode,
                heard.parent_id,
            )
            row = self._messages.row(said, author_name=as_stored(said.author_name))
            row |= {"basis": OPT_IN, "agreement": heard.agreement}
            # By channel, since somebody may have agreed for one and not for another. The newest goes last.
            author = (said.guild_id, said.author_id, said.channel_id)
            authors.pop(author, None)
            authors[author] = row
            messages.append(row)
        return _Rows(list(guilds.values()), list(channels.values()), list(authors.values()), messages)
