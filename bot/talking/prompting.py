"""What to ask the model: the conversation before a message, or a question by itself."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import discord

from bot.talking.context import conversation_before, prompt_turns
from bot.talking.thinking import Prompt
from ledger.records import Message
from ledger.talk.prompts import speaker

PRIVATE_CHAT = "a private chat"


@dataclass(frozen=True, slots=True)
class Prompting:
    """Makes prompts that fit the bot's limits."""

    bot_id: Callable[[], int]
    bot_name: str
    gap_ms: int
    """A silence this long, in milliseconds, ends a conversation."""
    context_messages: int
    context_tokens: int
    """Room for the prompt, in tokens: what the longest answer leaves of the model's context."""

    async def before(self, message: discord.Message) -> tuple[Prompt, Collection[int]]:
        """Return the prompt that ends in ``message``, and the ids of the messages that it contains."""
        context = await conversation_before(
            message,
            bot_id=self.bot_id(),
            bot_name=self.bot_name,
            gap_ms=self.gap_ms,
            limit=self.context_messages,
        )
        return self._prompt(context.messages, message.guild, context.names), context.read

    def alone(self, asked: Message, guild: discord.Guild | None) -> Prompt:
        """Return the prompt for a question without a conversation before it."""
        return self._prompt([asked], guild, {})

    def _prompt(
        self, conversation: Sequence[Message], guild: discord.Guild | None, names: Mapping[int, str]
    ) -> Prompt:
        turns = prompt_turns(
            conversation,
            bot_id=self.bot_id(),
            bot_name=self.bot_name,
            guild_name=guild.name if guild else PRIVATE_CHAT,
            names=names,
            context_tokens=self.context_tokens,
        )
        speakers = {*names.values(), *(each.author_name for each in conversation), self.bot_name}
        # As they lead lines: it is by these that the model would speak for somebody.
        return Prompt(turns, {speaker(name) for name in speakers})
