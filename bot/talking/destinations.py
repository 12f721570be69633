"""Where answers are written in Discord: under a message, or as the response to a slash command.

Splits answers below Discord's limit of 2,000 characters, and pings nobody. Each call is one attempt: what
was already written stays, and the next call continues from there.
"""

from __future__ import annotations

import contextlib
import secrets
from abc import ABC, abstractmethod
from typing import Protocol

import discord

from bot.talking.message_splitting import split_message

NOBODY = discord.AllowedMentions.none()


class Destination(Protocol):
    """Where an answer is written. Each call is one attempt, and raises whatever Discord answers."""

    @property
    def channel(self) -> int:
        """What shares Discord's rate limits: a channel's id, or an interaction's own."""
        ...

    async def show(self, text: str) -> None:
        """Show the answer so far: the whole text, not only what is new."""
        ...

    async def signal(self) -> None:
        """Show for some seconds that an answer is on its way."""
        ...

    async def withdraw(self) -> None:
        """Take back what was written."""
        ...


class _Messages(ABC):
    """An answer that grows over one or more messages."""

    def __init__(self, *, heading: str = "") -> None:
        self.messages: list[discord.Message] = []
        """The messages that hold the answer; none once somebody has deleted it."""
        self._shown: list[str] = []
        self._tried: dict[int, str] = {}
        """The text that each message was first sent with."""
        self._heading = heading
        self._gone = False

    @property
    @abstractmethod
    def channel(self) -> int:
        """What shares Discord's rate limits."""

    async def show(self, text: str) -> None:
        """Write the whole text; do nothing once the answer or its channel has been deleted."""
        if self._gone:
            return
        try:
            await self._write(text)
        except discord.NotFound:
            self._gone = True
            self.messages.clear()

    async def withdraw(self) -> None:
        """Delete what was written."""
        while self.messages and not self._gone:
            with contextlib.suppress(discord.NotFound):  # somebody else was faster
                await self.messages[-1].delete()
            self.messages.pop()
        self._gone = True

    async def _write(self, text: str) -> None:
        pieces = split_message(self._heading + text)
        for number, piece in enumerate(pieces):
            if number == len(self.messages):
                first = self._tried.setdefault(number, piece)
                sent = await self._send(piece)
                # If the first attempt arrived although its connection broke, Discord returns that message,
                # with the first attempt's text, for every later one with the same nonce.
                self.messages.append(sent if first == piece else await self._edit(sent, piece))
                self._shown.append(piece)
            elif self._shown[number] != piece:
                self.messages[number] = await self._edit(self.messages[number], piece)
                self._shown[number] = piece
        # An apology that replaces a long answer must not leave the answer's later messages standing.
        while len(self.messages) > len(pieces):
            await self.messages[-1].delete()
            self.messages.pop()
            self._shown.pop()

    @abstractmethod
    async def _send(self, text: str) -> discord.Message: ...

    async def _edit(self, message: discord.Message, text: str) -> discord.Message:
        return await message.edit(content=text, allowed_mentions=NOBODY)


class UnderMessage(_Messages):
    """Answers a message by replying to it."""

    def __init__(self, message: discord.Message) -> None:
        super().__init__()
        self.message = message
        # Discord accepts a nonce once. A retry after a broken connection therefore cannot post the answer
        # a second time.
        # 16 characters, and the message's number behind a dash: Discord takes 25.
        self._nonce = secrets.token_hex(8)

    @property
    def channel(self) -> int:
        return self.message.channel.id

    async def signal(self) -> None:
        """Show typing for ten seconds."""
        await self.message.channel.typing()

    async def _send(self, text: str) -> discord.Message:
        nonce = f"{self._nonce}-{len(self.messages)}"
        if self.messages:
            return await self.message.channel.send(text, nonce=nonce, allowed_mentions=NOBODY)
        # The question may have been deleted while the model was writing.
        reference = self.message.to_reference(fail_if_not_exists=False)
        return await self.message.channel.send(
            text, reference=reference, nonce=nonce, allowed_mentions=NOBODY
        )


class InResponse(_Messages):
    """Answers a deferred slash command, which Discord shows as "thinking"."""

    def __init__(self, interaction: discord.Interaction, *, heading: str = "") -> None:
        super().__init__(heading=heading)
        self._interaction = interaction

    @property
    def channel(self) -> int:
        """The interaction's id: it has rate limits of its own."""
        return self._interaction.id

    async def signal(self) -> None:
        """Do nothing: Discord already shows "thinking"."""

    async def _send(self, text: str) -> discord.Message:
        if self.messages:
            return await self._interaction.followup.send(text, wait=True, allowed_mentions=NOBODY)
        return await self._interaction.edit_original_response(content=text, allowed_mentions=NOBODY)
