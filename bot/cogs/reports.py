"""After each night: the report in the admin channel, with buttons to promote or roll back.

The buttons carry the version in their id and work for as long as the message stands, restarts
included; who may press them is checked on every press.
"""

from __future__ import annotations

import asyncio
import logging
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import discord
from discord.ext import commands

from bot.cogs.adapter import promote, rollback
from bot.interactions import UNANSWERED, acknowledge, admin_check, answer, answer_error
from bot.nights.night_embeds import clipped, report_embeds, report_file
from bot.nights.trainer_process import Night, Nights
from bot.serving.served_versions import Serving
from ledger.clock import to_ms
from ledger.errors import AdapterError
from ledger.forgetting.deletion_path import DAY_MS
from ledger.learned.adapter_versions import unfit
from ledger.learned.outcome import Outcome
from ledger.records import Run
from ledger.store import Ledger

log = logging.getLogger(__name__)

OWED_MS = 7 * DAY_MS
"""How long a report is owed; older ones stand in `/train history`."""
REPORTING_MS = 60_000
"""A night that has just ended is being reported with its samples."""


class VersionButton(
    discord.ui.DynamicItem[discord.ui.Button[discord.ui.View]],
    template=r"night:(?P<action>promote|rollback):(?P<version>g\d+-v\d{6})",
):
    """Promotes or rolls back the version of one report."""

    def __init__(self, action: str, version: str) -> None:
        label, style = (
            ("Roll back", discord.ButtonStyle.danger)
            if action == "rollback"
            else ("Promote it anyway", discord.ButtonStyle.secondary)
        )
        super().__init__(discord.ui.Button(label=label, style=style, custom_id=f"night:{action}:{version}"))
        self.action = action
        self.version = version

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction, item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        return cls(match["action"], match["version"])

    async def callback(self, interaction: discord.Interaction) -> None:
        cog = interaction.client.get_cog("ReportsCog")  # type: ignore[attr-defined]  # a Bot has cogs
        assert isinstance(cog, ReportsCog)  # noqa: S101 - it registered this button
        try:
            await admin_check(interaction)
            await acknowledge(interaction)
            text = await cog.press(interaction, self.action, self.version)
        except Exception as error:  # noqa: BLE001 - answered like the error of a command
            await answer_error(interaction, error)
            return
        await answer(interaction, text)


class ReportsCog(commands.Cog):
    """Tells the admins how the night went."""

    def __init__(
        self, bot: commands.Bot, *, ledger: Ledger, serving: Serving, nights: Nights, admin_channel: str
    ) -> None:
        self.bot = bot
        self.ledger = ledger
        self.serving = serving
        self.nights = nights
        self.admin_channel = admin_channel
        self._one_at_a_time = asyncio.Lock()
        self._unrecorded: list[tuple[int, Outcome]] = []
        self._complained: set[int] = set()
        self._posted: set[str] = set()

    async def cog_load(self) -> None:
        self.bot.add_dynamic_items(VersionButton)
        self.nights.on_finished(self.report)

    async def cog_unload(self) -> None:
        self.bot.remove_dynamic_items(VersionButton)
        self.nights.off_finished(self.report)

    async def report(self, night: Night) -> None:
        """Swap what was promoted in, then post the night's report; what fails is owed."""
        async with self._one_at_a_time:
            await self.serving.sync()
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
            now = to_ms(self.ledger.clock.now())
            for run in await self.ledger.runs.unreported(since=now - OWED_MS, until=now - REPORTING_MS):
                if self.nights.current(run.guild_id) is None:
                    await self._post(run.guild_id, await self._outcome_of(run))

    async def _outcome_of(self, run: Run) -> Outcome:
        """Return what the ledger knows of a night."""
        adapter = await self.ledger.adapters.get(run.guild_id, run.candidate) if run.candidate else None
        picture = str(Path(adapter.path) / "loss_curve.png") if adapter is not None else None
        return Outcome.of_run(run, loss_curve=picture)

    async def _post(self, guild_id: int, outcome: Outcome) -> bool:
        """Post a report and note that it is there; tell whether it is."""
        run = outcome.run
        if run in self._posted:
            await self.ledger.runs.reported(run)
            return True
        guild = self.bot.get_guild(guild_id)
        channel = discord.utils.get(guild.text_channels, name=self.admin_channel) if guild else None
        if channel is None:
            self._complain(guild_id, f"there is no channel #{self.admin_channel}")
            return False
        try:
            await channel.send(**self._content(outcome))
        except UNANSWERED as error:
            self._complain(guild_id, type(error).__name__)
            return False
        self._complained.discard(guild_id)
        if run:
            self._posted.add(run)  # noted below, or, while the database cannot be written, here
            await self.ledger.runs.reported(run)
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
        refusal = self.serving.refusal(outcome.candidate) if outcome.candidate else None
        if refusal is not None:
            content["content"] = clipped(f"⚠️ What served before goes on serving. {refusal}", 2000)
        view = _buttons(outcome)
        if view is not None:
            content["view"] = view
        return content

    async def press(self, interaction: discord.Interaction, action: str, version: str) -> str:
        """Do what a report's button says; return what the admin should read.

        Raises:
            AdapterError: the version is not this guild's, or does not serve (any more).
        """
        guild_id = interaction.guild_id or 0
        adapter = await self.ledger.adapters.require(guild_id, version)
        if action == "promote":
            return await promote(self.ledger, self.serving, guild_id, version, by=interaction.user.id)
        if adapter.state != "champion":
            raise AdapterError(f"`{version}` does not serve any more; see /adapter list.")
        return await rollback(self.ledger, self.serving, guild_id, by=interaction.user.id)


def _buttons(outcome: Outcome) -> discord.ui.View | None:
    action = {"promoted": "rollback", "kept": "promote"}.get(outcome.stage)
    refused = action == "promote" and unfit(outcome.metrics())
    if not outcome.candidate or action is None or refused:
        return None
    view = discord.ui.View(timeout=None)
    view.add_item(VersionButton(action, outcome.candidate))
    return view
