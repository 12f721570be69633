"""Forgets people, and gives them a receipt: at once, or as soon as Discord takes it."""

from __future__ import annotations

import logging

import discord

from bot.failures import DISCORD_AWAY, reason
from bot.interactions import acknowledge, answer
from bot.plain_text import clipped, plain
from ledger.clock import from_ms, to_ms
from ledger.forgetting.deletion_path import DAY_MS, Forgetting
from ledger.forgetting.deletions import Deletion
from ledger.store import Ledger

log = logging.getLogger(__name__)

OWED_MS = 30 * DAY_MS
"""How long to keep trying to deliver a receipt; `/privacy receipt` shows it for good."""
ANSWERING_MS = 60_000
"""A younger deletion is still being answered where it was asked for."""


class Receipts:
    """Forgets people, and tells them what was erased."""

    def __init__(self, client: discord.Client, *, ledger: Ledger, forgetting: Forgetting) -> None:
        self._client = client
        self._ledger = ledger
        self._forgetting = forgetting
        self._sent: set[int] = set()

    async def forget(self, interaction: discord.Interaction, guild_id: int, user_id: int) -> None:
        """Forget a person, whatever becomes of the answer; members who asked for themselves get a receipt."""
        await acknowledge(interaction, thinking=False)
        own = interaction.user.id == user_id
        asked_by = "member" if own else f"admin {interaction.user.id}"
        receipt = await self._forgetting.person(guild_id, user_id, asked_by=asked_by)
        if await answer(interaction, receipt_text(receipt), in_place=True):
            await self._ledger.deletions.told(receipt.id)

    async def deliver_owed(self) -> None:
        """Send the receipts that could not be delivered when members asked to be forgotten."""
        now = to_ms(self._ledger.clock.now())
        for receipt in await self._ledger.deletions.untold(since=now - OWED_MS, until=now - ANSWERING_MS):
            if receipt.id in self._sent or await self._send(receipt):
                self._sent.add(receipt.id)  # noted below; here, too, in case the database cannot be written
                await self._ledger.deletions.told(receipt.id)

    async def _send(self, receipt: Deletion) -> bool:
        """Send a receipt as a direct message; return False if that has to be tried again."""
        guild = self._client.get_guild(receipt.guild_id)
        server = plain(guild.name) if guild is not None else "a server"
        try:
            user = await self._client.fetch_user(receipt.subject[0])
            await user.send(clipped(f"You asked to be forgotten in {server}. {receipt_text(receipt)}", 2000))
        except (discord.Forbidden, discord.NotFound):
            log.info("a receipt cannot be sent to its member; /privacy receipt shows it")
        except DISCORD_AWAY as error:
            log.warning("a receipt is still owed: %s", reason(error))
            return False
        return True


def receipt_text(receipt: Deletion) -> str:
    """Return what members read once they are forgotten."""
    counts = receipt.counts
    lines = [
        f"Erased: {counts.get('messages', 0):,} messages, {counts.get('replies', 0):,} answers to you and "
        f"{counts.get('reactions', 0):,} reactions."
    ]
    for version in receipt.versions:
        if version.deleted_at is not None:
            when = day(version.deleted_at)
            lines.append(f"`{version.version}` had learned from it and was deleted on {when}.")
        else:
            lines.append(
                f"`{version.version}` had learned from it. It serves until the next version takes its place, "
                f"and is then deleted, on {day(version.delete_by)} at the latest."
            )
    if receipt.completed_at is None:
        lines.append(
            "The last traces leave the database's log within a day; until then this is not complete."
        )
    if not receipt.versions:
        lines.append("No version had learned from it.")
    if receipt.measured:
        lines.append(
            f"{_versions(len(receipt.measured))} only measured on some of it. What they were measured on is "
            "erased; they learned nothing from it, and stay."
        )
    return "\n".join(lines)


def _versions(count: int) -> str:
    return "One more version was" if count == 1 else f"{count:,} more versions were"


def day(milliseconds: int) -> str:
    """Return a date that Discord shows in its reader's own language and time zone."""
    return discord.utils.format_dt(from_ms(milliseconds), "D")
