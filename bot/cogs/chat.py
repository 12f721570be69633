"""Talking: mentions, replies to the bot, direct messages, answer channels, and /ask."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence

import aiohttp
import discord
from discord import app_commands
from discord.ext import commands

from bot.cogs.recorder import GuildChannel, RecorderCog, channel_mode
from bot.nights.night_embeds import plain
from bot.serving.served_versions import Serving
from bot.talking.answering import Answering, Prompt, Question
from bot.talking.context import conversation_before, prompt_turns, replied_to
from bot.talking.places import InResponse, UnderMessage
from bot.talking.scribe import Place, Scribes
from ledger.clock import to_ms
from ledger.records import Message, Reply
from ledger.settings import Settings
from ledger.store import Ledger
from ledger.talk.prompts import speaker

log = logging.getLogger(__name__)

PRIVATE_CHAT = "a private chat"
QUIET = "I stay quiet in this channel. An admin can change that with `/channel listen`."


class ChatCog(commands.Cog):
    """Answers when addressed."""

    def __init__(
        self,
        bot: commands.Bot,
        *,
        settings: Settings,
        ledger: Ledger,
        scribes: Scribes,
        answering: Answering,
        serving: Serving,
        recorder: RecorderCog,
        tell: Callable[[int, str], None] = lambda guild_id, text: None,
    ) -> None:
        """``tell`` has a text posted where a guild's admins read it, and returns at once."""
        self.bot = bot
        self._tell = tell
        self._told_about: set[int] = set()
        self.ledger = ledger
        self.recorder = recorder
        self.scribes = scribes
        self.answering = answering
        self.serving = serving
        self._name = settings.bot.name
        self._gap_ms = int(settings.dataset.gap_minutes * 60_000)
        self._limit = settings.bot.context_messages
        self._context_tokens = settings.engine.context_tokens - settings.bot.max_answer_tokens

    async def cog_load(self) -> None:
        self.scribes.refused = self._refused

    @property
    def _id(self) -> int:
        assert self.bot.user is not None  # noqa: S101 - no event comes before the login
        return self.bot.user.id

    @commands.Cog.listener()
    async def on_message(self, message: discord.Message) -> None:
        if message.author.bot or message.webhook_id is not None or not await self.addressed(message):
            return
        await self.answer(message)

    async def answer(self, message: discord.Message) -> None:
        """Queue a message that addresses the bot, or say why not."""
        if not self._may_write(message):
            return
        place = UnderMessage(message)
        read: set[int] = set()

        async def prompt() -> Prompt:
            conversation = await conversation_before(
                message, bot_id=self._id, bot_name=self._name, gap_ms=self._gap_ms, limit=self._limit
            )
            read.update(conversation.read)
            return self._prompt(conversation.messages, message.guild, conversation.names)

        async def answered(text: str, version: str | None) -> None:
            if message.guild is not None:
                await self.recorder.caught_up()
                asked = (message.author.id, message.id)
                await self._keep(place.messages, message.guild, asked, read, text, version)

        guild_id = await self._guild_of(message)
        question = Question(guild_id, message.author.id, prompt, place, answered, message.id)
        refusal = self.answering.ask(question)
        if refusal is not None and refusal.text:
            self.answering.remark(place, refusal.text)

    @commands.Cog.listener()
    async def on_raw_message_delete(self, payload: discord.RawMessageDeleteEvent) -> None:
        self.answering.withdraw({payload.message_id})

    @commands.Cog.listener()
    async def on_raw_bulk_message_delete(self, payload: discord.RawBulkMessageDeleteEvent) -> None:
        self.answering.withdraw(payload.message_ids)

    def _may_write(self, message: discord.Message) -> bool:
        """Tell whether an answer could be written at all; the admins read it where not."""
        channel = message.channel
        if message.guild is None or not isinstance(channel, GuildChannel):
            return True
        rights = channel.permissions_for(message.guild.me)
        thread = isinstance(channel, discord.Thread)
        if rights.send_messages_in_threads if thread else rights.send_messages:
            return True
        self.cannot_write(message.guild.id, channel.id, in_thread=thread)
        return False

    def _refused(self, place: Place, error: Exception) -> None:
        """Note what Discord said of an answer that was ready: rights may have changed meanwhile."""
        if not isinstance(place, UnderMessage) or not isinstance(error, discord.Forbidden):
            return
        channel, guild = place.message.channel, place.message.guild
        if guild is not None:
            self.cannot_write(guild.id, channel.id, in_thread=isinstance(channel, discord.Thread))

    def cannot_write(self, guild_id: int, channel_id: int, *, in_thread: bool) -> None:
        """Tell the admins, once for each channel, that somebody asked where the bot may not answer."""
        log.warning("channel %d does not let the bot answer", channel_id)
        if channel_id not in self._told_about:
            self._told_about.add(channel_id)
            right = "Send Messages in Threads" if in_thread else "Send Messages"
            self._tell(guild_id, f"I was asked in <#{channel_id}>, where I may not answer: I lack *{right}*.")

    async def addressed(self, message: discord.Message) -> bool:
        """Tell whether a message asks the bot for an answer."""
        if message.type not in (discord.MessageType.default, discord.MessageType.reply):
            return False
        if message.guild is None:
            return True
        if not isinstance(message.channel, GuildChannel):
            return False
        mode = await channel_mode(self.ledger, message.channel)
        if mode == "ignore":
            return False
        return (
            mode == "answer"
            or any(person.id == self._id for person in message.mentions)
            or (await self._replies_to_me(message))
        )

    async def _replies_to_me(self, message: discord.Message) -> bool:
        answered = replied_to(message)
        if answered is None or message.reference is None:
            return False
        if isinstance(message.reference.resolved, discord.Message):
            return message.reference.resolved.author.id == self._id
        return await self.ledger.replies.get(answered) is not None

    async def _guild_of(self, message: discord.Message) -> int | None:
        """Return whose adapter answers: in direct messages that of the only server where both are.

        Only servers in which the person opted in are looked at, so that asking for an answer tells
        the bot nothing about anybody who did not.
        """
        if message.guild is not None:
            return message.guild.id
        shared = []
        for guild_id in await self.ledger.consent.guilds_of(message.author.id):
            guild = self.bot.get_guild(guild_id)
            if guild is not None and await _is_member(guild, message.author.id):
                shared.append(guild_id)
        return shared[0] if len(shared) == 1 else None

    def _prompt(
        self, conversation: Sequence[Message], guild: discord.Guild | None, names: Mapping[int, str]
    ) -> Prompt:
        turns = prompt_turns(
            conversation,
            bot_id=self._id,
            bot_name=self._name,
            guild_name=guild.name if guild else PRIVATE_CHAT,
            names=names,
            context_tokens=self._context_tokens,
        )
        speakers = {*names.values(), *(each.author_name for each in conversation), self._name}
        return Prompt(turns, {speaker(name) for name in speakers})

    async def _keep(
        self,
        messages: Sequence[discord.Message],
        guild: discord.Guild,
        asked: tuple[int, int | None],
        read: Collection[int],
        text: str,
        version: str | None,
    ) -> None:
        """Record the reply; its text stands with the first of its messages.

        ``asked`` are the asker and, where there is one, the message of theirs; ``read`` are the messages
        that the model was given, on which it depends whether the text may be kept.
        """
        asker_id, in_reply_to = asked
        await self.ledger.guilds.ensure(guild.id, guild.name)
        for number, message in enumerate(messages):
            reply = Reply(
                message_id=message.id,
                guild_id=guild.id,
                channel_id=message.channel.id,
                asked_by=asker_id,
                in_reply_to=in_reply_to,
                content=text if number == 0 else "",
                adapter_version=version,
                created_at=to_ms(message.created_at),
                part_of=messages[0].id if number else None,
            )
            await self.ledger.replies.add(reply, read=read)

    @app_commands.command(description="Ask the bot something; everybody here sees the answer.")
    @app_commands.describe(question="What you want to know")
    @app_commands.allowed_installs(guilds=True, users=False)
    async def ask(self, interaction: discord.Interaction, question: app_commands.Range[str, 1, 1500]) -> None:
        channel = interaction.channel
        if isinstance(channel, GuildChannel) and await channel_mode(self.ledger, channel) == "ignore":
            await interaction.response.send_message(QUIET, ephemeral=True)
            return
        refusal = self.answering.refusal(interaction.user.id)
        if refusal is not None:
            await interaction.response.send_message(refusal.text or "One moment!", ephemeral=True)
            return
        await interaction.response.defer(thinking=True)
        # Discord shows that somebody used /ask, but not what was asked.
        quoted = "\n".join(f"> {line}" for line in plain(question).splitlines())
        place = InResponse(interaction, heading=f"{quoted}\n")
        guild = interaction.guild
        asked = Message(
            id=interaction.id,
            guild_id=guild.id if guild else 0,
            channel_id=interaction.channel_id or 0,
            author_id=interaction.user.id,
            author_name=interaction.user.display_name,
            content=question,
            created_at=to_ms(interaction.created_at),
        )

        async def prompt() -> Prompt:
            return self._prompt([asked], guild, {})

        async def answered(text: str, version: str | None) -> None:
            if guild is not None:
                await self._keep(place.messages, guild, (asked.author_id, None), (), text, version)

        late_refusal = self.answering.ask(
            Question(guild.id if guild else None, interaction.user.id, prompt, place, answered)
        )
        if late_refusal is not None:
            self.answering.remark(place, late_refusal.text or "One moment!")


async def _is_member(guild: discord.Guild, user_id: int) -> bool:
    try:
        await guild.fetch_member(user_id)
    except (discord.DiscordException, aiohttp.ClientError, OSError, TimeoutError):
        return False  # not there, or not known to be: the bare base answers
    return True
