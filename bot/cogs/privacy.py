"""/privacy: what the bot keeps about a member, and the member's word on it.

Every command concerns the person who runs it and nobody else: nobody can say yes for another. They work
in direct messages to the bot, too, also for servers that the person has left.
"""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import logging
from collections.abc import Mapping
from dataclasses import asdict

import discord
from discord import app_commands
from discord.ext import commands

from bot.interactions import UNANSWERED, acknowledge, answer
from bot.members.erasing import EraseButton, asks_to_erase, day, receipt_text
from bot.members.holdings import FIELD, answer_text, kept_text
from bot.members.homes import home_of, offered_homes
from bot.members.notice import NO, WORDS, YES, ConsentNotice, opt_in, opt_out
from bot.nights.night_embeds import clipped, plain
from ledger.clock import to_ms
from ledger.forgetting.deletion_path import DAY_MS, Forgetting
from ledger.forgetting.deletions import Deletion
from ledger.records import Adapter
from ledger.store import Ledger

log = logging.getLogger(__name__)

OWED_MS = 30 * DAY_MS
"""How long a receipt is owed that could not be given; `/privacy receipt` shows it for good."""
ANSWERING_MS = 60_000
"""A deletion as young as this is being answered by whoever began it."""
PLAIN_BYTES = 8 * 1024 * 1024
"""A larger export is packed: Discord takes 10 MiB."""


SERVER = "Which server; needed only in direct messages, where I know you from several"


