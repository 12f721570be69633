"""What tests read off a ledger that the program itself never asks for."""

from __future__ import annotations

from ledger.forgetting.deletions import Deletion
from ledger.learned.version_names import owner_of
from ledger.records import BotAnswer
from ledger.store import Ledger


async def answers_of(ledger: Ledger, guild_id: int) -> list[BotAnswer]:
    """Return the bot's answers in a guild, newest first."""
    async with ledger.reader.execute(
        "SELECT message_id FROM replies WHERE guild_id = ? ORDER BY created_at DESC, message_id DESC",
        (guild_id,),
    ) as cursor:
        ids = [int(row["message_id"]) async for row in cursor]
    found = [await ledger.answers.get(number) for number in ids]
    return [answer for answer in found if answer is not None]


async def deletions_of(ledger: Ledger, guild_id: int) -> list[Deletion]:
    """Return a guild's deletions, oldest first."""
    return [deletion for deletion in await ledger.deletions.since(0) if deletion.guild_id == guild_id]


async def note_files_gone(ledger: Ledger, version: str) -> None:
    """Note that a version's files are deleted, as forgetting does."""
    await ledger.deletions.version_deleted(await ledger.adapters.require(owner_of(version), version))
