"""The slash commands reach Discord once, again where they changed, and in the end whatever fails."""

from __future__ import annotations

from pathlib import Path

import discord
import pytest
from discord import app_commands

from bot.hosting.syncing import DELAYS, sync_commands
from tests.bot.house import House


def sent(house: House) -> int:
    return sum(each.method == "PUT" and each.path.endswith("/commands") for each in house.env.http_requests)


@pytest.fixture
def remembered(tmp_path: Path) -> Path:
    return tmp_path / "commands.elsewhere"


async def test_commands_are_sent_once_and_again_where_they_changed(house: House, remembered: Path) -> None:
    before = sent(house)
    for _ in range(3):
        await sync_commands(house.bot.tree, remembered)
    assert sent(house) == before + 1

    @house.bot.tree.command(description="A new one.")
    async def hoot(interaction: discord.Interaction) -> None:
        raise AssertionError("nobody calls it")

    await sync_commands(house.bot.tree, remembered)
    assert sent(house) == before + 2


async def test_what_fails_is_tried_again_until_discord_has_them(
    house: House, remembered: Path, caplog: pytest.LogCaptureFixture
) -> None:
    house.env.inject_error("PUT", "/applications/*/commands", status=503, times=6)
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    await sync_commands(house.bot.tree, remembered, sleep=sleep)
    assert slept == [*DELAYS, DELAYS[-1], DELAYS[-1]]
    assert remembered.exists()
    assert "503" in caplog.text


async def test_commands_that_discord_refuses_are_not_sent_for_ever(
    house: House, remembered: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def refuse() -> None:
        raise app_commands.CommandSyncFailure.__new__(app_commands.CommandSyncFailure)

    monkeypatch.setattr(house.bot.tree, "sync", refuse)
    await sync_commands(house.bot.tree, remembered)
    assert "does not accept the slash commands" in caplog.text
    assert not remembered.exists()
