"""What the bot's tests live in: the real bot and its services on a local Discord, and an engine stand-in.

The stand-in speaks the engine's protocol over HTTP and fails on request; tests of what the model
says use the real engine instead.
"""

from __future__ import annotations

import asyncio
import contextvars
import json
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import discord
import simcord
from aiohttp import web
from discord.webhook.async_ import async_context

from bot.client import NightschoolBot
from bot.services import Services, open_services
from ledger.clock import Clock
from ledger.records import Message
from ledger.settings import BotSection, EngineSection, ModelSection, ScheduleSection, Secrets, Settings
from tests.conftest import FakeClock
from tests.searching import holding

MARK = "zebrafish-marzipan"
"""A word that nobody else says: where it turns up, a member's words are."""
NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
BASE = "stand-in/base"
T = TypeVar("T")
ROOT = Path(__file__).resolve().parents[2]


async def until(condition: Callable[[], Any], *, seconds: float = 10.0) -> None:
    """Wait until ``condition`` holds; fail when it does not in time."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, f"waited {seconds} s in vain"
        await asyncio.sleep(0.005)


@dataclass
class StandInEngine:
    """An engine that says what it is told to, and fails on request."""

    url: str = ""
    pieces: Callable[[dict[str, Any]], Iterable[str]] = lambda body: ["Good ", "evening."]
    asked: list[dict[str, Any]] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    loaded: set[str] = field(default_factory=set)
    refused: dict[str, str] = field(default_factory=dict)
    answers: list[tuple[int, str]] = field(default_factory=list)
    """Status and message of the next chat requests, before it answers properly again."""
    breaks_off: bool = False
    finish: str = "stop"
    longest_prompt: int = 10**9
    step: asyncio.Semaphore | None = None
    """Where set, each piece waits for a release."""
    pause: float = 0.0
    """Seconds before each piece."""

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_post("/v1/load_lora_adapter", self._load)
        app.router.add_post("/v1/unload_lora_adapter", self._unload)
        app.router.add_get("/v1/models", self._models)
        app.router.add_get("/health", self._health)
        return app

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.asked.append(body)
        if self.answers:
            return _refusal(*self.answers.pop(0))
        if body["model"] != BASE and body["model"] not in self.loaded:
            return _refusal(404, f"The model {body['model']!r} is not loaded.")
        if sum(len(turn["content"]) for turn in body["messages"]) > self.longest_prompt:
            return _refusal(400, "maximum context length")
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for piece in self.pieces(body):
            if self.step is not None:
                await self.step.acquire()
            if self.pause:
                await asyncio.sleep(self.pause)
            event: dict[str, Any] = {"choices": [{"delta": {"content": piece}}]}
            await response.write(b"data: " + json.dumps(event).encode() + b"\n\n")
        if not self.breaks_off:
            last = {"choices": [{"delta": {}, "finish_reason": self.finish}]}
            await response.write(b"data: " + json.dumps(last).encode() + b"\n\n")
            await response.write(b"data: [DONE]\n\n")
        return response

    async def _load(self, request: web.Request) -> web.Response:
        name = (await request.json())["lora_name"]
        self.calls.append(f"load {name}")
        if name in self.refused:
            return _refusal(400, self.refused[name])
        self.loaded.add(name)
        return web.Response(text="ok")

    async def _unload(self, request: web.Request) -> web.Response:
        name = (await request.json())["lora_name"]
        self.calls.append(f"unload {name}")
        if name not in self.loaded:
            return _refusal(404, "not loaded")
        self.loaded.discard(name)
        return web.Response(text="ok")

    async def _models(self, request: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": name} for name in (BASE, *sorted(self.loaded))]})

    async def _health(self, request: web.Request) -> web.Response:
        return web.json_response({})


def _refusal(status: int, message: str) -> web.Response:
    return web.json_response({"error": {"message": message}}, status=status)


@asynccontextmanager
async def stand_in_engine() -> AsyncIterator[StandInEngine]:
    """Serve a stand-in engine on a free port of this machine."""
    engine = StandInEngine()
    async with served(engine.app()) as url:
        engine.url = url
        yield engine


@dataclass(frozen=True)
class RealEngine:
    """The engine's own process on the tiny model."""

    url: str
    token: str
    base: Path
    adapters: Path
    make: Callable[..., Path]

    def make_adapter(self, version: str, *, seed: int) -> Path:
        """Write a version with random weights where the ledger says that it lies."""
        return self.make(self.adapters, version, seed)

    async def loaded(self) -> set[str]:
        """Return the names of everything that can be asked for."""
        headers = {"Authorization": f"Bearer {self.token}"}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.get(f"{self.url}/v1/models") as response,
        ):
            return {entry["id"] for entry in (await response.json())["data"]}


