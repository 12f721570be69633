"""What can keep the bot out of Discord, and the sentence for each: the same in ``run`` and ``check``."""

from __future__ import annotations

import aiohttp
import discord

from ledger.errors import ConfigurationError, NightschoolError

NO_TOKEN = "DISCORD_TOKEN is not set; copy it from the Developer Portal's page Bot into the file .env."  # noqa: S105 - a sentence
WRONG_TOKEN = "Discord does not accept DISCORD_TOKEN; reset it in the Developer Portal and copy it again."  # noqa: S105
INTENT_OFF = "The Message Content Intent is off; switch it on in the Developer Portal's page Bot."


def may_be_token(token: str) -> bool:
    """Tell whether the text can be a token at all; a header with a line break is not even sent."""
    return token.isascii() and token.isprintable() and " " not in token


def explained(error: BaseException) -> NightschoolError | None:
    """Return the error as a sentence where the cause is a setting or the network; else None."""
    if isinstance(error, discord.LoginFailure):
        return ConfigurationError(WRONG_TOKEN)
    if isinstance(error, discord.PrivilegedIntentsRequired):
        return ConfigurationError(INTENT_OFF)
    if isinstance(error, OSError | TimeoutError | aiohttp.ClientError | discord.HTTPException):
        return NightschoolError(f"Discord cannot be reached ({type(error).__name__}); check the network.")
    return None
