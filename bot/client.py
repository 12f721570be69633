"""The Discord client: intents, cogs, and the list of guilds kept in step with the ledger.

Holds no feature of its own; each cog takes from the services what it needs.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3

import discord
from discord import app_commands
from discord.ext import commands

from bot.cogs.adapter import AdapterCog
from bot.cogs.channel import ChannelCog
from bot.cogs.chat import ChatCog
from bot.cogs.consent import ConsentCog
from bot.cogs.hand_in import HandInCog
from bot.cogs.privacy import PrivacyCog
from bot.cogs.recorder import RecorderCog
from bot.cogs.reports import ReportsCog
from bot.cogs.status import StatusCog
from bot.cogs.train import TrainCog
from bot.hosting.syncing import sync_commands
from bot.interactions import answer_error
from bot.keeping.catching_up import CatchingUp
from bot.nights.trainer_process import Night
from bot.services import Services
from ledger.errors import NightschoolError
from ledger.records import Source

log = logging.getLogger(__name__)

OWED_SECONDS = 60.0
READY_SECONDS = 60.0
"""How long the daily round waits for Discord before it goes on without."""


def intents() -> discord.Intents:
    """Return what the bot asks Discord for: guilds, messages with content, and reactions."""
    wanted = discord.Intents.none()
    wanted.guilds = True
    wanted.messages = True
    wanted.message_content = True
    wanted.reactions = True
    return wanted


class Tree(app_commands.CommandTree["NightschoolBot"]):
    """The slash commands; whatever goes wrong in one becomes a reply."""

    async def on_error(self, interaction: discord.Interaction, error: app_commands.AppCommandError) -> None:
        await answer_error(interaction, error)


class NightschoolBot(commands.Bot):
    """Connects the services to Discord."""

    def __init__(self, services: Services, *, source: Source = "discord") -> None:
        """``source`` is noted with each message; what did not come from Discord has no policy lock."""
        super().__init__(
            command_prefix=commands.when_mentioned,
            help_command=None,
            intents=intents(),
            allowed_mentions=discord.AllowedMentions.none(),
            tree_cls=Tree,
            # Guild commands and the recorder need no member list, which would be a privileged intent.
            member_cache_flags=discord.MemberCacheFlags.none(),
            max_messages=None,  # a cache of what was said, which no deletion would reach
            chunk_guilds_at_startup=False,
        )
        self.services = services
        self._source = source

    async def setup_hook(self) -> None:
        s = self.services
        recorder = RecorderCog(
            self,
            ledger=s.ledger,
            forgetting=s.forgetting,
            background=s.background,
            source=self._source,
            tell=self.tell_soon,
        )
        await self.add_cog(recorder)
        chat = ChatCog(
            self,
            settings=s.settings,
            ledger=s.ledger,
            scribes=s.scribes,
            answering=s.answering,
            serving=s.serving,
            recorder=recorder,
            tell=self.tell_soon,
        )
        await self.add_cog(chat)
        self.catching_up = CatchingUp(self, ledger=s.ledger, recorder=recorder, chat=chat)
        await self.add_cog(TrainCog(nights=s.nights, ledger=s.ledger, background=s.background))
        await self.add_cog(AdapterCog(ledger=s.ledger, serving=s.serving))
        await self.add_cog(ChannelCog(ledger=s.ledger))
        self._privacy = PrivacyCog(
            self,
            ledger=s.ledger,
            forgetting=s.forgetting,
            retention_days=s.settings.retention.days,
            adapter_days=s.settings.retention.adapter_days,
        )
        await self.add_cog(self._privacy)
        await self.add_cog(HandInCog(self, ledger=s.ledger, handing_in=s.handing_in))
        await self.add_cog(ConsentCog(ledger=s.ledger, bot_name=s.settings.bot.name))
        await self.add_cog(StatusCog(services=s))
        self._reports = ReportsCog(
            self,
            ledger=s.ledger,
            serving=s.serving,
            nights=s.nights,
            admin_channel=s.settings.bot.admin_channel,
        )
        await self.add_cog(self._reports)
        s.background.run(self._sync_commands(), name="slash commands")
        s.schedule.tell_with(self.tell_soon)
        s.housekeeping.tell_with(self.tell_soon)
        s.nights.on_finished(self._tidy_up)
        s.background.run(s.housekeeping.daily(self.is_member, self._tell_swept), name="housekeeping")
        s.background.run(self._deliver_owed(), name="what is owed")
        s.background.run(s.housekeeping.see_through(), name="unfinished deletions")

    async def _deliver_owed(self) -> None:
        """Note every minute what was heard, and deliver what could not be at once: reports, receipts."""
        await self.wait_until_ready()
        while True:
            for deliver in (
                self.catching_up.note_heard,
                self._reports.deliver_owed,
                self._privacy.deliver_owed,
            ):
                try:
                    await deliver()
                except Exception as error:  # noqa: BLE001 - one report's defect must not end the others
                    log.error("what is owed could not be delivered yet: %s", type(error).__name__)
            await asyncio.sleep(OWED_SECONDS)

    async def _sync_commands(self) -> None:
        await sync_commands(self.tree, self.services.settings.data_dir / "commands.synced")

    async def _tidy_up(self, night: Night) -> None:
        """Delete what a promotion has freed: versions that learned from something deleted since."""
        await self.services.housekeeping.sweep()

    async def _tell_swept(self, guild_id: int, text: str) -> None:
        self.tell_soon(guild_id, f"🧹 {text}")

    def tell_soon(self, guild_id: int, text: str) -> None:
        """Have the guild's admins read a text; returns at once, since nothing else may wait for Discord."""
        self.services.background.run(self.tell_admins(guild_id, text), name="telling")

    async def tell_admins(self, guild_id: int, text: str) -> None:
        """Post a text in the guild's admin channel; where there is none, it stands in the log alone."""
        await self.wait_until_ready()
        guild = self.get_guild(guild_id)
        name = self.services.settings.bot.admin_channel
        channel = discord.utils.get(guild.text_channels, name=name) if guild else None
        if channel is None:
            return
        try:
            await channel.send(text)
        except discord.HTTPException as error:
            log.error("guild %d could not be told something: %s", guild_id, error)

    async def is_member(self, guild_id: int, user_id: int) -> bool | None:
        """Tell whether the person is in the guild; None when Discord cannot be asked now."""
        try:
            async with asyncio.timeout(READY_SECONDS):
                await self.wait_until_ready()  # before that the bot knows no guild
        except TimeoutError:
            return None
        guild = self.get_guild(guild_id)
        if guild is None:
            return None
        try:
            await guild.fetch_member(user_id)
        except discord.NotFound:
            return False
        except discord.HTTPException:
            return None
        return True

    async def on_message(self, message: discord.Message) -> None:
        """Leave messages to the cogs, but for their time: there are no prefix commands."""
        self.services.watch.heard(message.created_at)

    async def on_ready(self) -> None:
        self.catching_up.connected()
        for guild in self.guilds:
            try:
                await self._joined(guild)
            except (NightschoolError, OSError, sqlite3.Error) as error:
                # What follows must not wait for a database that is held for a minute.
                log.error("guild %d could not be noted: %s", guild.id, type(error).__name__)
        log.info("connected as %s to %d guild(s)", self.user, len(self.guilds))
        # A session that begins anew was told nothing of what happened before it.
        self.services.background.run(self.catch_up(), name="catching-up")
        # Nights that were due while the bot was off are made up now that it knows its guilds.
        await self.services.schedule.tick()

    async def on_disconnect(self) -> None:
        self.catching_up.lost()

    async def on_resumed(self) -> None:
        """Go on listening: Discord has told everything that was said meanwhile."""
        self.catching_up.resumed()

    async def catch_up(self) -> None:
        """Look for what Discord did not tell."""
        await self.catching_up.until_seen()

    async def _joined(self, guild: discord.Guild) -> None:
        assert self.user is not None  # noqa: S101 - no event comes before the login
        await self.services.ledger.guilds.joined(guild.id, guild.name, self.user.id)

    async def on_guild_join(self, guild: discord.Guild) -> None:
        await self._joined(guild)
        self.catching_up.joined(guild.id)

    async def on_guild_available(self, guild: discord.Guild) -> None:
        await self._joined(guild)

    async def on_guild_update(self, before: discord.Guild, after: discord.Guild) -> None:
        await self.services.ledger.guilds.ensure(after.id, after.name)
