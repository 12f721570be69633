"""How fast the bot keeps what is said: from Discord's event to the stored row.

    python benchmarks/bench_recording.py
    python benchmarks/bench_recording.py --rate 5000 --neighbour

Drives the bot's own recorder with discord.py's own objects, each message in a task of its own as
discord.py delivers it, and with nobody else at work. One member in ten did not agree; only what is stored
is counted, though the time for the others' messages counts as well. Meanwhile the event loop's lag is
taken: how much later than asked a pause of 5 ms ends. Without ``--rate`` up to ``--in-flight`` messages
are on their way at once; with it they come as time passes. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import discord

from bot.background import Background
from bot.keeping.recording import Recording
from ledger.store import Ledger
from surroundings import load, surroundings

GUILD, ME = 700, 1
MEMBERS, CHANNELS = 40, 8
REFUSING = 10
"""One in so many did not agree."""
ALL_RIGHTS = str(2**45 - 1)
PAUSE_SECONDS = 0.005
"""The pause whose end is watched."""
SLICE = 25
"""How many events the loop gets at once, without ``--rate``."""
LINES = (
    "good morning",
    "did anybody feed the sourdough? it has outgrown the jar and looks at the cat",
    "lol",
    "I think we should meet on Thursday evening, on Friday the kitchen belongs to the choir",
    "no, really? that was my umbrella! it is green, it leaks, and I would like to have it back",
    "the build is red again, can somebody look at https://ci.example.org/job/4711?",
    "ok",
    "thank you, that helps a lot. let me try it tonight and tell you tomorrow whether it worked",
    "2 buckets, 1 ladder and 4 lamps are still in the shed",
    "what do you mean by that?",
    "hm, the old router blinks three times, waits for a moment and then forgets what it wanted",
    "yes",
    "it used to work in version 3.2, so something must have changed since",
    "who has the key to the attic",
    "then do it the other way round: first the paint, and the shelf when it is dry",
    "write me at heron@example.org if you want the recipe, or call 030 5550 1234 after six",
    "nobody told me",
    "could be worse, could be raining",
    "I am not sure that anybody reads this channel before noon",
    "good night everybody, see you",
)
"""Like real chat in what it costs to look through: 50 characters on average, digits in one of five."""


def main() -> None:
    """Measure, print what was found and a JSON line."""
    options = parser().parse_args()
    before = surroundings(("discord.py", "aiosqlite"))
    neighbour = burning() if options.neighbour else None
    try:
        rounds = [asyncio.run(measure(options)) for _ in range(options.rounds)]
    finally:
        if neighbour is not None:
            neighbour.kill()
            neighbour.wait()
    result = {name: statistics.median(each[name] for each in rounds) for name in rounds[0]}
    for name, value in result.items():
        print(f"{name.replace('_', ' '):32}{value:>12,}")
    about = {
        **before,
        "rate": options.rate,
        "neighbour": options.neighbour,
        "messages": options.messages,
        "load_after": load(),
    }
    print(json.dumps({**about, **result, "rounds": rounds}))


def parser() -> argparse.ArgumentParser:
    known = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known.add_argument("--messages", type=int, default=20_000, help="how many a round")
    known.add_argument("--rounds", type=int, default=3, help="the median of so many counts")
    known.add_argument("--rate", type=int, default=0, help="messages a second; 0: as fast as they are kept")
    known.add_argument("--in-flight", type=int, default=1000, help="messages on their way, without --rate")
    known.add_argument("--neighbour", action="store_true", help="beside a process that burns one core")
    return known


def burning() -> subprocess.Popen[bytes]:
    """Start a process that does nothing, as fast as it can."""
    return subprocess.Popen([sys.executable, "-c", "while True: pass"])


async def measure(options: argparse.Namespace) -> dict[str, float]:
    """Record one round's messages in a new ledger; return what it took."""
    messages = talk(options.messages)
    with tempfile.TemporaryDirectory() as folder:
        async with (
            Ledger.open(Path(folder) / "ledger.db") as ledger,
            Background() as background,
        ):
            await ledger.guilds.ensure(GUILD, "Lantern Yard")
            agreeing = [number for number in members() if number % REFUSING]
            for number in agreeing:
                await ledger.consent.opt_in(GUILD, number)
            recording = Recording(
                ledger=ledger, background=background, bot_id=lambda: ME, source="discord", tell=_tell_nobody
            )
            await recording.hear(messages[0])  # what is read or compiled only once
            # Messages that wait here for their turn would be none of the bot's objects.
            gc.collect()
            gc.freeze()
            lags: list[float] = []
            probe = asyncio.create_task(watch(lags))
            cpu, wall = time.process_time(), time.perf_counter()
            if options.rate:
                await fed_by_time(messages[1:], recording.hear, options.rate)
            else:
                await fed_in_slices(messages[1:], recording.hear, options.in_flight)
            await recording.caught_up()
            cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
            probe.cancel()
            stored = await ledger.messages.count(GUILD) - (messages[0].author.id in agreeing)
            wanted = sum(message.author.id in agreeing for message in messages[1:])
            if stored != wanted:
                raise SystemExit(f"{stored} messages are stored, and should be {wanted}")
    lags.sort()
    return {
        "stored_a_cpu_second": round(stored / cpu),
        "stored_a_second": round(stored / wall),
        "heard_a_second": round((len(messages) - 1) / wall),
        "cores": round(cpu / wall, 2),
        "lag_p50_ms": round(1000 * lags[len(lags) // 2], 2),
        "lag_p99_ms": round(1000 * lags[len(lags) * 99 // 100], 2),
        "lag_most_ms": round(1000 * lags[-1], 2),
    }


def _tell_nobody(guild_id: int, text: str) -> None:
    raise SystemExit(f"the recorder had trouble: {text}")


async def watch(lags: list[float]) -> None:
    """Add by how many seconds each pause ended late."""
    while True:
        asked = time.perf_counter()
        await asyncio.sleep(PAUSE_SECONDS)
        lags.append(time.perf_counter() - asked - PAUSE_SECONDS)


Hear = Callable[[discord.Message], Awaitable[None]]


class Events:
    """Runs each event in a task of its own, as discord.py does."""

    def __init__(self, hear: Hear) -> None:
        self._hear = hear
        self.on_their_way: set[asyncio.Task[None]] = set()
        self.failures: list[BaseException] = []
        self.ended = asyncio.Event()

    def deliver(self, messages: list[discord.Message]) -> None:
        for message in messages:
            task = asyncio.ensure_future(self._hear(message))
            self.on_their_way.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Future[None]) -> None:
        self.on_their_way.discard(task)
        self.ended.set()
        if (error := task.exception()) is not None:
            self.failures.append(error)

    async def all_kept(self) -> None:
        while self.on_their_way:
            await asyncio.wait(set(self.on_their_way))
        if self.failures:
            raise self.failures[0]


async def fed_in_slices(messages: list[discord.Message], hear: Hear, in_flight: int) -> None:
    """Deliver all messages, at most ``in_flight`` at once."""
    events = Events(hear)
    for start in range(0, len(messages), SLICE):
        while len(events.on_their_way) > in_flight - SLICE:
            events.ended.clear()
            await events.ended.wait()
        events.deliver(messages[start : start + SLICE])
        await asyncio.sleep(0)
    await events.all_kept()


async def fed_by_time(messages: list[discord.Message], hear: Hear, rate: int) -> None:
    """Deliver ``rate`` messages a second, however many are on their way."""
    events, began, done = Events(hear), time.perf_counter(), 0
    while done < len(messages):
        due = min(len(messages), int((time.perf_counter() - began) * rate))
        events.deliver(messages[done:due])
        done = due
        await asyncio.sleep(0.001)
    await events.all_kept()


def members() -> range:
    return range(1000, 1000 + MEMBERS)


def talk(count: int) -> list[discord.Message]:
    """Return messages as discord.py makes them of what the gateway sends."""
    client = discord.Client(intents=discord.Intents.none())
    state: Any = client._connection
    guild = discord.Guild(data=_guild(), state=state)
    channels: list[Any] = [guild.get_channel(GUILD + 1 + number) for number in range(CHANNELS)]
    draw = random.Random(5)
    first = discord.utils.time_snowflake(datetime(2026, 3, 2, 12, 0, tzinfo=UTC))
    found = []
    for number in range(count):
        author, channel = draw.choice(members()), draw.choice(channels)
        found.append(
            discord.Message(
                state=state,
                channel=channel,
                data=_message(first + (number << 22), author, channel.id, draw.choice(LINES)),  # type: ignore[arg-type]
            )
        )
    return found


def _message(number: int, author: int, channel: int, text: str) -> dict[str, Any]:
    user = {"id": str(author), "username": f"member-{author}", "discriminator": "0", "avatar": None}
    return {
        "id": str(number),
        "channel_id": str(channel),
        "guild_id": str(GUILD),
        "author": user,
        "member": {"roles": [], "joined_at": None, "deaf": False, "mute": False, "flags": 0},
        "content": text,
        "timestamp": "2026-03-02T12:00:00+00:00",
        "edited_timestamp": None,
        "tts": False,
        "mention_everyone": False,
        "mentions": [],
        "mention_roles": [],
        "attachments": [],
        "embeds": [],
        "pinned": False,
        "type": 0,
    }


def _guild() -> Any:
    everybody = {"id": str(GUILD), "name": "@everyone", "permissions": ALL_RIGHTS, "position": 0}
    role = {**everybody, "color": 0, "colors": {"primary_color": 0}, "hoist": False, "managed": False}
    return {
        "id": str(GUILD),
        "name": "Lantern Yard",
        "owner_id": "1",
        "roles": [{**role, "mentionable": False, "flags": 0}],
        "channels": [_channel(GUILD + 1 + number) for number in range(CHANNELS)],
        "members": [],
        "member_count": MEMBERS,
        "emojis": [],
        "stickers": [],
        "features": [],
        "threads": [],
        "voice_states": [],
        "presences": [],
        "stage_instances": [],
        "guild_scheduled_events": [],
        "soundboard_sounds": [],
        "verification_level": 0,
        "default_message_notifications": 0,
        "explicit_content_filter": 0,
        "mfa_level": 0,
        "nsfw_level": 0,
        "premium_tier": 0,
        "system_channel_flags": 0,
        "preferred_locale": "en-US",
        "afk_timeout": 300,
        "unavailable": False,
    }


def _channel(number: int) -> dict[str, Any]:
    return {
        "id": str(number),
        "guild_id": str(GUILD),
        "name": f"channel-{number}",
        "type": 0,
        "position": 0,
        "permission_overwrites": [],
        "nsfw": False,
    }


if __name__ == "__main__":
    main()
