"""Talking: mentions, replies to the bot, direct messages, answer channels, and /ask."""

from __future__ import annotations

import discord
from discord import app_commands
from discord.ext import commands

from bot.talking.answering import Answering
from bot.talking.asking import Asking


class ChatCog(commands.Cog):
    """Passes questions to the service that takes them."""

    def __init__(self, *, asking: Asking, answering: Answering) -> None:
        self.asking = asking
        self.answering = answering

    @commands.Cog.listener()
    async def on_message(self, message: discord.Message) -> None:
        await self.asking.hear(message)

    @commands.Cog.listener()
    async def on_raw_message_delete(self, payload: discord.RawMessageDeleteEvent) -> None:
        self.answering.withdraw({payload.message_id})

    @commands.Cog.listener()
    async def on_raw_bulk_message_delete(self, payload: discord.RawBulkMessageDeleteEvent) -> None:
        self.answering.withdraw(payload.message_ids)

    @app_commands.command(description="Ask the bot something; everybody here sees the answer.")
    @app_commands.describe(question="What you want to know")
    @app_commands.allowed_installs(guilds=True, users=False)
    async def ask(self, interaction: discord.Interaction, question: app_commands.Range[str, 1, 1500]) -> None:
        if reason := await self.asking.declines(interaction):
            await interaction.response.send_message(reason, ephemeral=True)
            return
        await interaction.response.defer(thinking=True)
        self.asking.respond(interaction, question)
