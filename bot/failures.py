"""Failures that pass by themselves: Discord cannot be reached now, or the database cannot be written now.

Keeps one list of exceptions for each, and one way to name an error in the log. Code that catches anything
else says why right there.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Awaitable

import aiohttp
import discord

from ledger.errors import NightschoolError
from ledger.process import seclusion

DISCORD_AWAY = (discord.DiscordException, aiohttp.ClientError, OSError, TimeoutError)
"""What a request to Discord raises when it is refused, times out, or never arrives."""
LEDGER_AWAY = (NightschoolError, OSError, sqlite3.Error)
"""What the ledger raises while another process holds the file, or the disk is full."""


def reason(error: BaseException) -> str:
    """Return what the log may say about an error, with Discord's numbers where it is Discord's."""
    if isinstance(error, discord.HTTPException):
        return f"{type(error).__name__} {error.status} (code {error.code})"
    return seclusion.reason(error)


async def attempt(work: Awaitable[object], complaint: str, log: logging.Logger) -> bool:
    """Await work on the ledger; if that fails for now, log ``complaint`` and return False."""
    try:
        await work
    except LEDGER_AWAY as error:
        log.error("%s: %s", complaint, reason(error))
        return False
    return True
