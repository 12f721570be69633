"""The slash commands' list at Discord, kept as the code has it.

Sent only where it changed since the last time, which a file beside the database remembers: Discord
limits how often commands may be created. Tried again while the bot serves; chatting needs no command.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import discord
from discord import app_commands

log = logging.getLogger(__name__)

DELAYS = (5.0, 15.0, 60.0, 300.0)
"""Seconds between attempts; the last is repeated."""


async def sync_commands(
    tree: app_commands.CommandTree[Any],
    remembered: Path,
    *,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Send the commands to Discord if they changed; return once it has them, or refused them for good."""
    digest = _digest(tree)
    if remembered.is_file() and remembered.read_text(encoding="utf-8") == digest:
        return
    for delay in itertools.chain(DELAYS, itertools.repeat(DELAYS[-1])):
        try:
            await tree.sync()
        except app_commands.CommandSyncFailure as error:
            log.error("Discord does not accept the slash commands: %s", error)
            return
        except (discord.DiscordException, aiohttp.ClientError, OSError, TimeoutError) as error:
            reason = f"{type(error).__name__} {getattr(error, 'status', '')}".strip()
            log.warning("the slash commands could not be sent (%s); trying again in %.0f s", reason, delay)
            await sleep(delay)
        else:
            remembered.write_text(digest, encoding="utf-8")
            return


def _digest(tree: app_commands.CommandTree[Any]) -> str:
    """Return what stands for the commands of this application."""
    commands = [command.to_dict(tree) for command in tree.get_commands()]
    commands.sort(key=lambda command: (command["type"], command["name"]))
    text = json.dumps([tree.client.application_id, commands], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


__all__ = ["sync_commands"]
