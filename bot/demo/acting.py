"""What people do in the demo's Discord: write, react, run commands, press buttons, fill in forms.

Every action returns at once, even while answers stream (see :mod:`bot.demo.live`), and is checked as Discord
would check it. Knows simcord's actors; knows neither the clock nor the page.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from simcord import BackendError, ChannelHandle, InteractionResult, MemberActor, ResponseMessage, SetupError
from simcord.backend.models import Interaction

from bot.demo.live import LiveEnv
from bot.demo.options import typed_options
from bot.demo.stage import Stage
from ledger.errors import NightschoolError

T = TypeVar("T")
ANSWER_SECONDS = 3.5
"""Discord gives an application 3 seconds to answer an interaction; this leaves half a second to notice."""
LOOK_SECONDS = 0.02


class NotPossible(NightschoolError):
    """Discord would not let a person do this: no such command, button, channel or permission."""


@dataclass(frozen=True, slots=True)
class ActionOutcome:
    """What came of a slash command, a button or a form."""

    interaction_id: int
    answered: bool
    message_id: int | None = None
    modal: Mapping[str, Any] | None = None


class Acting:
    """The members' hands and voices in ``env``.

    Members and channels go by id or by name; ``"dm"`` is the member's chat with the bot. Every action raises
    :class:`NotPossible` if Discord would not allow it.
    """

    def __init__(self, env: LiveEnv, stage: Stage) -> None:
        self.env = env
        self.stage = stage
        self._floor = asyncio.Lock()
        self._forms: dict[int, InteractionResult] = {}

    async def say(self, who: int | str, channel: int | str, text: str, *, reply_to: int | None = None) -> int:
        """Send ``text`` as a member and return the message's id.

        Raises:
            NotPossible: Discord would not let them.
        """
        async with self._turn(who, channel) as (member, handle):
            if handle.guild is None:
                reference = {"message_id": str(reply_to)} if reply_to else None
                return (await member.user.send_dm(text, reference=reference)).id
            replied = self._message(handle, reply_to) if reply_to else None
            return (await member.send(handle, text, reply_to=replied)).id

    async def edit(self, who: int | str, channel: int | str, message_id: int, text: str) -> None:
        """Change a member's own message."""
        async with self._turn(who, channel) as (member, handle):
            await self._voice(member, handle).edit(self._message(handle, message_id), text)

    async def delete(self, who: int | str, channel: int | str, message_id: int) -> None:
        """Delete a message, if the member may."""
        async with self._turn(who, channel) as (member, handle):
            await self._voice(member, handle).delete(self._message(handle, message_id))

    async def react(
        self, who: int | str, channel: int | str, message_id: int, emoji: str, *, on: bool = True
    ) -> None:
        """Add a member's reaction to a message, or take it back."""
        async with self._turn(who, channel) as (member, handle):
            await self._voice(member, handle).set_reaction(
                self._message(handle, message_id), emoji, reacted=on
            )

    async def slash(
        self, who: int | str, channel: int | str, command: str, options: Mapping[str, Any] | None = None
    ) -> ActionOutcome:
        """Run a slash command, e.g. ``"train start"``; options by name, as typed or as Python values."""
        async with self._turn(who, channel) as (member, handle):
            values = typed_options(self.env, self.stage, member, handle, command, options or {})
            path = () if handle.guild is None else (handle,)
            self.env.backend.running_command = command
            try:
                result = await self._voice(member, handle).slash(*path, command, **values)
            finally:
                self.env.backend.running_command = None
            record = self._record()
        return await self._outcome(record, result)

    async def autocomplete(
        self, who: int | str, channel: int | str, command: str, option: str, text: str
    ) -> list[dict[str, Any]]:
        """Return what the bot offers for an option while ``text`` is being typed."""
        async with self._turn(who, channel) as (member, handle):
            path = () if handle.guild is None else (handle,)
            result = await self._voice(member, handle).autocomplete(*path, command, option, text)
            record = self._record()
        del result
        await self.until(lambda: record.responded, ANSWER_SECONDS)
        return list(record.autocomplete_choices or [])

    async def click(
        self, who: int | str, channel: int | str, message_id: int, custom_id: str
    ) -> ActionOutcome:
        """Press a button."""
        async with self._turn(who, channel) as (member, handle):
            shown = self._message(handle, message_id)
            result = await self._voice(member, handle).click(shown, custom_id=custom_id)
            record = self._record()
        return await self._outcome(record, result)

    async def choose(
        self, who: int | str, channel: int | str, message_id: int, custom_id: str, values: Sequence[str]
    ) -> ActionOutcome:
        """Choose values in a select menu of texts."""
        async with self._turn(who, channel) as (member, handle):
            shown = self._message(handle, message_id)
            result = await self._voice(member, handle).select(shown, list(values), custom_id=custom_id)
            record = self._record()
        return await self._outcome(record, result)

    async def submit_modal(
        self, who: int | str, channel: int | str, interaction_id: int, values: Mapping[str, Any]
    ) -> ActionOutcome:
        """Send off the form that the interaction opened."""
        async with self._turn(who, channel) as (member, handle):
            if interaction_id not in self._forms:
                raise SetupError("that form is no longer open")
            result = await self._voice(member, handle).submit_modal(
                self._forms.pop(interaction_id), dict(values)
            )
            record = self._record()
        return await self._outcome(record, result)

    async def until(self, found: Callable[[], T], seconds: float) -> T:
        """Look again and again until ``found`` returns something true, or the time is up."""
        for _ in range(round(seconds / LOOK_SECONDS)):
            if result := found():
                return result
            await asyncio.sleep(LOOK_SECONDS)
        return found()

    def channel(self, channel: int | str, who: MemberActor) -> ChannelHandle:
        """Return a channel by id or name, or ``who``'s chat with the bot.

        Raises:
            SetupError: there is no such channel.
        """
        dm = who.user.dm_channel
        if channel in ("dm", dm.id):
            return dm
        for id_, handle in self.stage.channels.items():
            if channel in (id_, handle.name):
                return handle
        raise SetupError(f"there is no channel {channel!r} here")

    @asynccontextmanager
    async def _turn(
        self, who: int | str, channel: int | str
    ) -> AsyncIterator[tuple[MemberActor, ChannelHandle]]:
        """Take the floor for the milliseconds that an action needs: simcord runs one at a time."""
        async with self._floor:
            try:
                member = self.stage.member(who)
                yield member, self.channel(channel, member)
            except (SetupError, BackendError) as error:
                raise NotPossible(f"That is not possible: {error}.") from error

    def _voice(self, member: MemberActor, handle: ChannelHandle) -> Any:
        return member.user if handle.guild is None else member

    def _message(self, handle: ChannelHandle, message_id: int) -> ResponseMessage:
        return ResponseMessage(self.env, self.env.backend.get_message(handle.id, message_id))

    def _record(self) -> Interaction:
        record = self.env.backend.last_interaction
        if record is None:
            raise SetupError("nothing was sent to the bot")
        return record

    async def _outcome(self, record: Interaction, result: InteractionResult) -> ActionOutcome:
        await self.until(lambda: record.responded, ANSWER_SECONDS)
        if record.modal is not None:
            self._forms[record.id] = result
        return ActionOutcome(record.id, record.responded, record.message_id, result.modal)


__all__ = ["Acting", "ActionOutcome", "NotPossible"]
