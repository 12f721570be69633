"""Deletes by age or date: old messages, versions past their date, and members who left long ago.

Sweeps at start, once a day, and after each night, whose promotion may have freed a version for deletion;
checks promised dates every minute. :mod:`bot.rounds` says when; nothing here waits.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace

from bot.failures import attempt
from ledger.clock import to_ms
from ledger.clock_watch import ClockWatch
from ledger.forgetting.deletion_path import DAY_MS, Forgetting
from ledger.forgetting.retention import Retention, Swept
from ledger.store import Ledger

log = logging.getLogger(__name__)

DUE_SECONDS = 60.0
DUE_MS = round(DUE_SECONDS * 1000)
DAY_SECONDS = 86_400.0
BELIEVED = "⏰ The clock is right again: nights and deletions by age or date continue."
IsMember = Callable[[int, int], Awaitable[bool | None]]
"""Tells, by guild id and user id, whether somebody is in the guild; None if Discord cannot say now."""


class Housekeeping:
    """Sweeps; with ``leavers_after_days`` 0, what people shared stays when they leave."""

    def __init__(
        self,
        ledger: Ledger,
        forgetting: Forgetting,
        retention: Retention,
        *,
        leavers_after_days: int,
        watch: ClockWatch | None = None,
    ) -> None:
        """``watch`` doubts the clock; while it does, nothing is deleted by age or date."""
        self._ledger = ledger
        self._forgetting = forgetting
        self._retention = retention
        self._leavers_after_ms = leavers_after_days * DAY_MS
        self._watch = watch
        self._tell: Callable[[int, str], None] = lambda guild_id, text: None
        self._told = ""
        # The daily round, the minute's round and a night's end may all come at the same moment.
        self._one_at_a_time = asyncio.Lock()
        # Versions that the minute's rounds deleted: the daily round reports them.
        self._swept_since: list[str] = []

    def tell_with(self, tell: Callable[[int, str], None]) -> None:
        """Use ``tell`` from now on to reach a guild's admins."""
        self._tell = tell

    async def believes(self) -> bool:
        """Return whether the clock can be believed; tell the admins when that changes."""
        if self._watch is None:
            return True
        believed = await self._watch.look()
        if bool(self._told) == believed:
            text = f"⏰ {self._watch.problem}" if not believed else BELIEVED
            log.warning("the clock is %s", "believed again" if believed else "in doubt: it jumped")
            for guild_id in await self._ledger.guilds.all():
                self._tell(guild_id, text)
        self._told = self._watch.problem
        return believed

    async def sweep(self) -> Swept:
        """Complete deletions that were cut off, delete what is due, and log how much that was.

        Nothing is due while the clock is in doubt.
        """
        async with self._one_at_a_time:
            # Before the clock is asked: what somebody asked for is deleted whatever it shows.
            await self._forgetting.complete()
            if not await self.believes():
                return Swept({}, {}, 0, ())
            swept = await self._retention.sweep()
            swept = replace(swept, versions=(*self._swept_since, *swept.versions))
            self._swept_since.clear()
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
        """Forget people who have been gone for long enough; return (guild id, user id) of each.

        Asks Discord about one person at a time, because a list of all members would need another
        privileged intent. Whoever comes back in time is crossed off the list of those who left.
        """
        if not self._leavers_after_ms or not await self.believes():
            return []
        now = to_ms(self._ledger.clock.now())
        forgotten = []
        for guild_id in await self._ledger.guilds.all():
            for user_id in await self._ledger.people.kept(guild_id):
                member = await is_member(guild_id, user_id)
                # Discord cannot be asked now: that is no sign that they left.
                if member is None:
                    continue
                left_at = await self._ledger.people.note_presence(guild_id, user_id, now, here=member)
                if left_at is not None and now - left_at >= self._leavers_after_ms:
                    await self._forgetting.person(guild_id, user_id, asked_by="left the server")
                    forgotten.append((guild_id, user_id))
        return forgotten

    async def what_is_due(self) -> None:
        """Do what must not wait for the daily round.

        Complete deletions that could not be completed at once, delete versions on their date, and note next
        to the backups what was deleted since.
        """
        await attempt(self._delete_due(), "what is due cannot be deleted yet, and is tried again", log)

    async def _delete_due(self) -> None:
        # A younger deletion is still being worked on by whatever began it.
        before = to_ms(self._ledger.clock.now()) - DUE_MS
        open_still = any(each.asked_at <= before for each in await self._ledger.deletions.unfinished())
        async with self._one_at_a_time:
            if open_still:
                await self._forgetting.complete()
            if await self.believes():
                self._swept_since += await self._forgetting.sweep()
            await self._forgetting.note_beside_backups()

    async def daily(self, is_member: IsMember) -> None:
        """Sweep, tell each guild's admins what was deleted, and look for members who left."""
        await attempt(self._sweep_all(is_member), "housekeeping is put off until tomorrow", log)

    async def _sweep_all(self, is_member: IsMember) -> None:
        swept = await self.sweep()
        for guild_id in swept.guilds:
            self._tell(guild_id, f"🧹 {swept.of_guild(guild_id)}")
        await self.see_leavers(is_member)
