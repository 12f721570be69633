"""Failures that pass by themselves: Discord cannot be asked now, or the database cannot be written now.

One list of exceptions for each, and one way to name an error in the log. Whoever catches something else
says at that place why.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Awaitable

import aiohttp
import discord

from ledger.errors import NightschoolError

DISCORD_AWAY = (discord.DiscordException, aiohttp.ClientError, OSError, TimeoutError)
"""What a request to Discord ends in when it is refused, gives up waiting, or never arrives."""
LEDGER_AWAY = (NightschoolError, OSError, sqlite3.Error)
"""What the ledger ends in while another process holds the file, or the disk is full."""


def reason(error: BaseException) -> str:
    """Return what the log may hold of an error.

    Our own errors are finished sentences. The text of anybody else's may quote what it failed on, which
    can be a member's message: such an error is named by its kind alone.
    """
    if isinstance(error, NightschoolError):
        return str(error)
    if isinstance(error, discord.HTTPException):
        return f"{type(error).__name__} {error.status} (code {error.code})"
    return type(error).__name__


async def kept(work: Awaitable[object], complaint: str, log: logging.Logger) -> bool:
    """Await work that writes to the ledger; log ``complaint`` and return False where that fails for now."""
    try:
        await work
    except LEDGER_AWAY as error:
        log.error("%s: %s", complaint, reason(error))
        return False
    return True
