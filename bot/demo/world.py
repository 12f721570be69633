"""The demo's world: a local Discord with the sample server, the real bot in it, and people who act.

    async with World(bot, clock=clock, on_time_moved=night) as world:
        question = await world.say("Tamsin", "workshop", "where is the key to the shed?")
        await world.slash("Mira", "workshop", "train start")
        await world.next_night()

Every action returns at once, even while answers stream (see :mod:`bot.demo.live`), and is checked as Discord
would check it. The world knows no engine, no trainer and no page: whoever starts those passes in the bot, the
clock, and what to do when time has moved.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from types import TracebackType
from typing import Any, Self
from zoneinfo import ZoneInfo

import discord
from simcord.backend.models import Message

from bot.demo.acting import Acting, NotPossible
from bot.demo.live import LiveClock, LiveEnv
from bot.demo.sample import OWNER, load_exports
from bot.demo.stage import Export, set_stage


@dataclass(frozen=True, slots=True)
class Event:
    """A visible change: ``message``, ``delete``, ``typing``, ``clock``, ``night`` or ``comparison``."""

    kind: str
    what: Any


class World(Acting):
    """The sample server's Discord around ``bot``; an async context manager that connects it."""

    def __init__(
        self,
        bot: discord.Client,
        *,
        clock: LiveClock | None = None,
        exports: Sequence[Export] | None = None,
        owner: str = OWNER,
        admin_channel: str = "nightschool",
        bot_name: str = "Nightschool",
        history: timedelta = timedelta(days=2),
        night_at: time = time(3, 0),
        timezone: str = "UTC",
        on_time_moved: Callable[[], Awaitable[None]] | None = None,
        under_way: Callable[[], Awaitable[None] | None] = lambda: None,
    ) -> None:
        """``under_way`` returns something to await if a night that was started by hand is running."""
        self.bot = bot
        self.clock = clock or LiveClock()
        self.on_time_moved = on_time_moved
        self._under_way = under_way
        self.night_text = ""
        self.comparison: dict[str, Any] | None = None
        self._night_at = night_at
        self._zone = ZoneInfo(timezone)
        self._night = asyncio.Lock()
        self._listeners: list[asyncio.Queue[Event]] = []
        env = LiveEnv(bot, self.clock)
        stage = set_stage(
            env,
            load_exports() if exports is None else exports,
            owner=owner,
            admin_channel=admin_channel,
            bot_name=bot_name,
            history=history,
        )
        super().__init__(env, stage)
        env.backend.changed = lambda kind, what: self._tell(Event(kind, what))

    async def __aenter__(self) -> Self:
        await self.env.start()
        await self.bot.wait_until_ready()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.bot.close()
        await self.env.shutdown()

    # what is here

    @property
    def guild_id(self) -> int:
        return self.stage.guild.id

    @property
    def bot_id(self) -> int:
        return self.env.backend.bot_user.id

    def messages(self, channel: int | str) -> list[Message]:
        """Return a server channel's messages, oldest first, ephemeral ones included."""
        id_ = next(id_ for id_, handle in self.stage.channels.items() if channel in (id_, handle.name))
        return sorted(self.env.backend.messages[id_].values(), key=lambda message: message.id)

    # time

    def next_night_time(self) -> datetime:
        """Return when the next night begins, in UTC."""
        local = self.clock.now().astimezone(self._zone)
        day = local.date() if local.time() < self._night_at else local.date() + timedelta(days=1)
        return datetime.combine(day, self._night_at, tzinfo=self._zone).astimezone(UTC)

    async def next_night(self) -> datetime:
        """Move the clock to the next night, let it happen, and return when that was.

        Waits for a night that was started by hand, and says so on the page: if the clock moved on, the next
        night would only be skipped.

        Raises:
            NotPossible: the night is already under way.
        """
        if self._night.locked():
            raise NotPossible("The night is still under way; wait until the report is there.")
        async with self._night:
            if (ends := self._under_way()) is not None:
                self.tell_night("A night that was started by hand is under way; the next begins after it.")
                await ends
            moment = self.next_night_time()
            self.clock.move_to(moment)
            self._tell(Event("clock", moment))
            self.tell_night("The night has begun.")
            try:
                if self.on_time_moved is not None:
                    await self.on_time_moved()
            except BaseException:
                self.tell_night("The night ended with an error; the bot's log says which.")
                raise
            self.tell_night("")
            return moment

    @property
    def is_night(self) -> bool:
        return self._night.locked()

    def tell_night(self, text: str) -> None:
        """Show a line of progress next to the clock; an empty one removes it."""
        self.night_text = text
        self._tell(Event("night", text))

    def show_comparison(self, comparison: dict[str, Any]) -> None:
        """Show how the last change of version changed the answers (:mod:`bot.demo.comparing`)."""
        self.comparison = comparison
        self._tell(Event("comparison", comparison))

    # what people see

    @contextmanager
    def events(self) -> Iterator[asyncio.Queue[Event]]:
        """Yield a queue that receives every change from now on; it is up to the caller who may see which."""
        queue: asyncio.Queue[Event] = asyncio.Queue()
        self._listeners.append(queue)
        try:
            yield queue
        finally:
            self._listeners.remove(queue)

    def _tell(self, event: Event) -> None:
        for queue in self._listeners:
            queue.put_nowait(event)


__all__ = ["Event", "World"]
