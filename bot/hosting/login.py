"""What can keep the bot out of Discord, with a sentence for each: the same in ``run`` and ``check``.

A wrong token or a missing intent ends the bot; it waits for a network that is away.
"""

from __future__ import annotations

import aiohttp
import discord

from ledger.errors import ConfigurationError, NightschoolError

NO_TOKEN = "DISCORD_TOKEN is not set; copy it from the Developer Portal's page Bot into the file .env."  # noqa: S105 - a sentence
WRONG_TOKEN = "Discord does not accept DISCORD_TOKEN; reset it in the Developer Portal and copy it again."  # noqa: S105
INTENT_OFF = "The Message Content Intent is off; switch it on in the Developer Portal's page Bot."


REFUSED_TOKEN = 4004
"""The code with which the gateway closes if the token was reset after the log-in."""


def may_be_token(token: str) -> bool:
    """Tell whether the text can be a token at all; aiohttp does not even send a header with a line break."""
    return token.isascii() and token.isprintable() and " " not in token


def explained(error: BaseException) -> NightschoolError | None:
    """Return the error as a sentence if a setting or the network caused it; otherwise None."""
    refused_by_gateway = isinstance(error, discord.ConnectionClosed) and error.code == REFUSED_TOKEN
    if isinstance(error, discord.LoginFailure) or refused_by_gateway:
        return ConfigurationError(WRONG_TOKEN)
    if isinstance(error, discord.PrivilegedIntentsRequired):
        return ConfigurationError(INTENT_OFF)
    if is_unreachable(error):
        return NightschoolError(f"Discord cannot be reached ({type(error).__name__}); check the network.")
    return None


def is_unreachable(error: BaseException) -> bool:
    """Tell whether Discord could not be reached at all, which passes by itself."""
    away = OSError | TimeoutError | aiohttp.ClientError | discord.HTTPException | discord.GatewayNotFound
    return isinstance(error, away) and not isinstance(error, discord.LoginFailure)
