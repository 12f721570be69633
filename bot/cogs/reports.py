"""After each night: the report in the admin channel, with buttons to promote or roll back.

The buttons carry the version in their id and work for as long as the message stands, restarts
included; who may press them is checked on every press.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Mapping
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
from ledger.learned.adapter_versions import VERSION, unfit
from ledger.records import Run
from ledger.store import Ledger

log = logging.getLogger(__name__)

OWED_MS = 7 * DAY_MS
"""How long a report is owed; older ones stand in `/train history`."""
REPORTING_MS = 60_000
"""A night that has just ended is being reported with its samples."""


class VersionButton(
    discord.ui.DynamicItem[discord.ui.Button[discord.ui.View]],
    template=rf"night:(?P<action>promote|rollback):(?P<version>{VERSION.pattern})",
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
        self._unrecorded: list[tuple[int, Mapping[str, Any]]] = []
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
            if not await self._post(night.guild_id, night.outcome) and not night.outcome.get("run"):
                # The ledger knows nothing of a night that could not begin.
                facts = {key: value for key, value in night.outcome.items() if key != "samples"}
                self._unrecorded.append((night.guild_id, facts))

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

    async def _outcome_of(self, run: Run) -> dict[str, Any]:
        """Return what the ledger knows of a night, in the form that the trainer reports it in."""
        scores = run.metrics.get("scores") or {}
        adapter = await self.ledger.adapters.get(run.guild_id, run.candidate) if run.candidate else None
        picture = str(Path(adapter.path) / "loss_curve.png") if adapter is not None else None
        return {
            "run": run.id,
            "stage": run.stage,
            "candidate": run.candidate,
            "verdict": run.verdict,
            "reasons": run.reasons,
            "counts": run.counts,
            "error": run.error,
            "recitals": run.metrics.get("recitals"),
            "perplexity": {name: score["perplexity"] for name, score in scores.items()},
            "nll": {name: score["nll"] for name, score in scores.items()},
            "loss_curve": picture,
            "seconds": ((run.finished_at or run.created_at) - run.created_at) / 1000,
        }

    async def _post(self, guild_id: int, outcome: Mapping[str, Any]) -> bool:
        """Post a report and note that it is there; tell whether it is."""
        run = str(outcome.get("run") or "")
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

    def _content(self, outcome: Mapping[str, Any]) -> dict[str, Any]:
        file = report_file(outcome)
        content: dict[str, Any] = {"embeds": report_embeds(outcome)}
        if file is not None:
            content["file"] = file
        refusal = self.serving.refusal(str(outcome.get("candidate")))
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


def _buttons(outcome: Mapping[str, Any]) -> discord.ui.View | None:
    candidate = outcome.get("candidate")
    action = {"promoted": "rollback", "kept": "promote"}.get(str(outcome.get("stage")))
    refused = action == "promote" and unfit(outcome)
    if not candidate or action is None or refused:
        return None
    view = discord.ui.View(timeout=None)
    view.add_item(VersionButton(action, str(candidate)))
    return view
