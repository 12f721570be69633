"""``python -m bot check``: finds out what is missing before anything heavy starts.

Each check gives one line and, if it fails, the fix. Loads no model and no torch.
"""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import discord
import psutil

from bot.client import intents
from bot.hosting.login import INTENT_OFF, NO_TOKEN, WRONG_TOKEN, explained, may_be_token
from bot.serving.chat_template import chat_template_fault, own_template
from ledger.settings import DEFAULT_CONFIG, Secrets, Settings
from ledger.sqlite.database import migrations

DISK_GIB = 5.0
"""Room for a base model, checkpoints and a year of a small server's adapters."""
TINYLLAMA_GIB = 8.0
"""TinyLlama in 32 bits takes 4.1 GiB in the engine, and as much again in the trainer."""
GPU_GIB = 6.0
"""What TinyLlama in 4 bits takes while it trains and serves, with a margin."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One check's outcome; ``text`` says it in words."""

    name: str
    passed: bool
    text: str


Check = Callable[[Settings, Secrets], Awaitable[Finding]]


async def check_everything(
    settings: Settings, secrets: Secrets, *, config: Path = DEFAULT_CONFIG
) -> list[Finding]:
    """Run all checks in order, and return what each found; ``config`` is the settings file."""
    checks: list[Check] = [discord_side, database, base_model, template, gpu_memory, memory, disk]
    return [_settings_passed(settings, config), *[await check(settings, secrets) for check in checks]]


def _settings_passed(settings: Settings, config: Path) -> Finding:
    lock = "" if settings.policy.discord_permission else " Policy lock is on: see the README."
    return Finding(
        "settings", True, f"{config.resolve()} is in order; base model {settings.model.base}.{lock}"
    )


async def discord_side(settings: Settings, secrets: Secrets) -> Finding:
    """Log in with the token, and find out whether the message content intent is switched on."""
    name, token = "token and intents", secrets.discord_token.get_secret_value()
    if not token:
        return Finding(name, False, NO_TOKEN)
    if not may_be_token(token):
        return Finding(name, False, WRONG_TOKEN)
    client = discord.Client(intents=intents())
    try:
        async with asyncio.timeout(20):
            await client.login(token)
            application = await client.application_info()
    except (OSError, TimeoutError, aiohttp.ClientError, discord.DiscordException) as error:
        return Finding(name, False, str(explained(error) or error))
    finally:
        await client.close()
    flags = application.flags
    # "Limited" is what bots in fewer than 100 servers have.
    if not (flags.gateway_message_content or flags.gateway_message_content_limited):
        return Finding(name, False, INTENT_OFF)
    return Finding(name, True, f"Logged in as {application.name}; the intents are on.")


async def database(settings: Settings, secrets: Secrets) -> Finding:
    """Read the database without changing it."""
    path = settings.database
    if not path.exists():
        writable = _can_write(path.parent)
        text = f"{path} will be made at the first start." if writable else f"{path.parent} cannot be written."
        return Finding("database", writable, text)
    try:
        # Read-only, so that a check next to a running bot changes nothing.
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
            version = int(connection.execute("PRAGMA user_version").fetchone()[0])
            sound = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.Error as error:
        return Finding("database", False, f"{path} cannot be read ({error}); restore a backup.")
    newest = migrations()[-1][0]
    if version > newest:
        return Finding(
            "database",
            False,
            f"{path} has version {version}, this program knows {newest}: update Nightschool.",
        )
    if sound != "ok":
        return Finding("database", False, f"{path} is damaged ({sound}); restore a backup.")
    return Finding("database", True, f"{path} is sound, version {version} of {newest}.")


async def base_model(settings: Settings, secrets: Secrets) -> Finding:
    """Find out whether the base model is a complete folder, is cached, or can be fetched."""
    base = settings.base_model()
    if settings.engine.url:
        return Finding("base model", True, f"{base} is served by {settings.engine.url}.")
    folder = Path(base)
    if folder.is_dir():
        missing = [name for name in ("config.json", "tokenizer.json") if not (folder / name).is_file()]
        if not any(folder.glob("*.safetensors")):
            missing.append("*.safetensors")
        text = f"{folder} lacks {', '.join(missing)}; fetch the model again." if missing else f"{folder}"
        return Finding("base model", not missing, text)
    return await _hub_model(base, settings.model.revision)


