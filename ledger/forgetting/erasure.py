"""What a deletion reaches, in SQL: the rows that go, and the runs that saw them.

Runs inside somebody else's transaction; opens, commits and remembers nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Literal

import aiosqlite

from ledger.forgetting.quotes import Quotes
from ledger.learned.lineage import learned_sql
from ledger.people.policy import taught_by_any

Kind = Literal["person", "messages", "channel", "guild"]

_SCOPE: Mapping[str, str] = {
    # The question of a taught pair has nobody as its author; its basis names the admin who wrote it.
    "person": f"(author_id IN (SELECT value FROM json_each(:subject)) OR {taught_by_any(':subject')})",
    "messages": "id IN (SELECT value FROM json_each(:subject))",
    "channel": "channel_id IN (SELECT value FROM json_each(:subject))",
    "guild": "1",
}
"""Which of a guild's messages a deletion reaches."""
_REPLY_SCOPE: Mapping[str, str] = {
    "person": "asked_by IN (SELECT value FROM json_each(:subject))",
    # The bot's own messages may be deleted in Discord; and the answer goes with a deleted question.
    # coalesce: an answer to /ask replies to nothing, and NULL would make the NOT of this, too, untrue for it.
    "messages": "message_id IN (SELECT value FROM json_each(:subject))"
    " OR coalesce(in_reply_to IN (SELECT value FROM json_each(:subject)), 0)",
    "channel": "channel_id IN (SELECT value FROM json_each(:subject))",
    "guild": "1",
}


async def taint_runs(connection: aiosqlite.Connection, kind: Kind, names: dict[str, object]) -> None:
    """Taint each run that saw a message or an answer that goes now, and every run whose fit started from its
    version.

    A run that only scored the message has nothing of it in its version: its files go, its version stays.
    Comes before the rows go: which answers go along with a message is read off them.
    """
    seen = {
        "person": "m.author_id IN (SELECT value FROM json_each(:subject))",
        "messages": "m.message_id IN (SELECT value FROM json_each(:subject))",
        "channel": "m.channel_id IN (SELECT value FROM json_each(:subject))",
        "guild": "1",
    }[kind]
    await connection.execute(
        "INSERT INTO tainted_runs (run_id, deletion_id, delete_by, learned)"
        # By what the run had noted, not by messages: retention may have deleted those since.
        " WITH RECURSIVE seen (run_id, learned) AS ("
        f"   SELECT m.run_id, max({learned_sql('m.role')}) FROM run_messages m JOIN runs r ON r.id = m.run_id"
        f"   WHERE r.guild_id = :guild AND ({seen} OR m.message_id IN"
        f"   (SELECT message_id FROM replies WHERE guild_id = :guild AND ({_REPLY_SCOPE[kind]})))"
        "   GROUP BY m.run_id),"
        " learned (run_id) AS ("
        "   SELECT run_id FROM seen WHERE learned"
        "   UNION SELECT child.run_id FROM learned JOIN adapters made ON made.run_id = learned.run_id"
        "   JOIN adapters child ON child.parent = made.version)"
        " SELECT run_id, :id, :until, max(learned) FROM"
        "   (SELECT run_id, learned FROM seen UNION ALL SELECT run_id, 1 FROM learned) WHERE true"
        " GROUP BY run_id ON CONFLICT DO UPDATE SET learned = max(learned, excluded.learned)",
        names,
    )
    await connection.execute(
        # A hash of what is gone is kept no longer than the text; the figures stay.
        "UPDATE conversation_scores SET fingerprint = NULL WHERE run_id IN"
        " (SELECT run_id FROM tainted_runs WHERE deletion_id = :id)",
        names,
    )


async def delete_rows(
    connection: aiosqlite.Connection, kind: Kind, names: dict[str, object]
) -> dict[str, int]:
    """Delete from every table that holds anything of the subject; return counts by table.

    ``names`` are those of :func:`taint_runs`, for what goes along with it.
    """

    async def delete(sql: str) -> int:
        return (await connection.execute(sql, names)).rowcount

    replies = f"guild_id = :guild AND ({_REPLY_SCOPE[kind]})"
    quotes = await _blank_quotes(connection, kind, names) if kind != "guild" else 0
    counts = {
        "messages": await delete(f"DELETE FROM messages WHERE guild_id = :guild AND {_SCOPE[kind]}"),
        # Before the answers: with them they would go uncounted, by ON DELETE CASCADE.
        "reactions": await delete(
            f"DELETE FROM reactions WHERE message_id IN (SELECT message_id FROM replies WHERE {replies})"
        ),
        "replies": await delete(f"DELETE FROM replies WHERE {replies}"),
    }
    if kind == "person":
        # Reactions know no guild; only those to this guild's answers go, since forgetting is for one guild.
        counts["reactions"] += await delete(
            "DELETE FROM reactions WHERE user_id IN (SELECT value FROM json_each(:subject)) AND message_id IN"
            " (SELECT message_id FROM replies WHERE guild_id = :guild)"
        )
        for table in ("people", "quarantine"):
            await delete(
                f"DELETE FROM {table} WHERE guild_id = :guild"
                " AND user_id IN (SELECT value FROM json_each(:subject))"
            )
    if kind == "guild":
        await delete("DELETE FROM people WHERE guild_id = :guild")
        await delete("DELETE FROM quarantine WHERE guild_id = :guild")
        # An error's sentence may name the server ("Lantern Yard has 3 usable conversations").
        await delete("UPDATE runs SET reasons = '[]', error = NULL WHERE guild_id = :guild")
        # Else each new session would find the bot removed from it, and delete everything once more.
        await delete("UPDATE guilds SET joined_as = NULL WHERE id = :guild")
    return {**counts, "quotes": quotes} if quotes else counts


async def _blank_quotes(connection: aiosqlite.Connection, kind: Kind, names: dict[str, object]) -> int:
    """Take the text out of the bot's answers to others that repeat what goes; return how many.

    Has to come before the rows go. An answer can only repeat what was written before it.
    """
    async with connection.execute(
        f"SELECT content, created_at FROM messages WHERE guild_id = :guild AND {_SCOPE[kind]}", names
    ) as cursor:
        doomed = [(str(row["content"]), int(row["created_at"])) async for row in cursor]
    if not doomed:
        return 0
    quotes = Quotes(content for content, _ in doomed)
    async with connection.execute(
        "SELECT message_id, content FROM replies WHERE guild_id = :guild AND content <> ''"
        f" AND created_at >= :since AND NOT ({_REPLY_SCOPE[kind]})",
        {**names, "since": min(at for _, at in doomed)},
    ) as cursor:
        found = [int(row["message_id"]) async for row in cursor if row["content"] in quotes]
    await connection.execute(
        "UPDATE replies SET content = '' WHERE message_id IN (SELECT value FROM json_each(?))",
        (json.dumps(found),),
    )
    # What a run learned from such an answer repeats the deleted as the answer did.
    await taint_runs(connection, "messages", {**names, "subject": json.dumps(found)})
    return len(found)
