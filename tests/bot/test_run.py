"""``python -m bot run``: in with a right token, out on a signal, and one sentence for what is wrong."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import discord
import pytest
from pydantic import SecretStr

from bot.hosting.login import NO_TOKEN
from bot.run import only_bot, run
from ledger.errors import ConfigurationError, LedgerError
from ledger.settings import Secrets, Settings
from ledger.store import Ledger
from tests.bot.discord_server import TOKEN, DiscordServer, discord_server
from tests.bot.house import ROOT, StandInEngine, settings_for, until


@pytest.fixture
async def discord_here(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[DiscordServer]:
    async with discord_server(monkeypatch) as server:
        yield server


@pytest.fixture
def settings(tmp_path: Path, engine: StandInEngine) -> Settings:
    return settings_for(tmp_path, engine.url)


async def running(settings: Settings, token: str = TOKEN) -> None:
    await asyncio.wait_for(
        run(settings, Secrets(discord_token=SecretStr(token)), config=settings.root / "config.toml"), 20
    )


async def test_the_bot_connects_and_stops_cleanly_on_sigterm(
    settings: Settings, discord_here: DiscordServer, caplog: pytest.LogCaptureFixture
) -> None:
    task = asyncio.create_task(running(settings))
    await until(lambda: discord_here.synced or task.done())
    os.kill(os.getpid(), signal.SIGTERM)
    await task
    assert any(asked.startswith("PUT /applications/123/commands") for asked in discord_here.asked)
    await asyncio.sleep(0)
    left = [each for each in asyncio.all_tasks() if each.get_name() == "discord"]
    assert left == []
    assert "Task was destroyed" not in caplog.text


async def test_a_deletion_that_was_cut_off_is_completed_before_the_bot_turns_to_discord(
    settings: Settings, discord_here: DiscordServer
) -> None:
    async with Ledger.open(settings.database) as ledger:
        await ledger.guilds.ensure(1, "Lantern Yard")
        run_id = (await ledger.runs.create(1, "test")).id
        await ledger.runs.learned_from(run_id, [(70, 7)])
        # The first transaction alone, as a process that is killed right after it leaves things.
        await ledger.deletions.begin(1, "person", [7], asked_by="member", keep_ms=0)
    dataset = settings.datasets_dir / run_id
    dataset.mkdir(parents=True)
    # It never gets in, so nothing but the start itself can have done it.
    with pytest.raises(ConfigurationError, match="DISCORD_TOKEN"):
        await running(settings, "MTIz.wrong.token")
    assert discord_here.asked == ["GET /users/@me"]
    assert not dataset.exists()
    async with Ledger.open(settings.database) as ledger:
        assert await ledger.deletions.unfinished() == []


async def test_a_wrong_token_is_a_configuration_error_with_the_fix(
    settings: Settings, discord_here: DiscordServer
) -> None:
    with pytest.raises(ConfigurationError, match="does not accept DISCORD_TOKEN") as error:
        await running(settings, "MTIz.wrong.token")
    assert error.value.exit_code == 78


@pytest.mark.parametrize("token", ["two\nlines", "tökén"])
async def test_a_token_that_cannot_be_one_is_reported_like_a_wrong_one(
    settings: Settings, discord_here: DiscordServer, token: str
) -> None:
    with pytest.raises(ConfigurationError, match="DISCORD_TOKEN"):
        await running(settings, token)


async def test_a_missing_intent_is_a_configuration_error_with_the_fix(
    settings: Settings, discord_here: DiscordServer
) -> None:
    discord_here.close_code = 4014
    with pytest.raises(ConfigurationError, match="Message Content Intent is off") as error:
        await running(settings)
    assert error.value.exit_code == 78


async def test_a_missing_token_is_reported_before_anything_starts(settings: Settings) -> None:
    with pytest.raises(ConfigurationError, match="DISCORD_TOKEN is not set"):
        await running(settings, "")
    assert not settings.database.exists()


async def test_a_network_that_is_not_there_yet_is_waited_for(
    settings: Settings,
    discord_here: DiscordServer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    there = discord.http.Route.BASE
    monkeypatch.setattr("bot.run.LOGIN_DELAYS", (0.01,))
    monkeypatch.setattr("discord.http.Route.BASE", "http://127.0.0.1:9")
    task = asyncio.create_task(running(settings))
    await until(lambda: caplog.text.count("Discord cannot be reached") > 2 or task.done())
    monkeypatch.setattr("discord.http.Route.BASE", there)
    await until(lambda: discord_here.connected or task.done())
    os.kill(os.getpid(), signal.SIGTERM)
    await task


async def test_a_network_that_never_comes_ends_on_sigterm(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("discord.http.Route.BASE", "http://127.0.0.1:9")
    task = asyncio.create_task(running(settings))
    await until(lambda: "Discord cannot be reached" in caplog.text)
    os.kill(os.getpid(), signal.SIGTERM)
    await task


async def test_a_first_connection_that_breaks_in_mid_greeting_is_made_again(
    settings: Settings, discord_here: DiscordServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.run.LOGIN_DELAYS", (0.01,))
    discord_here.hang_ups = 2
    task = asyncio.create_task(running(settings))
    await until(lambda: discord_here.connected or task.done())
    os.kill(os.getpid(), signal.SIGTERM)
    await task


async def test_a_token_that_the_gateway_refuses_is_reported_like_a_wrong_one(
    settings: Settings, discord_here: DiscordServer
) -> None:
    discord_here.close_code = 4004
    with pytest.raises(ConfigurationError, match="does not accept DISCORD_TOKEN") as error:
        await running(settings)
    assert error.value.exit_code == 78


async def test_commands_that_cannot_be_sent_do_not_keep_the_bot_out(
    settings: Settings, discord_here: DiscordServer, caplog: pytest.LogCaptureFixture
) -> None:
    discord_here.commands_status = 503
    task = asyncio.create_task(running(settings))
    await until(lambda: discord_here.connected and "slash commands could not be sent" in caplog.text)
    os.kill(os.getpid(), signal.SIGTERM)
    await task


async def test_a_newer_database_is_reported_and_left_alone(settings: Settings) -> None:
    settings.database.parent.mkdir(parents=True)
    with sqlite3.connect(settings.database) as connection:
        connection.execute("PRAGMA user_version = 999")
    before = settings.database.read_bytes()
    with pytest.raises(LedgerError, match="update Nightschool"):
        await running(settings)
    assert settings.database.read_bytes() == before


async def test_a_second_bot_on_the_same_database_is_refused(settings: Settings) -> None:
    with only_bot(settings), pytest.raises(LedgerError, match=f"process {os.getpid()}"):
        await running(settings)


def test_the_command_ends_with_78_and_one_sentence_without_a_token(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("DISCORD_TOKEN", None)
    done = subprocess.run(
        [sys.executable, "-m", "bot", "run"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 78
    assert done.stderr.strip() == NO_TOKEN
