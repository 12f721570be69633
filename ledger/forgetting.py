"""Forgetting a person: their text leaves the ledger, its WAL, and the datasets made from it.

What was learned is not text any more: the versions that saw the person's words are named in the
receipt. A night trains afresh from the base model, so the next one that is promoted is without them.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import aiosqlite

from ledger.clock import to_ms
from ledger.consent import WORDING_VERSION
from ledger.store import Ledger


@dataclass(frozen=True, slots=True)
class Receipt:
    """What was deleted, and which adapter versions had learned from it."""

    messages: int
    replies: int
    reactions: int
    datasets: int
    versions: tuple[str, ...]


async def forget_person(ledger: Ledger, guild_id: int, user_id: int, *, datasets_dir: Path) -> Receipt:
    """Delete everything that is stored about the person in this guild, and note that they are out."""
    runs = await ledger.runs.runs_with_author(guild_id, user_id)
    versions = tuple(
        adapter.version
        for adapter in await ledger.adapters.of_guild(guild_id)
        if adapter.run_id in runs and adapter.state != "deleted"
    )
    now = to_ms(ledger.clock.now())

    async def job(connection: aiosqlite.Connection) -> tuple[int, int, int]:
        async def delete(sql: str) -> int:
            return (await connection.execute(sql, (guild_id, user_id))).rowcount

        messages = await delete("DELETE FROM messages WHERE guild_id = ? AND author_id = ?")
        reactions = await delete(
            "DELETE FROM reactions WHERE message_id IN (SELECT message_id FROM replies WHERE guild_id = ?)"
            " AND user_id = ?"
        )
        replies = await delete("DELETE FROM replies WHERE guild_id = ? AND asked_by = ?")
        await delete("DELETE FROM people WHERE guild_id = ? AND user_id = ?")
        await connection.execute(
            "INSERT INTO consent_events (guild_id, user_id, granted, wording, at) VALUES (?, ?, 0, ?, ?)",
            (guild_id, user_id, WORDING_VERSION, now),
        )
        return messages, replies, reactions

    messages, replies, reactions = await ledger.writer.run(job)
    # Every dataset may hold the person's lines as context of others' replies: all of them go.
    datasets = _delete_datasets(datasets_dir, guild_id)
    await ledger.checkpoint()
    return Receipt(messages, replies, reactions, datasets, versions)


def _delete_datasets(datasets_dir: Path, guild_id: int) -> int:
    folders = [folder for folder in datasets_dir.glob(f"g{guild_id}-*") if folder.is_dir()]
    for folder in folders:
        shutil.rmtree(folder)
    return len(folders)
