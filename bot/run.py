"""``python -m bot run``: services first, then Discord, until a signal ends it."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import discord

from bot.client import NightschoolBot
from bot.hosting.login import NO_TOKEN, WRONG_TOKEN, explained, is_unreachable, may_be_token
from bot.services import open_services
from ledger.errors import ConfigurationError, LedgerError
from ledger.process.locks import Held, hold
from ledger.settings import Secrets, Settings

log = logging.getLogger(__name__)

LOGIN_DELAYS = (1.0, 2.0, 5.0, 15.0, 60.0)
"""Seconds between attempts to reach Discord at start; the last one repeats. A PC has no network for a
while after it boots."""


async def run(settings: Settings, secrets: Secrets, *, config: Path) -> None:
    """Connect and serve until SIGINT or SIGTERM.

    Raises:
        ConfigurationError: the token is missing or wrong, or an intent is switched off.
        LedgerError: the database cannot be used.
        NightschoolError: Discord closed the connection for good.
    """
    token = secrets.discord_token.get_secret_value()
    if not token:
        raise ConfigurationError(NO_TOKEN)
    if not may_be_token(token):
        raise ConfigurationError(WRONG_TOKEN)
    with only_bot(settings):
        await _serve(settings, secrets, token, config=config)


@contextmanager
def only_bot(settings: Settings) -> Iterator[None]:
    """Make sure that only one bot works on this database, and that nobody replaces the file meanwhile.

    Raises:
        LedgerError: a bot runs on it already.
    """
    try:
        with hold(settings.data_dir / "bot.lock") as note:
            note(str(os.getpid()))
            yield
    except Held as error:
        raise LedgerError(
            f"A bot (process {error.note or 'unknown'}) works on {settings.database}; stop it first."
        ) from error


async def _serve(settings: Settings, secrets: Secrets, token: str, *, config: Path) -> None:
    async with open_services(settings, config=config, secrets=secrets) as services:
        bot = NightschoolBot(services)
        stopping = asyncio.get_running_loop().create_future()
        # Handled here, not raised as KeyboardInterrupt: closing in order takes seconds, and needs the loop.
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, _stop, stopping, number)
        async with bot:
            serving = asyncio.create_task(_online(bot, token), name="discord")
            await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
            # Raised below, once everything is closed.
            error = serving.exception() if serving.done() else None
            services.nights.leave()  # first, to give a trainer time to write its resume point
            await services.answering.wind_down()
        serving.cancel()  # it may be waiting for its next attempt to connect
        await asyncio.gather(serving, return_exceptions=True)
    if error is not None:
        raise explained(error) or error


async def _online(bot: NightschoolBot, token: str) -> None:
    """Log in, as soon as there is a network, and stay connected."""
    delays = itertools.chain(LOGIN_DELAYS, itertools.repeat(LOGIN_DELAYS[-1]))
    while True:
        try:
            await bot.login(token)
            break
        except Exception as error:
            if not is_unreachable(error):
                raise
            delay = next(delays)
            log.warning("Discord cannot be reached (%s); trying again in %.0f s", type(error).__name__, delay)
            await _forget_session(bot)
            await asyncio.sleep(delay)
    while True:
        try:
            await bot.connect()
            return
        except AttributeError as error:
            # discord.py 2.7 fails with this if its very first connection breaks before the greeting.
            log.warning("the first connection to Discord broke (%s); trying again", error)
            await asyncio.sleep(next(delays))


async def _forget_session(bot: NightschoolBot) -> None:
    """Close what an attempt to log in left open: the library makes a new session only if there is none."""
    await bot.http.close()
    bot.http.clear()
    bot.http.connector = discord.utils.MISSING


def _stop(stopping: asyncio.Future[None], number: int) -> None:
    if not stopping.done():
        log.info("stopping on %s", signal.Signals(number).name)
        stopping.set_result(None)
