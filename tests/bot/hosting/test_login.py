"""What keeps the bot out of Discord, in sentences: settings end it, a network that is away does not."""

from __future__ import annotations

import aiohttp
import discord
import pytest

from bot.hosting.login import INTENT_OFF, WRONG_TOKEN, explained, is_unreachable, may_be_token
from ledger.errors import ConfigurationError


class Socket:
    """As much of a closed socket as discord.py's error reads."""

    def __init__(self, code: int) -> None:
        self.close_code = code


def closed(code: int) -> discord.ConnectionClosed:
    socket: object = Socket(code)
    return discord.ConnectionClosed(socket, shard_id=None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (discord.LoginFailure("no"), WRONG_TOKEN),
        (closed(4004), WRONG_TOKEN),
        (discord.PrivilegedIntentsRequired(None), INTENT_OFF),
    ],
)
def test_a_wrong_setting_is_a_sentence_and_ends_with_78(error: Exception, sentence: str) -> None:
    told = explained(error)
    assert isinstance(told, ConfigurationError)
    assert str(told) == sentence
    assert told.exit_code == 78
    assert not is_unreachable(error)


@pytest.mark.parametrize(
    "error", [OSError("secret"), TimeoutError(), aiohttp.ClientConnectionError("secret")]
)
def test_a_network_that_is_away_is_named_by_its_kind(error: Exception) -> None:
    assert is_unreachable(error)
    told = explained(error)
    assert str(told) == f"Discord cannot be reached ({type(error).__name__}); check the network."


def test_a_defect_is_not_explained_away() -> None:
    assert explained(KeyError("a defect")) is None
    assert explained(closed(1000)) is None


@pytest.mark.parametrize(
    ("text", "may_be"), [("MTIz.right.token", True), ("a b", False), ("two\nlines", False), ("tökén", False)]
)
def test_what_cannot_stand_in_a_header_is_no_token(text: str, may_be: bool) -> None:
    assert may_be_token(text) == may_be
