"""``python -m bot demo``: the real bot, engine and trainer around the local Discord.

Everything is the product itself but Discord, which is :mod:`bot.demo.world`. The demo keeps its
ledger and adapters in a folder of its own, so that it never touches those of a real server.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from bot.client import NightschoolBot
from bot.demo.comparing import Comparing
from bot.demo.live import LiveClock
from bot.demo.night_progress import progress_text
from bot.demo.page import Page, listen
from bot.demo.sample import DEMO_QUESTIONS, DemoQuestion, export_paths, load_exports
from bot.demo.world import World
from bot.nights.trainer_process import WatchedNight
from bot.services import Services, open_services
from ledger.clock import from_ms
from ledger.errors import LedgerError, NightschoolError
from ledger.learned.outcome import Outcome
from ledger.settings import Settings, load_settings
from ledger.store import Ledger

log = logging.getLogger(__name__)

SMALL_MODEL = Path("models/base/SmolLM2-135M-Instruct")
BASIS = "sample server, written for this project"
NEWCOMER = "Pip"
"""The one sample member who has not agreed yet, so that a visitor can see what that changes."""
ANSWER_SECONDS = 120.0
NIGHT_POLL_SECONDS = 0.5

CONFIG = """\
# The demo's settings: a small model, and a night that ends within minutes on two cores.
[paths]
data = {data}
models = {models}
[model]
base = {base}
device = "cpu"
[bot]
cooldown_seconds = 0.0
max_answer_tokens = 48
[schedule]
min_new_replies = 20
[dataset]
max_heldout_replies = 80
[training]
epochs = 2
learning_rate = 1e-3
accumulation_steps = 1
"""

SPLIT_KEY = b"the sample server"
"""Decides what is held out. Ledgers draw their own; the demo's is fixed, so that its figures repeat."""

DAY = (
    ("Mira", "kitchen-table", "right then, who is hungry? thank you, lovelies"),
    ("Bas", "kitchen-table", "soup. in ten minutes."),
    ("Rowan", "workshop", "I reckon the shed wants sweeping, and I know where the key is"),
    ("Otto", "workshop", "hmm, leave the hinge, it needs beeswax first tbh"),
    (NEWCOMER, "lounge", "nobody has asked me yet, so nobody writes this down"),
)
"""A sample day, said live: what consenting members write is kept, the newcomer's line is not."""


async def play(config: Path, *, once: bool, port: int, keep: Path | None) -> dict[str, Any]:
    """Run the demo; return its outcome (with ``ok``) when played once.

    Raises:
        NightschoolError: the small model is missing, the port is taken, or the night could not be played.
    """
    base = load_settings(config).root / SMALL_MODEL
    if not (base / "config.json").is_file():
        raise NightschoolError(
            f"The demo's model is not at {base}; fetch it with: python -m engine fetch-small."
        )
    for number in (signal.SIGTERM, signal.SIGHUP):
        # A closed terminal ends the demo as Ctrl-C does: the engine stops, and the folder goes.
        asyncio.get_running_loop().add_signal_handler(number, signal.raise_signal, signal.SIGINT)
    with contextlib.ExitStack() as stack:
        listening = None if once else stack.enter_context(listen(port))
        scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="nightschool-demo-"))
        folder = (keep or Path(scratch)).resolve()
        settings, demo_config = _settle_in(folder, base)
        async with _open(settings, demo_config, compares=not once) as (services, world):
            if once:
                return await _day_and_night(services, world)
            async with Page(world, listening=listening) as page:
                print(f"\n  Nightschool is at {page.url}\n  Stop it with Ctrl-C.\n", file=sys.stderr)
                await asyncio.Event().wait()
    raise AssertionError("the page is served until it is interrupted")


