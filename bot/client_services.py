"""The services that need the Discord client: they come and go with it, while :mod:`bot.services` stays."""

from __future__ import annotations

from dataclasses import dataclass

import discord

from bot.hosting.admins import Admins
from bot.keeping.catching_up import CatchingUp
from bot.keeping.following import Following
from bot.keeping.recording import Recording
from bot.members.membership import Membership
from bot.members.receipts import Receipts
from bot.nights.reporting import NightReports
from bot.services import Services
from bot.talking.asking import Asking
from bot.talking.prompting import Prompting
from bot.talking.write_rights import WriteRights
from ledger.records import Source


@dataclass(frozen=True, slots=True)
class ClientServices:
    """What cogs get besides the services; each takes what it needs."""

    admins: Admins
    recording: Recording
    following: Following
    asking: Asking
    catching_up: CatchingUp
    receipts: Receipts
    reports: NightReports
    is_member: Membership


def client_services(client: discord.Client, services: Services, *, source: Source) -> ClientServices:
    """Wire up what works through ``client``; ``source`` is stored with each message that it hears."""

    def bot_id() -> int:
        return client.user.id if client.user is not None else 0

    s, settings = services, services.settings
    admins = Admins(client, background=s.background, channel=settings.bot.admin_channel)
    recording = Recording(
        ledger=s.ledger, background=s.background, bot_id=bot_id, source=source, tell=admins.tell_soon
    )
    following = Following(
        client, ledger=s.ledger, forgetting=s.forgetting, recording=recording, rounds=s.rounds
    )
    write_rights = WriteRights(admins.tell_soon)
    s.scribes.refused = write_rights.refused
    asking = Asking(
        client,
        ledger=s.ledger,
        answering=s.answering,
        recording=recording,
        prompting=Prompting(
            bot_id=bot_id,
            bot_name=settings.bot.name,
            gap_ms=int(settings.dataset.gap_minutes * 60_000),
            context_messages=settings.bot.context_messages,
            context_tokens=settings.engine.context_tokens - settings.bot.max_answer_tokens,
        ),
        write_rights=write_rights,
    )
    # The services outlive their clients, and always reach the admins through the newest one.
    s.schedule.tell_with(admins.tell_soon)
    s.housekeeping.tell_with(admins.tell_soon)
    return ClientServices(
        admins=admins,
        recording=recording,
        following=following,
        asking=asking,
        catching_up=CatchingUp(
            client,
            ledger=s.ledger,
            recording=recording,
            following=following,
            asking=asking,
            rounds=s.rounds,
        ),
        receipts=Receipts(client, ledger=s.ledger, forgetting=s.forgetting),
        reports=NightReports(
            client,
            ledger=s.ledger,
            serving=s.serving,
            nights=s.nights,
            admin_channel=settings.bot.admin_channel,
        ),
        is_member=Membership(client),
    )
