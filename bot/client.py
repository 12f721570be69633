"""The Discord client: intents, cogs, rounds, and the list of guilds kept in step with the ledger.

Holds no feature of its own; each cog takes from the services what it needs.
"""

from __future__ import annotations

import asyncio
import logging

import discord
from discord import app_commands
from discord.ext import commands

from bot.client_services import client_services
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
from bot.failures import attempt, reason
from bot.hosting.syncing import sync_commands
from bot.interactions import answer_error
from bot.keeping.housekeeping import DAY_SECONDS, DUE_SECONDS
from bot.nights.trainer_process import WatchedNight
from bot.services import Services
from ledger.records import Source

log = logging.getLogger(__name__)

OWED_SECONDS = 60.0
STOP_SECONDS = 5.0
"""How long stopping waits for the database."""


def intents() -> discord.Intents:
    """Return what the bot asks Discord for: guilds, messages with content, and reactions."""
    wanted = discord.Intents.none()
    wanted.guilds = True
    wanted.messages = True
    wanted.message_content = True
    wanted.reactions = True
    return wanted


class Tree(app_commands.CommandTree["NightschoolBot"]):
    """The slash commands; an error in one becomes a reply."""

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
            # Nothing here needs a list of members, which would be another privileged intent.
            member_cache_flags=discord.MemberCacheFlags.none(),
            max_messages=None,  # no cache of messages: no deletion would reach it
            chunk_guilds_at_startup=False,
        )
        self.services = services
        self.own = client_services(self, services, source=source)
        # Buttons reach these by the client, which is all that Discord hands them.
        self.receipts = self.own.receipts
        self.promoting = services.promoting

    async def setup_hook(self) -> None:
        s, own, settings = self.services, self.own, self.services.settings
        cogs: list[commands.Cog] = [
            # The recorder comes first, so that a question is recorded before its answer.
            RecorderCog(self, ledger=s.ledger, recording=own.recording, following=own.following),
            ChatCog(asking=own.asking, answering=s.answering),
            TrainCog(nights=s.nights, ledger=s.ledger, background=s.background),
            AdapterCog(ledger=s.ledger, promoting=s.promoting),
            ChannelCog(ledger=s.ledger),
            PrivacyCog(
                self,
                ledger=s.ledger,
                retention_days=settings.retention.days,
                adapter_days=settings.retention.adapter_days,
            ),
            HandInCog(self, ledger=s.ledger, handing_in=s.handing_in),
            ConsentCog(ledger=s.ledger, bot_name=settings.bot.name),
            StatusCog(
                ledger=s.ledger,
                serving=s.serving,
                answering=s.answering,
                nights=s.nights,
                schedule=s.schedule,
                engine=s.engine,
                engine_process=s.engine_process,
                base_model=settings.model.base,
                admin_channel=settings.bot.admin_channel,
                locked=not settings.policy.discord_permission,
            ),
            ReportsCog(self, reports=own.reports, nights=s.nights),
        ]
        for cog in cogs:
            await self.add_cog(cog)
        s.nights.on_finished(self._tidy_up)
        s.background.run(self._sync_commands(), name="slash commands")
        self._plan_rounds()

    def _plan_rounds(self) -> None:
        rounds, housekeeping, is_member = self.services.rounds, self.services.housekeeping, self.own.is_member
        rounds.every(DAY_SECONDS, lambda: housekeeping.daily(is_member), name="housekeeping", at_once=True)
        rounds.every(DUE_SECONDS, housekeeping.what_is_due, name="what is due")
        self.services.background.run(self._plan_deliveries(), name="first delivery")

    async def _plan_deliveries(self) -> None:
        """Plan deliveries as soon as Discord is there; the first is due at once, not a minute later."""
        await self.wait_until_ready()
        self.services.rounds.every(OWED_SECONDS, self._deliver_owed, name="what is owed", at_once=True)

    async def _deliver_owed(self) -> None:
        """Write down what has been heard, and deliver the reports and receipts that are owed."""
        own = self.own
        for deliver in (own.catching_up.note_heard, own.reports.deliver_owed, own.receipts.deliver_owed):
            try:
                await deliver()
            except Exception as error:  # noqa: BLE001 - a defect in one must not stop the others
                log.error("what is owed could not be delivered yet: %s", reason(error))

    async def _sync_commands(self) -> None:
        await sync_commands(self.tree, self.services.settings.data_dir / "commands.synced")

    async def _tidy_up(self, night: WatchedNight) -> None:
        """Delete what a promotion has freed: versions that learned from messages deleted since."""
        await self.services.housekeeping.sweep()

    async def on_message(self, message: discord.Message) -> None:
        """Note the message's time, to check the clock by; the cogs do the rest. No command has a prefix."""
        self.services.watch.heard(message.created_at)

    async def close(self) -> None:
        """Leave Discord, and write down what was heard until then."""
        await super().close()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await self.own.recording.caught_up()
        except TimeoutError:
            # It was not noted as heard, so that the next start reads it from Discord.
            log.warning("what was said last could not be stored in time; the next start looks for it")

    async def on_ready(self) -> None:
        # Before anything awaits: who invites the bot meanwhile leaves it nothing to catch up on.
        self.own.catching_up.connected()
        for guild in self.guilds:
            # What follows must not fail because another process holds the database for a minute.
            await attempt(self._joined(guild), f"guild {guild.id} could not be noted", log)
        log.info("connected as %s to %d guild(s)", self.user, len(self.guilds))
        # Discord does not tell a new session what happened before it.
        # Not awaited: it reads the channels' histories, and its task must outlive this event.
        self.services.background.run(self.catch_up(), name="catching-up")
        # Make up nights that were due while the bot was off, now that it knows its guilds.
        await self.services.schedule.tick()

    async def on_disconnect(self) -> None:
        self.own.catching_up.lost()

    async def on_resumed(self) -> None:
        """Continue to listen: Discord has delivered everything that was said meanwhile."""
        self.own.catching_up.resumed()

    async def catch_up(self) -> None:
        """Look for what Discord did not report."""
        await self.own.catching_up.catch_up()

    async def _joined(self, guild: discord.Guild) -> None:
        assert self.user is not None  # noqa: S101 - no event comes before the login
        await self.services.ledger.guilds.joined(guild.id, guild.name, self.user.id)

    async def on_guild_join(self, guild: discord.Guild) -> None:
        await self._joined(guild)
        self.own.catching_up.joined(guild.id)

    async def on_guild_available(self, guild: discord.Guild) -> None:
        await self._joined(guild)

    async def on_guild_update(self, before: discord.Guild, after: discord.Guild) -> None:
        await self.services.ledger.guilds.ensure(after.id, after.name)
