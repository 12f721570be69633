"""What can keep the bot out of Discord, and the sentence for each: the same in ``run`` and ``check``.

A wrong token or a missing intent ends the bot; a network that is away is waited for.
"""

from __future__ import annotations

import aiohttp
import discord

from ledger.errors import ConfigurationError, NightschoolError

NO_TOKEN = "DISCORD_TOKEN is not set; copy it from the Developer Portal's page Bot into the file .env."  # noqa: S105 - a sentence
WRONG_TOKEN = "Discord does not accept DISCORD_TOKEN; reset it in the Developer Portal and copy it again."  # noqa: S105
INTENT_OFF = "The Message Content Intent is off; switch it on in the Developer Portal's page Bot."


REFUSED_TOKEN = 4004
"""With which the gateway closes on a token that was reset since the log-in."""


def may_be_token(token: str) -> bool:
    """Tell whether the text can be a token at all; a header with a line break is not even sent."""
    return token.isascii() and token.isprintable() and " " not in token


def explained(error: BaseException) -> NightschoolError | None:
    """Return the error as a sentence where the cause is a setting or the network; else None."""
    refused_by_gateway = isinstance(error, discord.ConnectionClosed) and error.code == REFUSED_TOKEN
    if isinstance(error, discord.LoginFailure) or refused_by_gateway:
        return ConfigurationError(WRONG_TOKEN)
    if isinstance(error, discord.PrivilegedIntentsRequired):
        return ConfigurationError(INTENT_OFF)
    if is_unreachable(error):
        return NightschoolError(f"Discord cannot be reached ({type(error).__name__}); check the network.")
    return None


def is_unreachable(error: BaseException) -> bool:
    """Tell whether Discord could not be asked at all, which passes by itself."""
    away = OSError | TimeoutError | aiohttp.ClientError | discord.HTTPException | discord.GatewayNotFound
    return isinstance(error, away) and not isinstance(error, discord.LoginFailure)
