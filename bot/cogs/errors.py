"""Every error of a slash command or a button becomes one private reply.

Errors that Nightschool raises on purpose carry a finished sentence. Anything else is a defect: the
member gets a reference, and the log the trace under the same reference.
"""

from __future__ import annotations

import logging
import secrets

import discord
from discord import app_commands

from bot.report import clipped
from ledger.errors import NightschoolError

log = logging.getLogger(__name__)

MESSAGE = 2000
"""Discord's limit for a message, in characters; an error may repeat what somebody typed."""
ADMINS_ONLY = "Only people who may manage this server can do that."


def may_manage(interaction: discord.Interaction) -> bool:
    """Tell whether the person may manage the guild, going by what Discord says with each interaction."""
    return interaction.guild is not None and interaction.permissions.manage_guild


async def admin_check(interaction: discord.Interaction) -> bool:
    """Check on the server side what Discord's own command permissions already hide.

    A guild's owner can open commands to everybody in the integration settings; what changes the bot
    for all stays with those who may manage the server.
    """
    if not may_manage(interaction):
        raise app_commands.CheckFailure(ADMINS_ONLY)
    return True


def guild_of(interaction: discord.Interaction) -> discord.Guild:
    """Return the server that the interaction comes from.

    Raises:
        NoPrivateMessage: it comes from a direct message.
    """
    if interaction.guild is None:
        raise app_commands.NoPrivateMessage
    return interaction.guild


def sentence(error: Exception) -> str:
    """Return what the person should read."""
    cause = error.original if isinstance(error, app_commands.CommandInvokeError) else error
    if isinstance(cause, NightschoolError):
        return str(cause)
    if isinstance(cause, app_commands.NoPrivateMessage):
        return "That works in a server only, not in direct messages."
    if isinstance(cause, app_commands.CheckFailure):
        return str(cause) or ADMINS_ONLY
    if isinstance(cause, app_commands.CommandNotFound):
        return "I don't know that command (any more); try again in a minute, when Discord has caught up."
    reference = secrets.token_hex(4)
    log.error("interaction failed, reference %s", reference, exc_info=cause)
    return f"Something broke on my side. The log has it under `{reference}`."


async def answer_error(interaction: discord.Interaction, error: Exception) -> None:
    """Reply with the error's sentence, to this person alone."""
    text = clipped(sentence(error), MESSAGE)
    if interaction.response.is_done():
        await interaction.followup.send(text, ephemeral=True)
    else:
        await interaction.response.send_message(text, ephemeral=True)


class SafeView(discord.ui.View):
    """A view whose failures become replies, like those of commands."""

    async def on_error(
        self, interaction: discord.Interaction, error: Exception, item: discord.ui.Item[discord.ui.View]
    ) -> None:
        await answer_error(interaction, error)