@app_commands.allowed_contexts(guilds=True, dms=True, private_channels=False)
class PrivacyCog(
    commands.GroupCog, group_name="privacy", group_description="What the bot keeps about you, and your say."
):
    """Consent and its consequences."""

    def __init__(
        self,
        bot: commands.Bot,
        *,
        ledger: Ledger,
        forgetting: Forgetting,
        retention_days: int,
        adapter_days: int,
    ) -> None:
        self.bot = bot
        self.ledger = ledger
        self.forgetting = forgetting
        self._sent: set[int] = set()
        self.retention_days = retention_days
        self.adapter_days = adapter_days

    async def cog_load(self) -> None:
        self.bot.add_view(ConsentNotice(self.ledger))
        self.bot.add_dynamic_items(EraseButton)

    async def cog_unload(self) -> None:
        self.bot.remove_dynamic_items(EraseButton)

    async def erase(self, interaction: discord.Interaction, guild_id: int, user_id: int) -> None:
        """Forget a person, whatever becomes of the answer; who asked for themselves is owed the receipt."""
        await acknowledge(interaction, thinking=False)
        own = interaction.user.id == user_id
        asked_by = "member" if own else f"admin {interaction.user.id}"
        receipt = await self.forgetting.person(guild_id, user_id, asked_by=asked_by)
        if await answer(interaction, receipt_text(receipt), in_place=True):
            await self.ledger.deletions.told(receipt.id)

    async def deliver_owed(self) -> None:
        """Send the receipts that their members could not be given when they asked to be forgotten."""
        now = to_ms(self.ledger.clock.now())
        for receipt in await self.ledger.deletions.untold(since=now - OWED_MS, until=now - ANSWERING_MS):
            if receipt.id in self._sent or await self._send(receipt):
                self._sent.add(receipt.id)  # noted below, or, while the database cannot be written, here
                await self.ledger.deletions.told(receipt.id)

    async def _send(self, receipt: Deletion) -> bool:
        """Send a receipt as a direct message; tell whether that need not be tried again."""
        guild = self.bot.get_guild(receipt.guild_id)
        place = plain(guild.name) if guild is not None else "a server"
        try:
            user = await self.bot.fetch_user(receipt.subject[0])
            await user.send(clipped(f"You asked to be forgotten in {place}. {receipt_text(receipt)}", 2000))
        except (discord.Forbidden, discord.NotFound):
            log.info("a receipt cannot be sent to its member; /privacy receipt shows it")
        except UNANSWERED as error:
            log.warning("a receipt is still owed: %s", type(error).__name__)
            return False
        return True

    @app_commands.command(description="What is kept about you, and which versions learned from it.")
    @app_commands.describe(server=SERVER)
    async def status(self, interaction: discord.Interaction, server: str | None = None) -> None:
        guild = await home_of(interaction, self.ledger, server)
        user_id = interaction.user.id
        event = await self.ledger.consent.current(guild.id, user_id)
        messages = await self.ledger.messages.of_author(guild.id, user_id)
        versions = await self._versions_with(guild.id, user_id)
        embed = discord.Embed(
            title=clipped(f"What I keep about you in {plain(guild.name)}", 256), description=WORDS
        )
        embed.add_field(name="Learning from you", value=answer_text(event), inline=False)
        embed.add_field(name="Messages kept", value=kept_text(messages, self.retention_days), inline=False)
        answers = await self.ledger.replies.asked_by(guild.id, user_id)
        reactions = await self.ledger.replies.reactions_of(guild.id, user_id)
        told = f"{len(answers):,}, {len(reactions):,}"
        embed.add_field(name="Answers to you, reactions", value=told, inline=False)
        embed.add_field(
            name="Versions that learned from you",
            value=clipped("\n".join(versions) or "none", FIELD),
            inline=False,
        )
        await interaction.response.send_message(embed=embed, ephemeral=True)

    async def _versions_with(self, guild_id: int, user_id: int) -> list[str]:
        """Return a line a version that has this person's words, with its last date where it has one."""
        runs = set(await self.ledger.runs.runs_with_author(guild_id, user_id))
        due = {each.adapter.version: each.delete_by for each in await self.ledger.deletions.tainted()}
        lines = []
        for adapter in await self.ledger.adapters.of_guild(guild_id):
            if adapter.run_id in runs and adapter.state != "deleted":
                serves = ", serves now" if adapter.state == "champion" else ""
                lines.append(f"`{adapter.version}`{serves}{self._until(adapter, due)}")
        return lines

    def _until(self, adapter: Adapter, due: Mapping[str, int]) -> str:
        """Say until when a version is kept."""
        if adapter.version in due:
            return f", deleted by {day(due[adapter.version])}"
        last = day(adapter.created_at + self.adapter_days * DAY_MS)
        waits = " or, while it serves or may be returned to, longer" if adapter.state != "retired" else ""
        return f", until {last} at the latest{waits}; `/privacy forget-me` takes you out earlier"

    @app_commands.command(name="opt-in", description="Let the bot learn from what you write here.")
    @app_commands.describe(
        channel="Only this channel (repeat for more); all of them if left out", server=SERVER
    )
    async def opt_in(
        self,
        interaction: discord.Interaction,
        channel: discord.TextChannel | None = None,
        server: str | None = None,
    ) -> None:
        # A channel is one of the server that the command is typed in.
        home = await home_of(interaction, self.ledger, None if channel else server)
        chosen = channel.id if channel else None
        await opt_in(self.ledger, home, interaction.user.id, chosen)
        where = f" This goes for {channel.mention}, and others that you name so." if channel else ""
        await interaction.response.send_message(YES + where, ephemeral=True)

    @app_commands.command(name="opt-out", description="Stop the bot from learning from you.")
    @app_commands.describe(server=SERVER)
    async def opt_out(self, interaction: discord.Interaction, server: str | None = None) -> None:
        await opt_out(self.ledger, await home_of(interaction, self.ledger, server), interaction.user.id)
        await interaction.response.send_message(NO, ephemeral=True)

    @app_commands.command(description="What was deleted when you were forgotten, and what is still due.")
    @app_commands.describe(server=SERVER)
    async def receipt(self, interaction: discord.Interaction, server: str | None = None) -> None:
        home = await home_of(interaction, self.ledger, server)
        receipts = await self.ledger.deletions.of_person(home.id, interaction.user.id)
        text = "\n\n".join(f"**{day(each.asked_at)}** {receipt_text(each)}" for each in receipts)
        await interaction.response.send_message(
            clipped(text or "You have not asked to be forgotten here.", 2000), ephemeral=True
        )

    @app_commands.command(name="forget-me", description="Erase everything that is kept about you here.")
    @app_commands.describe(server=SERVER)
    async def forget_me(self, interaction: discord.Interaction, server: str | None = None) -> None:
        home = await home_of(interaction, self.ledger, server)
        view = asks_to_erase(interaction.user.id, asked_by=interaction.user.id, guild_id=home.id)
        await interaction.response.send_message(
            f"Erase every message of yours that I keep from {plain(home.name)}? This cannot be undone.",
            view=view,
            ephemeral=True,
        )

    @app_commands.command(description="Get a file with everything that is kept about you here.")
    @app_commands.describe(server=SERVER)
    async def export(self, interaction: discord.Interaction, server: str | None = None) -> None:
        guild = await home_of(interaction, self.ledger, server)
        user_id = interaction.user.id
        await interaction.response.defer(ephemeral=True, thinking=True)
        content = {
            "guild": guild.id,
            "user": user_id,
            "consent": [asdict(event) for event in await self.ledger.consent.history(guild.id, user_id)],
            "messages": [asdict(m) for m in await self.ledger.messages.of_author(guild.id, user_id)],
            "replies_to_you": [asdict(r) for r in await self.ledger.replies.asked_by(guild.id, user_id)],
            "reactions": [asdict(r) for r in await self.ledger.replies.reactions_of(guild.id, user_id)],
            "forgotten": [asdict(d) for d in await self.ledger.deletions.of_person(guild.id, user_id)],
            "runs": await self.ledger.runs.runs_with_author(guild.id, user_id),
        }
        raw, name = json.dumps(content, ensure_ascii=False, indent=1).encode(), "my-nightschool-data.json"
        if len(raw) > PLAIN_BYTES:
            raw, name = await asyncio.to_thread(gzip.compress, raw), f"{name}.gz"
        await interaction.edit_original_response(
            content="Everything I keep about you:", attachments=[discord.File(io.BytesIO(raw), name)]
        )

    @status.autocomplete("server")
    @opt_in.autocomplete("server")
    @opt_out.autocomplete("server")
    @receipt.autocomplete("server")
    @forget_me.autocomplete("server")
    @export.autocomplete("server")
    async def servers(self, interaction: discord.Interaction, typed: str) -> list[app_commands.Choice[str]]:
        """Offer the servers that hold something of the person who types."""
        return await offered_homes(self.ledger, interaction.user.id, typed)
