"""Failures that pass are named in the log and quoted only where the words are our own."""

from __future__ import annotations

import logging
import sqlite3

import aiohttp
import discord
import pytest

from bot.failures import DISCORD_AWAY, attempt, reason
from ledger.errors import LedgerError

log = logging.getLogger("tests")
SECRET = "what a member said"


class Response:
    """As much of an HTTP response as discord.py's errors read."""

    status = 503
    reason = "Service Unavailable"


def refused() -> discord.HTTPException:
    answer: object = Response()
    return discord.HTTPException(answer, {"code": 130000, "message": SECRET})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (LedgerError("The disk is full."), "The disk is full."),
        (refused(), "HTTPException 503 (code 130000)"),
        (sqlite3.OperationalError(SECRET), "OperationalError"),
        (aiohttp.ClientConnectionError(SECRET), "ClientConnectionError"),
    ],
)
def test_an_error_is_quoted_if_its_words_are_ours_and_named_otherwise(error: Exception, text: str) -> None:
    assert reason(error) == text


async def test_work_that_fails_for_now_is_logged_and_a_defect_is_not_swallowed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fails(error: Exception) -> None:
        raise error

    async def succeeds() -> None:
        """Do nothing, well."""

    assert await attempt(succeeds(), "it cannot be done", log)
    assert caplog.text == ""
    assert not await attempt(fails(sqlite3.OperationalError(SECRET)), "it cannot be done", log)
    assert "it cannot be done: OperationalError" in caplog.text
    assert SECRET not in caplog.text
    with pytest.raises(KeyError):
        await attempt(fails(KeyError("a defect")), "it cannot be done", log)


def test_a_discord_that_is_away_shows_in_each_of_its_ways() -> None:
    for error in (
        refused(),
        discord.RateLimited(1.0),
        aiohttp.ClientPayloadError(),
        TimeoutError(),
        OSError(),
    ):
        assert isinstance(error, DISCORD_AWAY)
    assert not isinstance(KeyError(), DISCORD_AWAY)
