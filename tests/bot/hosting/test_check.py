"""The preflight: each thing that can be missing gives one sentence with the fix."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections import namedtuple
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from aiohttp import web
from pydantic import SecretStr

from bot.hosting.check import (
    DISK_GIB,
    base_model,
    check_everything,
    database,
    discord_side,
    disk,
    gpu_memory,
    memory,
)
from ledger.settings import ModelSection, Secrets, Settings
from ledger.sqlite.database import migrations
from ledger.store import Ledger
from tests.bot.discord_server import TOKEN, DiscordServer, discord_server
from tests.bot.house import ROOT, served, settings_for

NOBODY = Secrets(_env_file=None, discord_token=SecretStr(""))  # type: ignore[call-arg]
Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_for(tmp_path, "")


@pytest.fixture
async def discord_here(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[DiscordServer]:
    async with discord_server(monkeypatch) as server:
        yield server


def secrets(token: str = TOKEN) -> Secrets:
    return Secrets(discord_token=SecretStr(token))


def with_base(settings: Settings, base: str | Path, **model: Any) -> Settings:
    return settings.model_copy(update={"model": ModelSection(base=str(base), **model)})


async def test_without_a_token_it_says_where_to_get_one(settings: Settings) -> None:
    finding = await discord_side(settings, NOBODY)
    assert not finding.passed
    assert "DISCORD_TOKEN is not set" in finding.text
    assert ".env" in finding.text


async def test_a_right_token_with_the_intent_passes(settings: Settings, discord_here: DiscordServer) -> None:
    finding = await discord_side(settings, secrets())
    assert finding.passed
    assert "nightschool" in finding.text


async def test_a_wrong_token_is_reported_with_the_fix(
    settings: Settings, discord_here: DiscordServer
) -> None:
    finding = await discord_side(settings, secrets("MTIz.wrong.token"))
    assert not finding.passed
    assert "does not accept DISCORD_TOKEN" in finding.text
    assert "MTIz" not in finding.text


@pytest.mark.parametrize("token", ["two\nlines", "tökén", " "])
async def test_a_token_that_cannot_be_one_is_reported_like_a_wrong_one(
    settings: Settings, discord_here: DiscordServer, token: str
) -> None:
    finding = await discord_side(settings, secrets(token))
    assert not finding.passed
    assert "DISCORD_TOKEN" in finding.text


async def test_a_missing_intent_is_reported_with_the_fix(
    settings: Settings, discord_here: DiscordServer
) -> None:
    discord_here.flags = 0
    finding = await discord_side(settings, secrets())
    assert not finding.passed
    assert "Message Content Intent is off" in finding.text
    assert "Developer Portal" in finding.text


async def test_a_discord_that_cannot_be_reached_is_reported(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("discord.http.Route.BASE", "http://127.0.0.1:9")
    finding = await discord_side(settings, secrets())
    assert not finding.passed
    assert "cannot be reached" in finding.text


async def test_a_database_that_is_not_there_will_be_made(settings: Settings) -> None:
    finding = await database(settings, NOBODY)
    assert finding.passed
    assert "will be made" in finding.text
    assert not settings.database.exists()


async def test_a_sound_database_passes_and_stays_as_it_is(settings: Settings) -> None:
    async with Ledger.open(settings.database) as ledger:
        await ledger.guilds.ensure(7, "Lantern Yard")
    before = settings.database.read_bytes()
    finding = await database(settings, NOBODY)
    assert finding.passed
    assert f"version {migrations()[-1][0]}" in finding.text
    assert settings.database.read_bytes() == before


async def test_a_database_that_the_bot_has_open_passes(settings: Settings) -> None:
    async with Ledger.open(settings.database):
        assert (await database(settings, NOBODY)).passed


async def test_a_newer_database_asks_for_an_update(settings: Settings) -> None:
    settings.database.parent.mkdir(parents=True)
    with sqlite3.connect(settings.database) as connection:
        connection.execute("PRAGMA user_version = 999")
    finding = await database(settings, NOBODY)
    assert not finding.passed
    assert "update Nightschool" in finding.text


async def test_a_file_that_is_no_database_asks_for_a_backup(settings: Settings) -> None:
    settings.database.parent.mkdir(parents=True)
    settings.database.write_bytes(b"no database at all " * 200)
    finding = await database(settings, NOBODY)
    assert not finding.passed
    assert "restore a backup" in finding.text


async def test_a_damaged_database_asks_for_a_backup(settings: Settings) -> None:
    async with Ledger.open(settings.database) as ledger:
        for number in range(200):
            await ledger.guilds.ensure(number + 1, "x" * 500)
    content = bytearray(settings.database.read_bytes())
    content[8192:] = os.urandom(len(content) - 8192)
    settings.database.write_bytes(content)
    finding = await database(settings, NOBODY)
    assert not finding.passed
    assert "restore a backup" in finding.text


async def test_a_whole_folder_with_a_base_model_passes_and_a_torn_one_names_what_is_missing(
    settings: Settings, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        finding = await base_model(with_base(settings, folder), NOBODY)
        assert not finding.passed
        assert name.replace("model.", "*.") in finding.text
        (folder / name).write_text("{}")
    assert (await base_model(with_base(settings, folder), NOBODY)).passed


async def test_a_name_that_can_be_neither_folder_nor_model_is_reported(settings: Settings) -> None:
    finding = await base_model(with_base(settings, "/nowhere/at/all"), NOBODY)
    assert not finding.passed
    assert "fetch-small" in finding.text


@pytest.mark.parametrize(("status", "passed", "said"), [(200, True, "will be fetched"), (404, False, "404")])
async def test_the_hub_is_asked_whether_it_has_the_model(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, status: int, passed: bool, said: str
) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=status)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with served(app) as url:
        monkeypatch.setattr("huggingface_hub.hf_hub_url", lambda *args, **kwargs: f"{url}/config.json")
        finding = await base_model(with_base(settings, "nobody/no-such-model"), NOBODY)
    assert finding.passed is passed
    assert said in finding.text


async def test_a_model_that_is_not_here_without_a_network_is_reported_with_a_way_out(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.hf_hub_url", lambda *a, **k: "http://127.0.0.1:9/config.json")
    finding = await base_model(with_base(settings, "nobody/no-such-model"), NOBODY)
    assert not finding.passed
    assert "cannot be reached" in finding.text
    assert "fetch-small" in finding.text


async def test_with_an_engine_elsewhere_neither_model_nor_gpu_are_wanted_here(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, "http://gpu-box:8000")
    assert "gpu-box" in (await base_model(settings, NOBODY)).text
    assert (await gpu_memory(settings, NOBODY)).passed


@pytest.mark.parametrize(
    ("output", "passed", "said"),
    [
        ("24000\n", True, "23.4 GiB are free"),
        ("2000\n8000\n", True, "7.8 GiB are free"),
        ("2000\n", False, "close other programs"),
        ("No devices were found\n", False, "check the driver"),
    ],
)
async def test_nvidia_smi_says_how_much_gpu_memory_is_free(
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    output: str,
    passed: bool,
    said: str,
) -> None:
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\nprintf '{output}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    finding = await gpu_memory(settings, NOBODY)
    assert finding.passed is passed
    assert said in finding.text


async def test_without_a_gpu_a_small_model_is_advised(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    finding = await gpu_memory(settings, NOBODY)
    assert finding.passed
    assert "small base model" in finding.text


class FreeMemory(NamedTuple):
    available: int


def with_free(monkeypatch: pytest.MonkeyPatch, gib: float) -> None:
    monkeypatch.setattr("bot.hosting.check.psutil.virtual_memory", lambda: FreeMemory(round(gib * 2**30)))


async def test_a_base_that_does_not_fit_into_memory_is_reported(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = tmp_path / "small"
    base.mkdir()
    with (base / "model.safetensors").open("wb") as file:
        file.truncate(2**30)
    asked = with_base(settings, base, device="cpu")
    with_free(monkeypatch, 16)
    assert (await memory(asked, NOBODY)).passed
    with_free(monkeypatch, 1)
    finding = await memory(asked, NOBODY)
    assert not finding.passed
    assert finding.text.startswith("1.0 GiB are free")


async def test_tinyllama_without_a_gpu_is_warned_of(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_free(monkeypatch, 64)
    monkeypatch.setenv("PATH", "")  # where no nvidia-smi is
    finding = await memory(with_base(settings, "TinyLlama/TinyLlama-1.1B-Chat-v1.0"), NOBODY)
    assert "TinyLlama without a GPU" in finding.text
    assert "python -m engine fetch-small" in finding.text


@pytest.mark.parametrize(("free", "passed"), [(DISK_GIB + 1, True), (DISK_GIB - 1, False)])
async def test_room_on_the_disk_is_wanted(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, free: float, passed: bool
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0, 0, int(free * 2**30)))
    finding = await disk(settings, NOBODY)
    assert finding.passed is passed
    assert ("at least 5 are wanted" in finding.text) is not passed


async def test_all_checks_run_in_order_even_if_the_first_fail(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0, 0, 0))
    findings = await check_everything(with_base(settings, "/nowhere"), NOBODY)
    assert [(finding.name, finding.passed) for finding in findings] == [
        ("settings", True),
        ("token and intents", False),
        ("database", True),
        ("base model", False),
        ("chat template", True),
        ("GPU memory", True),
        ("memory", True),
        ("disk", False),
    ]
    assert "Policy lock is on" in findings[0].text


def run_check(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("DISCORD_TOKEN", None)
    return subprocess.run(
        [sys.executable, "-m", "bot", "check", *options],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command_numbers_its_findings_and_ends_with_1_when_any_fails(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("[model]\nbase = '/nowhere/model'\n")
    done = run_check(tmp_path, "--json")
    assert done.returncode == 1
    assert "2. FAIL token and intents: DISCORD_TOKEN is not set" in done.stdout
    assert str(tmp_path / "config.toml") in done.stdout
    outcome = json.loads(done.stdout.splitlines()[-1])
    assert not outcome["ok"]
    assert [check["passed"] for check in outcome["checks"]][:3] == [True, False, True]


def test_settings_with_faults_end_the_command_with_78(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("[bot]\nqueue_sise = 3\ncooldown_seconds = -1\n")
    done = run_check(tmp_path)
    assert done.returncode == 78
    assert "bot.queue_sise" in done.stderr
    assert "bot.cooldown_seconds" in done.stderr
