"""Everything that the bot works with, opened in order and closed in reverse.

The services start before the bot connects, and outlive its connections. Knows no Discord event.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from bot.background import Background
from bot.keeping.handing_in import HandingIn
from bot.keeping.housekeeping import Housekeeping
from bot.nights.schedule import NightSchedule
from bot.nights.trainer_process import Nights
from bot.rounds import Rounds
from bot.serving.engine_client import Address, AnswerSampling, EngineClient
from bot.serving.engine_process import EngineProcess
from bot.serving.promoting import Promoting
from bot.serving.served_versions import ServedVersions
from bot.talking.answering import Answering
from bot.talking.scribe import Scribes
from ledger.clock import Clock, SystemClock
from ledger.clock_watch import ClockWatch
from ledger.forgetting.by_settings import forgetting_of, retention_of
from ledger.forgetting.deletion_path import Forgetting
from ledger.settings import BotSection, Secrets, Settings
from ledger.store import Ledger


@dataclass(frozen=True, slots=True)
class Services:
    """What cogs get; each takes what it needs."""

    settings: Settings
    clock: Clock
    ledger: Ledger
    engine: EngineClient
    engine_process: EngineProcess | None
    serving: ServedVersions
    scribes: Scribes
    answering: Answering
    promoting: Promoting
    background: Background
    rounds: Rounds
    nights: Nights
    schedule: NightSchedule
    forgetting: Forgetting
    housekeeping: Housekeeping
    watch: ClockWatch
    handing_in: HandingIn


def answer_sampling(bot: BotSection) -> AnswerSampling:
    """Return how to draw answers, by the settings."""
    return AnswerSampling(
        max_tokens=bot.max_answer_tokens,
        temperature=bot.temperature,
        top_p=bot.top_p,
        top_k=bot.top_k,
        min_p=bot.min_p,
        repetition_penalty=bot.repetition_penalty,
        frequency_penalty=bot.frequency_penalty,
        presence_penalty=bot.presence_penalty,
    )


@asynccontextmanager
async def open_services(
    settings: Settings, *, config: Path, secrets: Secrets | None = None, clock: Clock | None = None
) -> AsyncIterator[Services]:
    """Open the ledger, start the engine (or point to an external one), and wire up the rest.

    Raises:
        LedgerError: the database cannot be used.
    """
    secrets = secrets or Secrets()
    clock = clock or SystemClock()
    async with AsyncExitStack() as stack:
        ledger = await stack.enter_async_context(
            Ledger.open(settings.database, clock=clock, scrubbing=settings.privacy.scrub)
        )
        await ledger.adapters.note_folder(str(settings.adapters_dir))
        forgetting = forgetting_of(settings, ledger)
        watch = clock_watch(ledger)
        housekeeping = Housekeeping(
            ledger,
            forgetting,
            retention_of(settings, ledger, forgetting),
            leavers_after_days=settings.retention.forget_leavers_after_days,
            watch=watch,
        )
        await forgetting.complete()
        background = await stack.enter_async_context(Background())
        rounds = await stack.enter_async_context(Rounds())
        engine, process = await _engine(stack, settings, secrets, config)
        serving = await stack.enter_async_context(
            ServedVersions(ledger, engine, generation=lambda: process.generation if process else 1)
        )
        scribes = await stack.enter_async_context(
            Scribes(interval_seconds=settings.bot.edit_interval_seconds)
        )
        answering = await stack.enter_async_context(
            Answering(
                engine,
                serving,
                scribes,
                sampling=answer_sampling(settings.bot),
                workers=settings.engine.max_batch,
                queue_size=settings.bot.queue_size,
                cooldown_seconds=settings.bot.cooldown_seconds,
            )
        )
        nights = Nights(config, background=background, clock=clock, ledger=ledger)
        schedule = await stack.enter_async_context(
            NightSchedule(
                cron=settings.schedule.cron,
                timezone=settings.schedule.timezone,
                misfire_grace_minutes=settings.schedule.misfire_grace_minutes,
                enabled=settings.schedule.enabled,
                ledger=ledger,
                nights=nights,
                rounds=rounds,
                background=background,
                clock=clock,
                believes=housekeeping.believes,
            )
        )
        # Asked first and awaited last: the trainer writes its resume point while the engine stops.
        stack.callback(nights.leave)
        yield Services(
            settings=settings,
            clock=clock,
            ledger=ledger,
            engine=engine,
            engine_process=process,
            serving=serving,
            scribes=scribes,
            answering=answering,
            promoting=Promoting(ledger, serving),
            background=background,
            rounds=rounds,
            nights=nights,
            schedule=schedule,
            forgetting=forgetting,
            housekeeping=housekeeping,
            watch=watch,
            handing_in=HandingIn(config, settings.data_dir),
        )


async def _engine(
    stack: AsyncExitStack, settings: Settings, secrets: Secrets, config: Path
) -> tuple[EngineClient, EngineProcess | None]:
    """Start the bot's own engine, or point to the one that the settings name."""
    # An answer may take as long as it likes; only silence is limited, to two minutes: a CPU reads a long
    # prompt for many seconds before its first word.
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=120)
    session = await stack.enter_async_context(aiohttp.ClientSession(timeout=timeout))
    if settings.engine.url:
        key = secrets.engine_api_key.get_secret_value()
        external = Address(settings.engine.url, key, settings.model.base)
        return EngineClient(session, lambda: external), None
    process = await stack.enter_async_context(
        EngineProcess(config, port=settings.engine.port, start_timeout=settings.engine.start_timeout_seconds)
    )
    return EngineClient(session, process.address), process


def clock_watch(ledger: Ledger) -> ClockWatch:
    """Return a watch on the machine's clock. An injected clock is moved on purpose, as in the demo."""
    clock = ledger.clock
    if isinstance(clock, SystemClock):
        return ClockWatch(ledger)
    return ClockWatch(ledger, seconds=lambda: clock.now().timestamp())
