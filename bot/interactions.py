"""Every error of a slash command or a button becomes one private reply.

Errors that Nightschool raises on purpose carry a finished sentence. Anything else is a defect: the member
gets a reference, and the log has the traceback under the same reference.
"""

from __future__ import annotations

import logging
import secrets

import discord
from discord import app_commands

from bot.failures import DISCORD_AWAY, reason
from bot.plain_text import clipped
from ledger.errors import NightschoolError

log = logging.getLogger(__name__)

MESSAGE = 2000
"""Discord's limit for a message, in characters; an error may quote what somebody typed."""
ADMINS_ONLY = "Only people who may manage this server can do that."


def may_manage(interaction: discord.Interaction) -> bool:
    """Tell whether the person may manage the guild, as Discord states with each interaction."""
    return interaction.guild is not None and interaction.permissions.manage_guild


async def admin_check(interaction: discord.Interaction) -> bool:
    """Check here, too, what Discord's command permissions already hide.

    A guild's owner can open commands to everybody in the integration settings. What changes the bot for
    everybody stays with those who may manage the server.
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
    # Before CheckFailure, of which it is a kind with a text of discord.py's.
    if isinstance(cause, app_commands.NoPrivateMessage):
        return "That works in a server only, not in direct messages."
    if isinstance(cause, app_commands.CheckFailure):
        return str(cause) or ADMINS_ONLY
    if isinstance(cause, app_commands.CommandNotFound):
        return "I don't know that command. If it is new, try again in a minute, when Discord has caught up."
    reference = secrets.token_hex(4)
    log.error("interaction failed, reference %s", reference, exc_info=cause)
    return f"Something broke on my side. The log has it under `{reference}`."


async def answer_error(interaction: discord.Interaction, error: Exception) -> None:
    """Reply with the error's sentence, visible to this person only, if Discord still takes a reply."""
    text = clipped(sentence(error), MESSAGE)
    try:
        if interaction.response.is_done():
            await interaction.followup.send(text, ephemeral=True)
        else:
            await interaction.response.send_message(text, ephemeral=True)
    except DISCORD_AWAY as refusal:
        log.warning("an error could not be reported to the person who ran into it: %s", reason(refusal))


async def acknowledge(interaction: discord.Interaction, *, thinking: bool = True) -> None:
    """Tell Discord that an answer will follow; carry on even if Discord no longer listens.

    Discord waits three seconds, and a busy network may take longer. Then it says 10062, "unknown
    interaction", although the person did press. Without ``thinking``, the button's message stays as it is
    until it is edited.
    """
    try:
        await interaction.response.defer(ephemeral=True, thinking=thinking)
    except DISCORD_AWAY as refusal:
        log.warning("an interaction could not be acknowledged, but is carried out: %s", reason(refusal))


async def answer(interaction: discord.Interaction, text: str, *, in_place: bool = False) -> bool:
    """Answer this person only; return whether they can read it.

    ``in_place`` puts the answer where the pressed buttons were.
    """
    try:
        if interaction.response.is_done():
            await interaction.edit_original_response(
                content=text,
                view=None if in_place else discord.utils.MISSING,  # None takes the buttons away
            )
        elif in_place:
            await interaction.response.edit_message(content=text, view=None)
        else:
            await interaction.response.send_message(text, ephemeral=True)
    except DISCORD_AWAY as refusal:
        log.warning("an interaction could not be answered: %s", reason(refusal))
        return False
    return True


class SafeView(discord.ui.View):
    """A view whose errors become replies, like those of commands."""

    async def on_error(
        self, interaction: discord.Interaction, error: Exception, item: discord.ui.Item[discord.ui.View]
    ) -> None:
        await answer_error(interaction, error)
