"""simcord made live: a local Discord whose clock ticks, that announces changes and waits for nobody.

simcord is made for tests. It owns every task that the bot starts, runs one action at a time, and returns
from it only when all that work has come to rest; between actions its clock stands still. A demo needs the
opposite: answers stream for seconds while several people keep writing. Two of simcord's own extension points
are enough for that, and nothing about Discord's behaviour changes:

- :class:`LiveBackend` gets a clock that ticks, accepts given ids, and announces what people see.
- :class:`LiveEnv` delivers gateway events without claiming the bot's tasks as simcord's work, so that they
  run on the plain event loop and an actor's action returns at once.

This file knows nothing of the sample server or of the page.
"""

from __future__ import annotations

import contextvars
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import _GeneratorContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import discord
from discord.webhook.async_ import async_context
from simcord import Env
from simcord.backend import Backend
from simcord.backend.models import Interaction, Message

START = datetime(2026, 1, 1, 9, 0, tzinfo=UTC)
KEPT_RECORDS = 500
"""How many requests and events to remember: simcord keeps all of them, which a long demo would feel."""

Change = Callable[[str, Any], None]


class LiveClock:
    """A clock that starts at ``start``, ticks, and can be moved ahead; Discord and the bot share it."""

    def __init__(self, start: datetime = START, *, ticks: Callable[[], float] = time.monotonic) -> None:
        self._start = start.astimezone(UTC)
        self._ticks = ticks
        self._born = ticks()
        self._ahead = 0.0

    @property
    def elapsed(self) -> float:
        """Seconds since the start, as simcord wants them."""
        return self._ticks() - self._born + self._ahead

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self.elapsed)

    def advance(self, seconds: float) -> None:
        self._ahead += seconds

    def move_to(self, moment: datetime) -> None:
        """Move ahead to ``moment``, but never back: ids follow from the time."""
        self.advance(max(0.0, (moment - self.now()).total_seconds()))


class LiveBackend(Backend):
    """simcord's store; it reports to ``changed`` what people would see change.

    Changes are ``("message", Message)``, ``("delete", (channel id, message id))`` and
    ``("typing", (channel id, user id))``; unlike gateway events they include ephemeral messages.
    """

    def __init__(self, clock: LiveClock) -> None:
        self._next_id: int | None = None
        self.changed: Change = lambda kind, what: None
        self.last_interaction: Interaction | None = None
        self.running_command: str | None = None
        self.command_paths: dict[int, str] = {}
        super().__init__(clock=clock)  # type: ignore[arg-type]  # it has the same three members, but it ticks

    @contextmanager
    def given_id(self, value: int) -> Iterator[None]:
        """Give the next thing that is created this id."""
        self._next_id = self.reserve_id(value)
        try:
            yield
        finally:
            self._next_id = None

    def snowflake(self) -> int:
        given, self._next_id = self._next_id, None
        return super().snowflake() if given is None else given

    def new_interaction(self, type: int, channel_id: int, user_id: int, guild_id: int | None) -> Interaction:
        record = self.last_interaction = super().new_interaction(type, channel_id, user_id, guild_id)
        if self.running_command is not None:  # of "train start", simcord keeps only "train"
            self.command_paths[record.id] = self.running_command
        return record

    def emit(self, event: str, payload: Mapping[str, Any]) -> None:
        super().emit(event, payload)
        for record in (self.transcript, self.http_requests):
            del record[:-KEPT_RECORDS]
        if event.startswith("MESSAGE_REACTION_"):
            channel_id, message_id = int(payload["channel_id"]), int(payload["message_id"])
            self.changed("message", self.get_message(channel_id, message_id))
        elif event == "TYPING_START":
            self.changed("typing", (int(payload["channel_id"]), int(payload["user_id"])))
        elif event == "MESSAGE_DELETE_BULK":
            for message_id in payload["ids"]:
                self.changed("delete", (int(payload["channel_id"]), int(message_id)))

    def commit_message(self, message: Message, *, broadcast: bool = True) -> Message:
        committed = super().commit_message(message, broadcast=broadcast)
        self.changed("message", committed)
        return committed

    def edit_message(self, channel_id: int, message_id: int, fields: dict[str, Any]) -> Message:
        edited = super().edit_message(channel_id, message_id, fields)
        self.changed("message", edited)
        return edited

    def delete_message(self, channel_id: int, message_id: int) -> None:
        super().delete_message(channel_id, message_id)
        self.changed("delete", (channel_id, message_id))


class LiveEnv(Env):
    """simcord's environment around a bot whose tasks stay its own."""

    backend: LiveBackend

    def __init__(self, bot: discord.Client, clock: LiveClock) -> None:
        super().__init__(bot, check_errors=False)
        self.backend = LiveBackend(clock)

    def _bot_scope(self) -> _GeneratorContextManager[None]:
        """Select simcord's clock and webhook transport, but claim no task.

        simcord delivers every gateway event inside this scope, and would then wait for whatever the bot
        starts in it. ``time_context`` is its public scope for code that it need not wait for.
        """
        return self.time_context()

    async def start(self) -> None:
        await super().start()
        # Workers that were started before the bot do not see simcord's context. Redirect discord.py's
        # default transport as well, so that they too answer interactions in this Discord.
        _default_adapter().request = self._webhook_adapter.request

    async def shutdown(self) -> None:
        _default_adapter().__dict__.pop("request", None)
        await super().shutdown()


def _default_adapter() -> Any:
    # In an empty context discord.py falls back to its default, which workers from before the bot see.
    return contextvars.Context().run(async_context.get)


__all__ = ["START", "LiveBackend", "LiveClock", "LiveEnv"]
