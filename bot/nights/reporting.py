"""Reports of nights in the admins' channel: posted when a night ends, and owed until they stand there.

A report quotes three answers to members' questions; those are shown once and kept nowhere.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import discord

from bot.failures import DISCORD_AWAY
from bot.hosting.admins import admin_channel
from bot.nights.night_embeds import report_embeds, report_file
from bot.nights.trainer_process import Nights, WatchedNight
from bot.plain_text import clipped
from bot.serving.served_versions import ServedVersions
from bot.serving.version_buttons import VersionButton
from ledger.clock import to_ms
from ledger.forgetting.deletion_path import DAY_MS
from ledger.learned.outcome import Outcome
from ledger.learned.promotions import unfit
from ledger.records import Run
from ledger.store import Ledger

log = logging.getLogger(__name__)

OWED_MS = 7 * DAY_MS
"""How long a report is owed; older ones stand in `/train history`."""
REPORTING_MS = 60_000
"""A night that has just ended is being reported with its samples."""


class NightReports:
    """Tells a server's admins how its night went; what cannot be posted is owed."""

    def __init__(
        self,
        client: discord.Client,
        *,
        ledger: Ledger,
        serving: ServedVersions,
        nights: Nights,
        admin_channel: str,
    ) -> None:
        self._client = client
        self._ledger = ledger
        self._serving = serving
        self._nights = nights
        self._admin_channel = admin_channel
        self._one_at_a_time = asyncio.Lock()
        self._unrecorded: list[tuple[int, Outcome]] = []
        self._complained: set[int] = set()
        self._posted: set[str] = set()

    async def report(self, night: WatchedNight) -> None:
        """Swap what was promoted in, then post the night's report; what fails is owed."""
        async with self._one_at_a_time:
            # First, so that the report can say whether the engine took what was promoted.
            await self._serving.sync()
            outcome = night.outcome
            assert outcome is not None  # noqa: S101 - it has ended
            if not await self._post(night.guild_id, outcome) and not outcome.run:
                # The ledger knows nothing of a night that could not begin.
                self._unrecorded.append((night.guild_id, replace(outcome, samples=())))

    async def deliver_owed(self) -> None:
        """Post the reports that could not be posted when their nights ended, without their samples.

        Samples quote members: they are shown once and kept nowhere.
        """
        async with self._one_at_a_time:
            waiting, self._unrecorded = self._unrecorded, []
            for guild_id, outcome in waiting:
                if not await self._post(guild_id, outcome):
                    self._unrecorded.append((guild_id, outcome))
            now = to_ms(self._ledger.clock.now())
            for run in await self._ledger.runs.unreported(since=now - OWED_MS, until=now - REPORTING_MS):
                if self._nights.current(run.guild_id) is None:
                    await self._post(run.guild_id, await self._outcome_of(run))

    async def _outcome_of(self, run: Run) -> Outcome:
        """Return what the ledger knows of a night."""
        adapter = await self._ledger.adapters.get(run.guild_id, run.candidate) if run.candidate else None
        picture = str(Path(adapter.path) / "loss_curve.png") if adapter is not None else None
        return Outcome.of_run(run, loss_curve=picture)

    async def _post(self, guild_id: int, outcome: Outcome) -> bool:
        """Post a report and note that it is there; tell whether it is."""
        run = outcome.run
        if run in self._posted:
            await self._ledger.runs.reported(run)
            return True
        guild = self._client.get_guild(guild_id)
        channel = admin_channel(guild, self._admin_channel)
        if channel is None:
            self._complain(guild_id, f"there is no channel #{self._admin_channel}")
            return False
        try:
            await channel.send(**self._content(outcome))
        except DISCORD_AWAY as error:
            self._complain(guild_id, type(error).__name__)
            return False
        self._complained.discard(guild_id)
        if run:
            self._posted.add(run)  # noted below, or, while the database cannot be written, here
            await self._ledger.runs.reported(run)
        return True

    def _complain(self, guild_id: int, reason: str) -> None:
        """Say in the log, once, why a report is owed: it is tried again every minute."""
        if guild_id not in self._complained:
            self._complained.add(guild_id)
            log.error("a report for guild %d is still to be posted: %s", guild_id, reason)

    def _content(self, outcome: Outcome) -> dict[str, Any]:
        file = report_file(outcome)
        content: dict[str, Any] = {"embeds": report_embeds(outcome)}
        if file is not None:
            content["file"] = file
        refusal = self._serving.refusal(outcome.candidate) if outcome.candidate else None
        if refusal is not None:
            content["content"] = clipped(f"⚠️ What served before keeps serving. {refusal}", 2000)
        view = _buttons(outcome)
        if view is not None:
            content["view"] = view
        return content


def _buttons(outcome: Outcome) -> discord.ui.View | None:
    action = {"promoted": "rollback", "kept": "promote"}.get(outcome.stage)
    refused = action == "promote" and unfit(outcome.metrics())
    if not outcome.candidate or action is None or refused:
        return None
    view = discord.ui.View(timeout=None)
    view.add_item(VersionButton(action, outcome.candidate))
    return view
