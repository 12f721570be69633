"""Messages that wait in memory while the database cannot be written, and are stored in order afterwards.

Another process may hold the database for minutes (a backup, a shell left open), or the disk may be full
for a while, and Discord sends a message only once. The queue is bounded; what it had to drop is counted
and reported to the admins. Knows no Discord event and no rule about consent.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from itertools import islice

from bot.background import Background
from bot.failures import LEDGER_AWAY, reason
from ledger.records import Heard, Message

log = logging.getLogger(__name__)

LIMIT = 10_000
"""How many messages may wait: some 10 MB."""
BATCH = 128
"""How many messages are written at once. 256 save 5% of the CPU and make the event loop's lag half as long
again; 64 cost 15%."""
RETRY_SECONDS = 5.0
TELL_SECONDS = 60.0
"""How long the trouble has to last before admins hear of it."""

Tell = Callable[[int, str], None]


class Backlog:
    """Takes what is heard and writes it at once, or as soon as that is possible."""

    def __init__(
        self,
        write: Callable[[Sequence[Heard]], Awaitable[object]],
        *,
        background: Background,
        tell: Tell,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """``write`` stores all it is given or nothing, and leaves out whoever was forgotten meanwhile."""
        self._write = write
        self.in_order = asyncio.Lock()
        """Held by callers: events run side by side, and a deletion must not overtake its message."""
        self._background = background
        self._tell = tell
        self._sleep = sleep
        self._monotonic = monotonic
        self._waiting: deque[Heard] = deque()
        self._since = 0.0
        self._told: set[int] = set()
        self._lost: Counter[int] = Counter()

    def __len__(self) -> int:
        return len(self._waiting)

    async def take(self, batch: Sequence[Heard]) -> None:
        """Write the messages, after any that are waiting; the caller holds ``in_order``."""
        if not batch:
            return
        # Waits behind the others even if the database is free again, or it would overtake them.
        if not self._waiting:
            try:
                await self._write(batch)
                return
            except LEDGER_AWAY as error:
                log.error("messages wait in memory until they can be stored: %s", reason(error))
                self._since = self._monotonic()
                self._background.run(self._until_written(), name="backlog")
        for heard in batch:
            if len(self._waiting) == LIMIT:  # the oldest goes: answers need what was said last
                self._lost[self._waiting.popleft().message.guild_id] += 1
            self._waiting.append(heard)

    def drop(self, gone: Callable[[Message], bool]) -> None:
        """Drop waiting messages that were deleted meanwhile; the caller holds ``in_order``."""
        self._waiting = deque(heard for heard in self._waiting if not gone(heard.message))

    def replace(self, message: Message) -> bool:
        """Give a waiting message its new words, or drop it if it has none; return whether it was waiting.

        The caller holds ``in_order``.
        """
        if not message.content:
            before = len(self._waiting)
            self.drop(lambda waiting: waiting.id == message.id)
            return len(self._waiting) < before
        for index, heard in enumerate(self._waiting):
            if heard.message.id == message.id:
                self._waiting[index] = replace(heard, message=message)
                return True
        return False

    async def _until_written(self) -> None:
        while self._waiting:
            await self._sleep(RETRY_SECONDS)
            await self._try()
            if self._waiting and self._monotonic() - self._since >= TELL_SECONDS:
                self._complain()
        log.info("everything that waited is stored")
        for guild_id in self._told | set(self._lost):
            lost = self._lost[guild_id]
            text = f" Messages lost: {lost:,}." if lost else " Nothing was lost."
            self._tell(guild_id, f"📖 I can write to the database again, and what waited is stored.{text}")
        self._told.clear()
        self._lost.clear()

    async def _try(self) -> None:
        size = BATCH
        while self._waiting:
            # One batch a turn: a deletion or an edit in between finds a message either waiting or stored.
            async with self.in_order:
                batch = list(islice(self._waiting, size))
                if not batch:
                    return
                try:
                    await self._write(batch)
                except LEDGER_AWAY as error:
                    log.warning("%d messages still wait to be stored: %s", len(self._waiting), reason(error))
                    return
                except Exception as error:  # noqa: BLE001 - a defect must not block the queue
                    if len(batch) > 1:
                        size = 1  # to find out which one it is
                        continue
                    size = BATCH
                    # Not its text, which may hold the message.
                    log.error("a message cannot be stored at all: %s", type(error).__name__)
                    self._lost[batch[0].message.guild_id] += 1
                # Only now: what could not be written stays the first in line.
                for _ in batch:
                    self._waiting.popleft()

    def _complain(self) -> None:
        waiting = Counter(heard.message.guild_id for heard in self._waiting)
        for guild_id in waiting.keys() - self._told:
            self._told.add(guild_id)
            self._tell(
                guild_id,
                f"⚠️ I cannot write to my database. {waiting[guild_id]:,} messages are waiting in memory, and "
                "I keep trying. My log says why: another process may hold the file, or the disk may be full.",
            )