@asynccontextmanager
async def served(app: web.Application) -> AsyncIterator[str]:
    """Serve ``app`` on a free port of this machine and give its URL."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def settings_for(
    root: Path, engine_url: str, *, base: str = BASE, max_batch: int = 4, **bot: Any
) -> Settings:
    """Return settings with everything under ``root``, no cooldown, no schedule, and the engine's URL."""
    edit_interval = bot.pop("edit_interval_seconds", 1.0)
    section = BotSection(**{"cooldown_seconds": 0.0, **bot})
    return Settings(
        root=root,
        engine=EngineSection(url=engine_url, max_batch=max_batch),
        model=ModelSection(base=base),
        # Tests that watch an answer grow cannot wait for the second that people are given.
        bot=section.model_copy(update={"edit_interval_seconds": edit_interval}),
        schedule=ScheduleSection(enabled=False),
    )


@dataclass
class House:
    """A bot at work: its Discord, its services, a channel to talk in, and people."""

    env: simcord.Env
    bot: NightschoolBot
    services: Services
    guild: simcord.GuildHandle
    general: simcord.ChannelHandle
    office: simcord.ChannelHandle
    ann: simcord.MemberActor
    ben: simcord.MemberActor
    boss: simcord.MemberActor

    @property
    def user(self) -> discord.ClientUser:
        """The bot's own account."""
        assert self.bot.user is not None
        return self.bot.user

    @property
    def me(self) -> str:
        """The bot's mention."""
        return self.user.mention

    async def quiet(self) -> None:
        """Wait until every question that was taken is answered."""
        await asyncio.wait_for(self.services.answering.drained(), 20)

    async def ask(
        self,
        who: simcord.MemberActor,
        text: str,
        *,
        channel: simcord.ChannelHandle | None = None,
        **kwargs: Any,
    ) -> discord.Message:
        """Have ``who`` address the bot, wait for its answer, and return the question."""
        question = await who.send(channel or self.general, f"{self.me} {text}", **kwargs)
        await self.quiet()
        return question

    def said(self, channel: simcord.ChannelHandle | None = None) -> list[str]:
        """Return what the bot said in a channel, oldest first."""
        return [m.content for m in self.last(channel)]

    def last(self, channel: simcord.ChannelHandle | None = None) -> list[discord.Message]:
        """Return the bot's messages in a channel, oldest first."""
        return [m for m in (channel or self.general).history() if m.author.id == self.user.id]

    async def opt_in(self, *people: simcord.MemberActor) -> None:
        """Have people say yes to being learned from, for all channels."""
        for person in people:
            await person.slash(self.general, "privacy opt-in")

    async def exported(self, who: simcord.MemberActor) -> dict[str, Any]:
        """Return what the file holds that a member is given on asking for everything."""
        result = await who.slash(self.general, "privacy export")
        assert result.ephemeral
        assert result.response is not None
        [file] = result.response.attachments
        return dict(json.loads(self.env.backend.cdn.get(file.url) or b""))

    async def promoted(self, guild: simcord.GuildHandle | None = None) -> str:
        """Let a new version serve in a guild, and return its name."""
        version = await self.candidate(guild)
        await self.services.ledger.promotions.promote((guild or self.guild).id, version, by="test")
        await self.services.serving.sync()
        return version

    async def candidate(
        self, guild: simcord.GuildHandle | None = None, *, parent: str | None = None, promoted: bool = False
    ) -> str:
        """Record a version that does not serve unless it is ``promoted``, and return its name."""
        guild, ledger = guild or self.guild, self.services.ledger
        await ledger.guilds.ensure(guild.id, guild.name)
        run = await ledger.runs.create(guild.id, "test")
        folder = str(self.services.settings.adapters_dir)
        adapter = await ledger.adapters.reserve(
            guild.id, run.id, adapters_dir=folder, base_model=BASE, parent=parent
        )
        if promoted:
            await ledger.promotions.promote(guild.id, adapter.version, by="test")
        return adapter.version

    async def kept(self) -> list[Message]:
        """Return the messages of this server that are kept, oldest first."""
        return await self.services.ledger.messages.of_guild(self.guild.id)

    async def texts(self) -> list[str]:
        """Return what the kept messages say, oldest first."""
        return [message.content for message in await self.kept()]

    def on_disk(self, text: str) -> bool:
        """Tell whether the text stands in the database, or in anything that SQLite keeps beside it."""
        return bool(holding(text, self.services.ledger.path.parent))


