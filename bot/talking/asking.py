"""Turns what members say into questions for the model: is the bot asked, and whose version answers?

A question goes one way: from Discord's event to the cog, and on to :meth:`Asking.hear`, which queues it in
:mod:`bot.talking.answering`. No cog has a part in what happens after that.
"""

from __future__ import annotations

import discord

from bot.keeping.answers import keep_answer
from bot.keeping.channel_modes import GuildChannel, channel_mode
from bot.keeping.recording import SPOKEN, Recording
from bot.members.membership import is_member
from bot.plain_text import plain
from bot.talking.answering import Answering, Question
from bot.talking.context import replied_to
from bot.talking.destinations import InResponse, UnderMessage
from bot.talking.prompting import Prompting
from bot.talking.thinking import Prompt
from bot.talking.write_rights import WriteRights
from ledger.clock import to_ms
from ledger.records import Message
from ledger.store import Ledger

QUIET = "I stay quiet in this channel. An admin can change that with `/channel listen`."
HURRIED = "One moment!"
"""Where a channel gets silence, a slash command gets this: Discord wants some answer to it."""


class Asking:
    """Takes questions from messages and from ``/ask``."""

    def __init__(
        self,
        client: discord.Client,
        *,
        ledger: Ledger,
        answering: Answering,
        recording: Recording,
        prompting: Prompting,
        write_rights: WriteRights,
    ) -> None:
        self._client = client
        self._ledger = ledger
        self._answering = answering
        self._recording = recording
        self._prompting = prompting
        self._write_rights = write_rights

    async def hear(self, message: discord.Message) -> None:
        """Have the message answered if it asks the bot."""
        if message.author.bot or message.webhook_id is not None or not await self.is_asked(message):
            return
        await self.answer(message)

    async def is_asked(self, message: discord.Message) -> bool:
        """Tell whether a message asks the bot for an answer."""
        if message.type not in SPOKEN:
            return False
        if message.guild is None:
            return True
        if not isinstance(message.channel, GuildChannel):
            return False
        mode = await channel_mode(self._ledger, message.channel)
        if mode == "ignore":
            return False
        me = self._prompting.bot_id()
        return (
            mode == "answer"
            or any(person.id == me for person in message.mentions)
            or (await self._replies_to(message, me))
        )

    async def answer(self, message: discord.Message) -> None:
        """Queue a message that asks the bot, or say why not."""
        if not self._write_rights.allow_answer(message):
            return
        destination = UnderMessage(message)
        read: set[int] = set()

        async def prompt() -> Prompt:
            made, shown = await self._prompting.before(message)
            # Known only now: the prompt is made when the question's turn has come.
            read.update(shown)
            return made

        async def answered(text: str, version: str | None) -> None:
            if message.guild is not None:
                # Whether the answer's text may be kept depends on what was said before it, the question
                # included: all of that has to be written first.
                await self._recording.caught_up()
                await keep_answer(
                    self._ledger,
                    destination.messages,
                    message.guild,
                    text=text,
                    version=version,
                    asked_by=message.author.id,
                    in_reply_to=message.id,
                    read=read,
                )

        guild_id = await self._guild_of(message)
        question = Question(guild_id, message.author.id, prompt, destination, answered, message.id)
        declined = self._answering.ask(question)
        if declined is not None and declined.text:
            self._answering.remark(destination, declined.text)

    async def declines(self, interaction: discord.Interaction) -> str:
        """Return why ``/ask`` is not answered here and now; empty where it is."""
        channel = interaction.channel
        if isinstance(channel, GuildChannel) and await channel_mode(self._ledger, channel) == "ignore":
            return QUIET
        declined = self._answering.declines(interaction.user.id)
        return "" if declined is None else declined.text or HURRIED

    def respond(self, interaction: discord.Interaction, text: str) -> None:
        """Queue the question of a slash command that has been deferred."""
        # Discord shows that somebody used /ask, but not what was asked.
        quoted = "\n".join(f"> {line}" for line in plain(text).splitlines())
        destination = InResponse(interaction, heading=f"{quoted}\n")
        guild = interaction.guild
        asked = Message(
            id=interaction.id,
            guild_id=guild.id if guild else 0,
            channel_id=interaction.channel_id or 0,
            author_id=interaction.user.id,
            author_name=interaction.user.display_name,
            content=text,
            created_at=to_ms(interaction.created_at),
        )

        async def prompt() -> Prompt:
            return self._prompting.alone(asked, guild)

        async def answered(text: str, version: str | None) -> None:
            if guild is not None:
                await keep_answer(
                    self._ledger,
                    destination.messages,
                    guild,
                    text=text,
                    version=version,
                    asked_by=asked.author_id,
                )

        declined = self._answering.ask(
            Question(guild.id if guild else None, asked.author_id, prompt, destination, answered)
        )
        if declined is not None:
            self._answering.remark(destination, declined.text or HURRIED)

    async def _replies_to(self, message: discord.Message, user_id: int) -> bool:
        answered = replied_to(message)
        if answered is None or message.reference is None:
            return False
        if isinstance(message.reference.resolved, discord.Message):
            return message.reference.resolved.author.id == user_id
        return await self._ledger.answers.get(answered) is not None

    async def _guild_of(self, message: discord.Message) -> int | None:
        """Return whose adapter answers; for a direct message, the only server that both are in.

        Considers only servers where the person opted in, so that asking a question reveals nothing about
        where somebody who did not opt in is a member.
        """
        if message.guild is not None:
            return message.guild.id
        shared = []
        for guild_id in await self._ledger.consent.guilds_of(message.author.id):
            guild = self._client.get_guild(guild_id)
            # Where Discord cannot say whether they are there, the bare base answers.
            if guild is not None and await is_member(guild, message.author.id):
                shared.append(guild_id)
        return shared[0] if len(shared) == 1 else None