async def _hub_model(base: str, revision: str) -> Finding:
    from huggingface_hub import hf_hub_url, try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    advice = "set [model] base to a folder, or fetch the small model with: python -m engine fetch-small."
    try:
        if isinstance(try_to_load_from_cache(base, "config.json", revision=revision), str):
            return Finding("base model", True, f"{base} is in the Hugging Face cache.")
    except HFValidationError:
        return Finding("base model", False, f"{base} is neither a folder nor a name on the hub; {advice}")
    url = hf_hub_url(base, "config.json", revision=revision)
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=15)) as session,
            session.head(url, allow_redirects=True) as response,
        ):
            status = response.status
    except (aiohttp.ClientError, TimeoutError) as error:
        reason = f"the hub cannot be reached ({type(error).__name__})"
        return Finding("base model", False, f"{base} is not on this machine and {reason}; {advice}")
    if status != 200:
        return Finding("base model", False, f"The hub does not give {base} (HTTP {status}); {advice}")
    return Finding("base model", True, f"{base} will be fetched from the hub at the first start.")


async def template(settings: Settings, secrets: Secrets) -> Finding:
    """Render one of the bot's prompts with the base model's own template, or the one in the settings."""
    name, folder = "chat template", Path(settings.base_model())
    if settings.engine.url:
        return Finding(name, True, f"that is the affair of {settings.engine.url}.")
    if not settings.model.chat_template and not folder.is_dir():
        return Finding(name, True, "looked at when the base model has been fetched.")
    fault = chat_template_fault(settings.model.chat_template or own_template(folder))
    return Finding(name, not fault, fault or "it takes the bot's prompts, system turn included.")


async def memory(settings: Settings, secrets: Secrets) -> Finding:
    """Compare the machine's free memory with what the base model takes while it serves and trains."""
    if settings.engine.url:
        return Finding("memory", True, "another machine serves.")
    free = psutil.virtual_memory().available / 2**30
    folder = Path(settings.base_model())
    files = folder.glob("*.safetensors") if folder.is_dir() else ()
    held = sum(file.stat().st_size for file in files) / 2**30
    tiny = "tinyllama" in settings.model.base.lower()
    # Three times the weights: the engine's copy, the trainer's, and what a fit adds to it.
    wanted = max(2.0, 3 * held) if held or not tiny else TINYLLAMA_GIB
    enough = free >= wanted
    advice = "" if enough else f"; about {wanted:.0f} are wanted: take a smaller base model"
    if tiny and settings.model.device in ("auto", "cpu") and shutil.which("nvidia-smi") is None:
        advice += (
            "; TinyLlama without a GPU answers slowly and trains for hours: python -m engine fetch-small "
            "gets a smaller model"
        )
    return Finding("memory", enough, f"{free:.1f} GiB are free{advice}.")


async def gpu_memory(settings: Settings, secrets: Secrets) -> Finding:
    """Ask nvidia-smi, if there is one, how much GPU memory is free."""
    if settings.engine.url or settings.model.device == "cpu" or shutil.which("nvidia-smi") is None:
        reason = "another machine serves" if settings.engine.url else "no NVIDIA GPU is used"
        return Finding("GPU memory", True, f"{reason}; nights on a CPU want a small base model.")
    process = await asyncio.create_subprocess_exec(
        "nvidia-smi",
        "--query-gpu=memory.free",
        "--format=csv,noheader,nounits",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    output, _ = await process.communicate()
    free = [int(line) / 1024 for line in output.decode().split() if line.isdigit()]
    if not free:
        return Finding(
            "GPU memory", False, "nvidia-smi shows no GPU; check the driver, or set [model] device."
        )
    enough = max(free) >= GPU_GIB
    advice = "" if enough else f"; {GPU_GIB:.0f} are wanted: close other programs, or take a smaller model"
    return Finding("GPU memory", enough, f"{max(free):.1f} GiB are free{advice}.")


async def disk(settings: Settings, secrets: Secrets) -> Finding:
    """Find out whether the models' folder has room."""
    folder = next(p for p in (settings.models_dir, *settings.models_dir.parents) if p.exists())
    free = shutil.disk_usage(folder).free / 2**30
    enough = free >= DISK_GIB
    advice = "" if enough else f"; at least {DISK_GIB:.0f} are wanted"
    return Finding("disk", enough, f"{free:.1f} GiB are free for {settings.models_dir}{advice}.")


def _can_write(folder: Path) -> bool:
    import os

    existing = next(p for p in (folder, *folder.parents) if p.exists())
    return os.access(existing, os.W_OK)
