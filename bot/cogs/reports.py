"""After each night: hears that it ended, has its report posted, and takes the presses of its buttons.

The buttons carry the version in their id and work for as long as the message stands, restarts
included; who may press them is checked on every press.
"""

from __future__ import annotations

from discord.ext import commands

from bot.nights.reporting import NightReports
from bot.nights.trainer_process import Nights
from bot.serving.version_buttons import VersionButton


class ReportsCog(commands.Cog):
    """Listens for the ends of nights."""

    def __init__(self, bot: commands.Bot, *, reports: NightReports, nights: Nights) -> None:
        self.bot = bot
        self.reports = reports
        self.nights = nights

    async def cog_load(self) -> None:
        self.bot.add_dynamic_items(VersionButton)
        self.nights.on_finished(self.reports.report)

    async def cog_unload(self) -> None:
        self.bot.remove_dynamic_items(VersionButton)
        self.nights.off_finished(self.reports.report)
