"""One browser at the demo's page: what it asks for, and which changes it is sent.

The browser sends ``{"n": 7, "do": "say", …}`` and gets ``{"n": 7, "ok": …}`` or ``{"n": 7, "error":
"one sentence"}``. In between it gets events such as ``{"event": "message", …}``, limited to what the member
through whose eyes it looks may see. Knows the world; knows nothing of HTTP beyond the socket.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from aiohttp import WSMsgType, web
from simcord import SetupError

from bot.demo import view
from bot.demo.acting import ActionOutcome, NotPossible
from bot.demo.world import Event, World

JSON = dict[str, Any]
log = logging.getLogger(__name__)


_UNREADABLE = (
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
    ArithmeticError,
    RecursionError,
    SetupError,
)
"""What a request raises that our page would never send: wrong types, huge numbers, deep nesting."""


class Session:
    """The conversation over one WebSocket, until it closes."""

    def __init__(
        self,
        world: World,
        socket: web.WebSocketResponse,
        suggestions: Sequence[str],
        begin_night: Callable[[], None],
    ) -> None:
        self._world = world
        self._socket = socket
        self._suggestions = suggestions
        self._begin_night = begin_night
        self._viewer = world.stage.owner_id
        self._tasks: set[asyncio.Task[None]] = set()
        self._does: Mapping[str, Callable[[JSON], Awaitable[Any]]] = {
            "open": self._open,
            "older": self._older,
            "say": self._say,
            "edit": self._edit,
            "delete": self._delete,
            "react": self._react,
            "commands": self._commands,
            "autocomplete": self._autocomplete,
            "slash": self._slash,
            "click": self._click,
            "choose": self._choose,
            "submit": self._submit,
            "night": self._night,
        }

    async def run(self) -> None:
        """Answer and send changes until the browser goes away."""
        with self._world.events() as events:
            sender = asyncio.create_task(self._send_changes(events), name="demo-page-changes")
            try:
                async for message in self._socket:
                    if message.type is WSMsgType.TEXT:
                        self._start(message.data)
            finally:
                for task in (sender, *self._tasks):
                    task.cancel()
                await asyncio.gather(sender, *self._tasks, return_exceptions=True)

    # requests

    def _start(self, text: str) -> None:
        """Answer each request in a task of its own: a command may take seconds, and people keep typing."""
        task = asyncio.create_task(self._answer(text))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, text: str) -> None:
        number: Any = None
        try:
            request = json.loads(text)
            number = request["n"]
            reply = {"n": number, "ok": await self._does[request["do"]](request)}
        except NotPossible as error:
            reply = {"n": number, "error": str(error)}
        except _UNREADABLE as error:
            log.warning("the demo's page sent a request that cannot be read: %s", type(error).__name__)
            reply = {
                "n": number,
                "error": "The page and the demo no longer understand each other; reload the page.",
            }
        await self._send(reply)

    async def _send(self, what: JSON) -> None:
        with contextlib.suppress(ConnectionError):  # the browser is gone, and run() will end by itself
            await self._socket.send_json(what)

    async def _open(self, request: JSON) -> JSON:
        if request.get("viewer"):
            self._viewer = self._world.stage.member(int(request["viewer"])).id
        shown = view.snapshot(self._world, self._world.stage.member(self._viewer))
        return {**shown, "suggestions": list(self._suggestions)}

    async def _older(self, request: JSON) -> list[JSON]:
        viewer = self._world.stage.member(self._viewer)
        return view.history(self._world, viewer, int(request["channel"]), int(request["before"]))

    async def _say(self, request: JSON) -> str:
        reply_to = int(request["reply_to"]) if request.get("reply_to") else None
        channel = int(request["channel"])
        return str(await self._world.say(self._viewer, channel, str(request["text"]), reply_to=reply_to))

    async def _edit(self, request: JSON) -> None:
        await self._world.edit(self._viewer, *_message(request), str(request["text"]))

    async def _delete(self, request: JSON) -> None:
        await self._world.delete(self._viewer, *_message(request))

    async def _react(self, request: JSON) -> None:
        await self._world.react(
            self._viewer, *_message(request), str(request["emoji"]), on=bool(request["on"])
        )

    async def _commands(self, request: JSON) -> list[JSON]:
        viewer = self._world.stage.member(self._viewer)
        return view.commands(self._world, viewer, self._world.channel(int(request["channel"]), viewer))

    async def _autocomplete(self, request: JSON) -> list[JSON]:
        return await self._world.autocomplete(
            self._viewer, int(request["channel"]), request["command"], request["option"], request["text"]
        )

    async def _slash(self, request: JSON) -> JSON:
        channel, options = int(request["channel"]), dict(request["options"])
        return _outcome(await self._world.slash(self._viewer, channel, request["command"], options))

    async def _click(self, request: JSON) -> JSON:
        return _outcome(await self._world.click(self._viewer, *_message(request), request["custom_id"]))

    async def _choose(self, request: JSON) -> JSON:
        custom_id, values = request["custom_id"], list(request["values"])
        return _outcome(await self._world.choose(self._viewer, *_message(request), custom_id, values))

    async def _submit(self, request: JSON) -> JSON:
        channel, interaction = int(request["channel"]), int(request["interaction"])
        return _outcome(
            await self._world.submit_modal(self._viewer, channel, interaction, dict(request["values"]))
        )

    async def _night(self, request: JSON) -> None:
        if self._world.is_night:
            raise NotPossible("The night is still under way; wait until the report is there.")
        self._begin_night()

    # changes

    async def _send_changes(self, events: asyncio.Queue[Event]) -> None:
        while True:
            waiting = [await events.get()]
            while not events.empty():
                waiting.append(events.get_nowait())
            for event in _newest(waiting):
                if (shown := self._shown(event)) is not None:
                    await self._send({"event": event.kind, **shown})

    def _shown(self, event: Event) -> JSON | None:
        """Return an event as this viewer sees it; None if it is not for their eyes."""
        if event.kind == "message":
            viewer = self._world.stage.member(self._viewer)
            if view.is_visible(self._world, viewer, event.what):
                return {"message": view.message_view(self._world, event.what)}
            return None
        if event.kind in ("delete", "typing"):
            channel, id_ = event.what
            return {"channel": str(channel), "id": str(id_)}
        if event.kind == "comparison":
            return {"comparison": event.what}
        return {"clock": view.clock_view(self._world), "text": self._world.night_text}


def _newest(events: Sequence[Event]) -> list[Event]:
    """Keep only the last of several changes to one message: a slow browser need not see each."""
    last = {event.what.id: index for index, event in enumerate(events) if event.kind == "message"}
    return [e for index, e in enumerate(events) if e.kind != "message" or last[e.what.id] == index]


def _message(request: JSON) -> tuple[int, int]:
    return int(request["channel"]), int(request["message"])


def _outcome(outcome: ActionOutcome) -> JSON:
    return {"interaction": str(outcome.interaction_id), "answered": outcome.answered, "modal": outcome.modal}


__all__ = ["Session"]
