"""The daily round: what is too old goes, promised dates are kept, leavers are treated as the settings say.

Runs at start, once a day, and after each night (a promotion may have freed a version that has to go).
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Awaitable, Callable

from ledger.clock import to_ms
from ledger.errors import NightschoolError
from ledger.forgetting import DAY_MS, Forgetting
from ledger.retention import Retention, Swept
from ledger.store import Ledger

log = logging.getLogger(__name__)

Tell = Callable[[int, str], Awaitable[None]]
"""Posts a text where a guild's admins read it."""
IsMember = Callable[[int, int], Awaitable[bool | None]]
"""(guild id, user id) to whether the person is in the guild; None when that cannot be told now."""


class Housekeeping:
    """Sweeps; ``leavers_after_days`` 0 keeps what people shared who left since."""

    def __init__(
        self, ledger: Ledger, forgetting: Forgetting, retention: Retention, *, leavers_after_days: int
    ) -> None:
        self._ledger = ledger
        self._forgetting = forgetting
        self._retention = retention
        self._leavers_after_ms = leavers_after_days * DAY_MS
        self._one_at_a_time = asyncio.Lock()

    async def sweep(self) -> Swept:
        """Complete cut-off deletions and delete what is due; say in the log how much that was."""
        async with self._one_at_a_time:
            await self._forgetting.complete()
            swept = await self._retention.sweep()
        if swept:
            log.info(
                "housekeeping removed %d messages, %d answers, %d datasets, versions: %s",
                sum(swept.messages.values()),
                sum(swept.replies.values()),
                swept.datasets,
                ", ".join(swept.versions) or "none",
            )
        return swept

    async def see_leavers(self, is_member: IsMember) -> list[tuple[int, int]]:
        """Forget consenting people who have been gone for long enough; return (guild, user) of each.

        Asked of Discord one by one, because a list of all members would need another privileged
        intent. Somebody who is back in time is crossed off the list of those who left.
        """
        if not self._leavers_after_ms:
            return []
        now = to_ms(self._ledger.clock.now())
        forgotten = []
        for guild_id in await self._ledger.guilds.all():
            for user_id in await self._ledger.people.kept(guild_id):
                member = await is_member(guild_id, user_id)
                if member is None:
                    continue
                left_at = await self._ledger.people.note_presence(guild_id, user_id, now, here=member)
                if left_at is not None and now - left_at >= self._leavers_after_ms:
                    await self._forgetting.person(guild_id, user_id, asked_by="left the server")
                    forgotten.append((guild_id, user_id))
        return forgotten

    async def see_through(self, *, pause_seconds: float = 60.0) -> None:
        """Go on with deletions that could not be completed at once, for as long as the bot runs.

        Their rows are gone; what waits are files, or bytes in a database that another process was reading.
        Backups are told meanwhile what was answered about consent.
        """
        while True:
            await asyncio.sleep(pause_seconds)
            try:
                # A deletion that has just begun is being worked on by whoever began it.
                before = to_ms(self._ledger.clock.now()) - round(pause_seconds * 1000)
                await self._forgetting.note_beside_backups()
                if any(d.asked_at <= before for d in await self._ledger.deletions.unfinished()):
                    async with self._one_at_a_time:
                        await self._forgetting.complete()
            except (NightschoolError, OSError, sqlite3.Error) as error:
                log.error("a deletion cannot be completed yet, and is tried again: %s", error)

    async def daily(self, is_member: IsMember, tell: Tell, *, pause_seconds: float = 86_400.0) -> None:
        """Sweep now and then once a day, for as long as the bot runs, and tell each guild what went."""
        while True:
            try:
                swept = await self.sweep()
                for guild_id in swept.guilds:
                    await tell(guild_id, swept.of_guild(guild_id))
                await self.see_leavers(is_member)
            except (NightschoolError, OSError, sqlite3.Error) as error:
                log.error("housekeeping is put off until tomorrow: %s", error)
            await asyncio.sleep(pause_seconds)