@asynccontextmanager
async def open_house(
    settings: Settings,
    *,
    clock: Clock | None = None,
    trainer: Path | None = None,
    secrets: Secrets | None = None,
    played_again: bool = False,
) -> AsyncIterator[House]:
    """Open the services, connect the bot to a local Discord, and let people in.

    The services come first: work that they own must not be counted as the bot's by the simulation,
    which waits for such work after every action. ``trainer`` is a script to run as the trainer.
    ``played_again`` says that the Discord of before is not there: it is empty at first, and the bot would
    take all that it remembers for deleted.
    """
    config = settings.root / "config.toml"
    clock = clock or FakeClock(NOON)
    async with open_services(settings, config=config, clock=clock, secrets=secrets) as services:
        if trainer is not None:
            services.nights._command = trainer_command(trainer)
        bot = NightschoolBot(services)
        if played_again:
            (settings.data_dir / "commands.synced").unlink(missing_ok=True)  # this Discord knows no command
            bot.catch_up = _nothing  # type: ignore[method-assign]
        async with connected(bot) as env:
            yield _furnished(env, bot, services)


async def _nothing() -> None:
    """Look for nothing."""


@asynccontextmanager
async def connected(bot: NightschoolBot) -> AsyncIterator[simcord.Env]:
    """Connect ``bot`` to a Discord of its own (``simcord.run`` cannot be entered in a fixture)."""
    env = simcord.Env(bot, check_errors=False)
    await env.start()
    # Workers that were started before the bot do not see the simulation's context; discord.py's
    # default transport for interactions is pointed to it, too.
    transport = contextvars.Context().run(async_context.get)
    transport.request = lambda *args, **kwargs: env._webhook_adapter.request(*args, **kwargs)  # type: ignore[method-assign]
    try:
        yield env
    finally:
        del transport.request
        await env.shutdown()


def _furnished(env: simcord.Env, bot: NightschoolBot, services: Services) -> House:
    guild = env.create_guild("Lantern Yard")
    admins = guild.create_role("Admins", permissions=discord.Permissions(manage_guild=True))
    return House(
        env=env,
        bot=bot,
        services=services,
        guild=guild,
        general=guild.create_text_channel("general"),
        office=guild.create_text_channel(services.settings.bot.admin_channel),
        ann=guild.add_member(env.create_user("ann")),
        ben=guild.add_member(env.create_user("ben")),
        boss=guild.add_member(env.create_user("boss"), roles=[admins]),
    )


def last_prompt(engine: StandInEngine) -> str:
    """Return what the engine was last asked, without the system turn."""
    return "\n".join(turn["content"] for turn in engine.asked[-1]["messages"][1:])


def content_of(body: Any) -> str:
    """Return the text in the body of a request to Discord."""
    return "" if isinstance(body, list) else str((body.get("data") or body).get("content") or "")


def there(message: T | None) -> T:
    """Return what has to be there."""
    assert message is not None
    return message


def short(version: str) -> str:
    """Return a version's number as people say it."""
    return f"v{int(version.rpartition('v')[2])}"


def trainer_command(script: Path) -> tuple[str, ...]:
    """Return the command that runs ``script`` in the trainer's place, without site packages."""
    import sys

    return (sys.executable, "-S", str(script))


def text_of(result: simcord.InteractionResult) -> str:
    """Return everything that an interaction was answered with, embeds included."""
    messages = [*([result.response] if result.response else []), *result.followups]
    return "\n".join(part for message in messages for part in (message.content, *map(_words, message.embeds)))


def _words(embed: discord.Embed) -> str:
    return json.dumps(embed.to_dict(), ensure_ascii=False)
