"""Where answers are written in Discord: under a message, or as the response to a slash command.

Edits at most as often as it is asked to, splits below Discord's limit, and pings nobody.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import discord

from bot.splitting import split_message

NOBODY = discord.AllowedMentions.none()


class _Messages(ABC):
    """An answer that grows over one or more messages."""

    def __init__(self, *, heading: str = "") -> None:
        self.messages: list[discord.Message] = []
        """Where the answer stands; empty once somebody has deleted it."""
        self._shown: list[str] = []
        self._heading = heading
        self._gone = False

    async def show(self, text: str) -> None:
        """Write the whole text; quietly do nothing once the answer or its channel was deleted."""
        if self._gone:
            return
        try:
            await self._write(text)
        except discord.NotFound:
            self._gone = True
            self.messages.clear()

    async def _write(self, text: str) -> None:
        pieces = split_message(self._heading + text)
        for number, piece in enumerate(pieces):
            if number == len(self.messages):
                self.messages.append(await self._send(piece))
                self._shown.append(piece)
            elif self._shown[number] != piece:
                self.messages[number] = await self._edit(self.messages[number], piece)
                self._shown[number] = piece
        # A long answer that broke off leaves nothing behind the line that takes its place.
        for message in self.messages[len(pieces) :]:
            await message.delete()
        del self.messages[len(pieces) :], self._shown[len(pieces) :]

    @abstractmethod
    async def _send(self, text: str) -> discord.Message: ...

    async def _edit(self, message: discord.Message, text: str) -> discord.Message:
        return await message.edit(content=text, allowed_mentions=NOBODY)


class UnderMessage(_Messages):
    """Answers a message with a reply to it."""

    def __init__(self, message: discord.Message) -> None:
        super().__init__()
        self._message = message

    def typing(self) -> AbstractAsyncContextManager[None]:
        return self._message.channel.typing()

    async def _send(self, text: str) -> discord.Message:
        if self.messages:
            return await self._message.channel.send(text, allowed_mentions=NOBODY)
        # The question may have been deleted while the answer was on its way.
        reference = self._message.to_reference(fail_if_not_exists=False)
        return await self._message.channel.send(text, reference=reference, allowed_mentions=NOBODY)


class InResponse(_Messages):
    """Answers a slash command that was deferred, which Discord shows as "thinking"."""

    def __init__(self, interaction: discord.Interaction, *, heading: str = "") -> None:
        super().__init__(heading=heading)
        self._interaction = interaction

    @asynccontextmanager
    async def typing(self) -> AsyncIterator[None]:
        yield

    async def _send(self, text: str) -> discord.Message:
        if self.messages:
            return await self._interaction.followup.send(text, wait=True, allowed_mentions=NOBODY)
        return await self._interaction.edit_original_response(content=text, allowed_mentions=NOBODY)
