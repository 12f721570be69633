"""A toy bot for the demo's world: it streams answers from a worker, and knows a few commands."""

from __future__ import annotations

import asyncio
import io
import struct
import zlib
from collections.abc import AsyncIterator
from contextlib import suppress

import discord
import pytest
from discord import app_commands
from discord.ext import commands

from bot.demo.live import LiveClock
from bot.demo.page import Page
from bot.demo.world import World

WORDS = ["the", "key", "to", "the", "shed", "is", "**under", "the", "ceramic", "frog**,", "as", "`always`"]
PAUSE = 0.02


def picture(width: int = 320, height: int = 120) -> bytes:
    """Return a small PNG: a falling line on dark ground."""
    rows = b""
    for y in range(height):
        row = bytearray()
        for x in range(width):
            on_line = abs(y - (15 + 90 * (x / width) ** 0.5)) < 2
            row += bytes((88, 201, 140) if on_line else (43, 45, 49))
        rows += b"\0" + bytes(row)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


class Verdict(discord.ui.View):
    """Two buttons under a report."""

    def __init__(self) -> None:
        super().__init__(timeout=None)

    @discord.ui.button(label="Roll back", style=discord.ButtonStyle.danger, custom_id="rollback")
    async def rollback(self, interaction: discord.Interaction, button: discord.ui.Button[Verdict]) -> None:
        button.disabled = True
        button.label = "Rolled back"
        await interaction.response.edit_message(content="Back to the **previous** version.", view=self)

    @discord.ui.button(label="Promote", style=discord.ButtonStyle.success, custom_id="promote")
    async def promote(self, interaction: discord.Interaction, button: discord.ui.Button[Verdict]) -> None:
        await interaction.response.send_message(f"Promoted by {interaction.user.mention}.", ephemeral=True)


class Feedback(discord.ui.Modal, title="How was the answer?"):
    words: discord.ui.TextInput[Feedback] = discord.ui.TextInput(label="In your words", custom_id="words")

    async def on_submit(self, interaction: discord.Interaction) -> None:
        await interaction.response.send_message(f"Thank you: {self.words.value}", ephemeral=True)


class ToyBot(commands.Bot):
    """Answers when mentioned, from a worker that was started before the bot connected."""

    def __init__(self, clock: LiveClock) -> None:
        super().__init__(command_prefix="\0", intents=discord.Intents.all(), help_command=None)
        self.clock = clock
        self.questions: asyncio.Queue[discord.Message | discord.Interaction] = asyncio.Queue()
        self.pause = PAUSE
        self.overheard: list[discord.Message] = []

    async def work(self) -> None:
        while True:
            asked = await self.questions.get()
            if isinstance(asked, discord.Message):
                async with asked.channel.typing():
                    answer = await asked.reply("…", mention_author=False)
                    await self._stream(answer.edit)
            else:
                await self._stream(asked.edit_original_response)

    async def _stream(self, edit: object) -> None:
        assert callable(edit)
        for count in range(1, len(WORDS) + 1):
            await asyncio.sleep(self.pause)
            await edit(content=" ".join(WORDS[:count]))

    async def on_message(self, message: discord.Message) -> None:
        self.overheard.append(message)
        if message.author.bot:
            return
        if self.user in message.mentions or message.guild is None:
            await self.questions.put(message)

    async def setup_hook(self) -> None:
        add_commands(self)
        await self.tree.sync()


def add_commands(bot: ToyBot) -> None:
    @bot.tree.command(description="Ask the bot something.")
    @app_commands.describe(question="What you want to know")
    async def ask(interaction: discord.Interaction, question: str) -> None:
        await interaction.response.defer()
        await bot.questions.put(interaction)

    @bot.tree.command(description="Give the bot a file.")
    async def give(interaction: discord.Interaction, file: discord.Attachment) -> None:
        await interaction.response.send_message(file.filename)

    group = app_commands.Group(
        name="train", description="Train", default_permissions=discord.Permissions(administrator=True)
    )

    @group.command(description="Show the last night's report.")
    async def report(interaction: discord.Interaction) -> None:
        embed = discord.Embed(title="The night of 1 January", description="Perplexity fell: **promoted**.")
        embed.colour = discord.Colour.green()
        embed.add_field(name="Base", value="71.3")
        embed.add_field(name="Champion", value="44.0")
        embed.add_field(name="Candidate", value="21.9")
        embed.add_field(name="Before", value="> I am a language model.", inline=False)
        embed.set_footer(text="412 replies learned from, 18 left out")
        embed.set_image(url="attachment://loss.png")
        file = discord.File(io.BytesIO(picture()), "loss.png")
        await interaction.response.send_message("Good morning.", embed=embed, file=file, view=Verdict())

    bot.tree.add_command(group)

    @bot.tree.command(description="What is stored about you.")
    @app_commands.describe(scope="How much", days="Of how many days", channel="In which channel")
    @app_commands.choices(
        scope=[
            app_commands.Choice(name="everything", value="all"),
            app_commands.Choice(name="a bit", value="bit"),
        ]
    )
    async def privacy(
        interaction: discord.Interaction,
        scope: app_commands.Choice[str],
        days: app_commands.Range[int, 1, 30] = 7,
        channel: discord.TextChannel | None = None,
    ) -> None:
        place = channel.mention if channel else "everywhere"
        await interaction.response.send_message(
            f"Nothing is stored: {scope.value}, {days} days, {place}.", ephemeral=True
        )

    @bot.tree.command(description="Tell us what you think.")
    async def feedback(interaction: discord.Interaction) -> None:
        await interaction.response.send_modal(Feedback())

    @bot.tree.command(description="Promote a version.")
    async def promote(interaction: discord.Interaction, version: str) -> None:
        await interaction.response.send_message(f"{version} serves now.")

    @promote.autocomplete("version")
    async def versions(interaction: discord.Interaction, current: str) -> list[app_commands.Choice[str]]:
        return [
            app_commands.Choice(name=f"v{n:06d}", value=f"g1-v{n:06d}")
            for n in range(3)
            if current in f"v{n}"
        ]


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """A world with a toy bot in it, and two workers that answer at once."""
    clock = LiveClock()
    bot = ToyBot(clock)
    workers = [asyncio.create_task(bot.work()) for _ in range(2)]
    async with World(bot, clock=clock) as world:
        yield world
    for worker in workers:
        worker.cancel()
        with suppress(asyncio.CancelledError):
            await worker


@pytest.fixture
async def page(world: World) -> AsyncIterator[Page]:
    async with Page(world) as page:
        yield page