def _settle_in(folder: Path, base: Path) -> tuple[Settings, Path]:
    """Write the demo's settings into its folder and return them with their path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "config.toml"
    path.write_text(
        CONFIG.format(
            data=json.dumps(str(folder / "data")),
            models=json.dumps(str(folder / "models")),
            base=json.dumps(str(base.resolve())),
        ),
        encoding="utf-8",
    )
    return load_settings(path), path


@asynccontextmanager
async def _open(settings: Settings, config: Path, *, compares: bool) -> AsyncIterator[tuple[Services, World]]:
    """Import the sample server, start the services, and put the bot into the world.

    ``compares``: the same questions are asked before and after each night, for the page.
    """
    clock = LiveClock()
    await _import_sample(settings, config, clock)
    if (last := await _last_night(settings)) is not None:
        clock.move_to(last)
    async with open_services(settings, config=config, clock=clock) as services:
        nights_told: asyncio.Queue[WatchedNight] = asyncio.Queue()

        async def tell(night: WatchedNight) -> None:
            nights_told.put_nowait(night)

        async def on_time_moved() -> None:
            for guild_id in await services.schedule.tick():
                night = services.nights.current(guild_id) or services.nights.last[guild_id]
                await _tell_progress(services, world, guild_id)
                while await nights_told.get() is not night:
                    pass  # one that was started by hand before

        guild_id = int(load_exports()[0]["guild"]["id"])
        bot = NightschoolBot(services, source="local")
        world = World(
            bot,
            clock=clock,
            admin_channel=settings.bot.admin_channel,
            bot_name=settings.bot.name,
            timezone=settings.schedule.timezone,
            on_time_moved=on_time_moved,
            under_way=lambda: _end_of_night(services, guild_id),
        )
        async with world:
            # Listeners are called in order: the report is posted and the answers are compared before
            # the night is told.
            comparing = Comparing(services, world, [question.text for question in DEMO_QUESTIONS])
            if compares:
                services.nights.on_finished(comparing.compare)
            services.nights.on_finished(tell)
            log.info("loading the model; this takes a few seconds")
            if services.engine_process is not None:
                await services.engine_process.ready()
            await services.serving.sync()
            if compares:
                services.background.run(comparing.begin(), name="answers before the night")
            yield services, world


async def _import_sample(settings: Settings, config: Path, clock: LiveClock) -> None:
    """Import the sample server as an operator would, and note its members' consent."""
    exports = load_exports()
    guild = exports[0]["guild"]
    guild_id = int(guild["id"])
    async with Ledger.open(settings.database, clock=clock, scrubbing=settings.privacy.scrub) as ledger:
        # On the demo's clock, so that nights before its first day are not made up.
        await ledger.guilds.ensure(guild_id, guild["name"])
        await ledger.writer.execute("UPDATE split_key SET key = ?", (SPLIT_KEY,))
        people = {int(m["author"]["id"]): m["author"] for export in exports for m in export["messages"]}
        for user_id, author in people.items():
            if not author["isBot"] and author["name"].lower() != NEWCOMER.lower():
                await ledger.consent.opt_in(guild_id, user_id)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "trainer", "import", "--config", str(config), "--basis", BASIS, "--json"),
        *map(str, export_paths()),
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    if process.returncode:
        raise LedgerError(f"The sample server could not be imported (exit code {process.returncode}).")
    log.info("imported the sample server: %s", output.decode().strip().splitlines()[-1][:200])


def _end_of_night(services: Services, guild_id: int) -> Awaitable[None] | None:
    """Return the end of the night that is under way, to be waited for; None where none is."""
    night = services.nights.current(guild_id)
    if night is None:
        return None

    async def ended() -> None:
        await night.ended.wait()

    return ended()


async def _last_night(settings: Settings) -> datetime | None:
    """Return when the last night of a kept demo ended: its clock goes on from there."""
    async with Ledger.open(settings.database, scrubbing=settings.privacy.scrub) as ledger:
        ends = [
            run.finished_at or run.created_at
            for guild_id in await ledger.guilds.all()
            for run in await ledger.runs.of_guild(guild_id, limit=1)
        ]
    return from_ms(max(ends)) if ends else None


async def _tell_progress(services: Services, world: World, guild_id: int) -> None:
    """Show the night's progress beside the clock until it ends."""
    while (night := services.nights.current(guild_id)) is not None:
        world.tell_night(progress_text(night))
        await asyncio.sleep(NIGHT_POLL_SECONDS)


async def _day_and_night(services: Services, world: World) -> dict[str, Any]:
    """Play a day and a night without a page; return the outcome as the command prints it."""
    started = time.monotonic()
    before = [await _ask(services, world, question) for question in DEMO_QUESTIONS]
    for who, channel, text in DAY:
        await world.say(who, channel, text)
    await world.next_night()
    outcome = services.nights.last[world.guild_id].outcome or Outcome()
    after = [await _ask(services, world, question) for question in DEMO_QUESTIONS]
    champion = services.serving.version(world.guild_id)
    promoted = outcome.stage == "promoted" and champion == outcome.candidate
    base, candidate = (outcome.perplexity.get(name) for name in ("base", "candidate"))
    better = base is not None and candidate is not None and candidate < base
    return {
        "ok": promoted and better and after != before and _reported(world, services),
        "promoted": promoted,
        "champion": champion,
        "perplexity": outcome.perplexity,
        "questions": [question.text for question in DEMO_QUESTIONS],
        "before": before,
        "after": after,
        "learned": [
            any(word in text.lower() for word in question.keywords)
            for question, text in zip(DEMO_QUESTIONS, after, strict=True)
        ],
        "reasons": list(outcome.reasons),
        "error": outcome.error,
        "seconds": round(time.monotonic() - started, 1),
    }


async def _ask(services: Services, world: World, question: DemoQuestion) -> str:
    """Ask in the question's channel as a member would, and return the bot's whole answer.

    Raises:
        NightschoolError: no answer came in time.
    """
    asked = await world.say(question.asker, question.channel, f"<@{world.bot_id}> {question.text}")

    def replies() -> list[str]:
        return [
            message.content
            for message in world.messages(question.channel)
            if message.id > asked and message.author_id == world.bot_id
        ]

    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            await world.until(replies, ANSWER_SECONDS)
            await services.answering.drained()
    except TimeoutError as error:
        raise NightschoolError(f"No answer came within {ANSWER_SECONDS:.0f} seconds.") from error
    return "".join(replies())


def _reported(world: World, services: Services) -> bool:
    """Tell whether the night's report stands in the admin channel."""
    return any(message.embeds for message in world.messages(services.settings.bot.admin_channel))
