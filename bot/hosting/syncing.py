"""Keeps the list of slash commands at Discord as the code has it.

Sends it only if it has changed, which a file next to the database remembers: Discord limits how often
commands may be created. Retries while the bot already serves, since chatting needs no command.
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

from discord import app_commands

from bot.failures import DISCORD_AWAY, reason

log = logging.getLogger(__name__)

DELAYS = (5.0, 15.0, 60.0, 300.0)
"""Seconds between attempts; the last one repeats."""


async def sync_commands(
    tree: app_commands.CommandTree[Any],
    remembered: Path,
    *,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Send the commands to Discord if they changed; return once it has accepted or refused them."""
    digest = _digest(tree)
    if remembered.is_file() and remembered.read_text(encoding="utf-8") == digest:
        return
    for delay in itertools.chain(DELAYS, itertools.repeat(DELAYS[-1])):
        try:
            await tree.sync()
        except app_commands.CommandSyncFailure as error:
            log.error("Discord does not accept the slash commands: %s", error)
            return
        except DISCORD_AWAY as error:
            log.warning(
                "the slash commands could not be sent (%s); trying again in %.0f s", reason(error), delay
            )
            await sleep(delay)
        else:
            remembered.write_text(digest, encoding="utf-8")
            return


def _digest(tree: app_commands.CommandTree[Any]) -> str:
    """Return a hash of this application's commands."""
    commands = [command.to_dict(tree) for command in tree.get_commands()]
    commands.sort(key=lambda command: (command["type"], command["name"]))
    # With the application's id: a new bot on the old database has no commands yet.
    text = json.dumps([tree.client.application_id, commands], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


__all__ = ["sync_commands"]
