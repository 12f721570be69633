"""Messages that wait for a database which cannot be written: kept in memory, in order, and tried again.

Another process may hold the database for minutes (a backup, a shell left open), or the disk be full for
a while. Discord tells of a message once. What waits is bounded; what had to be dropped is counted and
told to the admins. Knows no Discord event and no rule about consent.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from bot.background import Background
from bot.failures import LEDGER_AWAY, reason
from ledger.records import ChannelMode, Message

log = logging.getLogger(__name__)

LIMIT = 10_000
"""Messages that wait at most: some 10 MB."""
RETRY_SECONDS = 5.0
TELL_SECONDS = 60.0
"""How long the trouble lasts before admins read of it."""

Tell = Callable[[int, str], None]


@dataclass(frozen=True, slots=True)
class Heard:
    """A message to be kept, with what is stored about its channel."""

    message: Message
    guild_name: str
    channel_name: str
    mode: ChannelMode
    parent_id: int | None


class Backlog:
    """Takes what is heard: written at once, or as soon as that is possible."""

    def __init__(
        self,
        write: Callable[[Heard, bool], Awaitable[None]],
        *,
        background: Background,
        tell: Tell,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """``write`` hears whether the message had to wait: its author may have been forgotten since."""
        self._write = write
        self.in_order = asyncio.Lock()
        """Whoever calls holds it, so that what follows a message does not overtake it."""
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

    async def take(self, heard: Heard) -> None:
        """Write the message, behind those that wait if there are any; the caller holds ``in_order``."""
        if not self._waiting:
            try:
                await self._write(heard, False)
                return
            except LEDGER_AWAY as error:
                log.error("messages wait in memory until they can be stored: %s", reason(error))
                self._since = self._monotonic()
                self._background.run(self._until_written(), name="backlog")
        if len(self._waiting) == LIMIT:
            self._lost[self._waiting.popleft().message.guild_id] += 1
        self._waiting.append(heard)

    def drop(self, gone: Callable[[Message], bool]) -> None:
        """Forget what waits and was deleted meanwhile; the caller holds ``in_order``."""
        self._waiting = deque(heard for heard in self._waiting if not gone(heard.message))

    def replace(self, message: Message) -> bool:
        """Let a message wait in its new words, if any; tell whether it was waiting.

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
            text = f" {lost:,} messages were lost." if lost else " Nothing was lost."
            self._tell(guild_id, f"📖 The database can be written again, and what waited is stored.{text}")
        self._told.clear()
        self._lost.clear()

    async def _try(self) -> None:
        while self._waiting:
            # In its turn: a deletion or an edit that comes now finds it waiting, or stored.
            async with self.in_order:
                if not self._waiting:
                    return
                try:
                    await self._write(self._waiting[0], True)
                except LEDGER_AWAY as error:
                    log.warning("%d messages still wait to be stored: %s", len(self._waiting), reason(error))
                    return
                except Exception as error:  # noqa: BLE001 - named, not quoted: its text may hold the message
                    log.error("a message cannot be stored at all: %s", type(error).__name__)
                    self._lost[self._waiting[0].message.guild_id] += 1
                self._waiting.popleft()

    def _complain(self) -> None:
        waiting = Counter(heard.message.guild_id for heard in self._waiting)
        for guild_id in waiting.keys() - self._told:
            self._told.add(guild_id)
            self._tell(
                guild_id,
                f"⚠️ I cannot write to my database. {waiting[guild_id]:,} messages wait in my memory, and I "
                "go on trying. My log says why: another process may hold the file, or the disk be full.",
            )
