"""The bot's own answers, the adapter version that wrote each, and the reactions to them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import asdict, fields

import aiosqlite

from ledger.clock import Clock, to_ms
from ledger.people.policy import agrees_sql
from ledger.records import BotAnswer, Reaction
from ledger.sqlite.database import Reader, older_deleted
from ledger.sqlite.writer import Writer

WITH_TEXT = (
    # A long answer's later messages hold no text of their own: the first one's is the answer's.
    "SELECT r.message_id FROM replies r LEFT JOIN replies first ON first.message_id = r.part_of"
    " WHERE coalesce(first.content, r.content) <> ''"
)
"""The numbers of all messages of answers whose text is stored, in SQL."""
_ALL_KEPT = (
    "NOT EXISTS (SELECT 1 FROM json_each(:read) WHERE value NOT IN"
    " (SELECT id FROM messages WHERE guild_id = :guild_id) AND value NOT IN"
    f" ({WITH_TEXT} AND r.guild_id = :guild_id))"
)
_LIKED = (
    "WITH votes AS (SELECT coalesce(r.part_of, r.message_id) AS answer,"
    # By the first character: a tone of skin follows it. Somebody who put both has no vote.
    " max(substr(v.emoji, 1, 1) = '👍') - max(substr(v.emoji, 1, 1) = '👎') AS vote"
    " FROM reactions v JOIN replies r USING (message_id) WHERE r.guild_id = :guild AND "
    f"{agrees_sql('v.user_id', guild='r.guild_id', channel='r.channel_id')} AND NOT EXISTS"
    " (SELECT 1 FROM quarantine q WHERE q.guild_id = r.guild_id AND q.user_id = v.user_id"
    " AND q.allowed_by IS NULL AND q.until > :now) GROUP BY answer, v.user_id)"
    " SELECT a.*, (SELECT json_group_array(message_id) FROM replies WHERE part_of = a.message_id) AS parts"
    " FROM replies a WHERE a.guild_id = :guild AND a.content <> '' AND a.part_of IS NULL"
    " AND (SELECT sum(vote) FROM votes WHERE answer = a.message_id) > 0 AND "
    f"{agrees_sql('a.asked_by', guild='a.guild_id', channel='a.channel_id')}"
    " ORDER BY a.created_at, a.message_id"
)


class BotAnswers:
    """What the bot said."""

    def __init__(
        self, reader: Reader, writer: Writer, clock: Clock, *, as_stored: Callable[[str], str]
    ) -> None:
        """``as_stored`` takes private values out: an answer may repeat one that its reader never wrote."""
        self._reader = reader
        self._writer = writer
        self._clock = clock
        self._as_stored = as_stored

    async def add(self, answer: BotAnswer, *, read: Collection[int] = ()) -> None:
        """Store an answer once it is complete in Discord.

        A model repeats what it reads, so the text is kept only if everything it read is kept, too: the
        asker agrees, and each message in ``read`` is stored, or is an answer that still has its text. Both
        are looked up in the transaction that writes, so that nothing deleted meanwhile comes back in an
        answer.
        """
        await self._writer.execute(
            "INSERT INTO replies (message_id, guild_id, channel_id, asked_by, in_reply_to, content,"
            " adapter_version, created_at, part_of) SELECT :message_id, :guild_id, :channel_id, :asked_by,"
            f" :in_reply_to, iif({agrees_sql(':asked_by')} AND {_ALL_KEPT}, :content, ''), :adapter_version,"
            # SQLite's manual wants a WHERE before ON CONFLICT, which could else be the ON of a join.
            " :created_at, :part_of WHERE true ON CONFLICT DO NOTHING",
            {**asdict(answer), "content": self._as_stored(answer.content), "read": json.dumps(list(read))},
            durable=False,
        )

    async def get(self, message_id: int) -> BotAnswer | None:
        async with self._reader.execute(
            "SELECT * FROM replies WHERE message_id = ?", (message_id,)
        ) as cursor:
            row = await cursor.fetchone()
        return _answer(row) if row else None

    async def asked_by(self, guild_id: int, user_id: int) -> list[BotAnswer]:
        """Return the answers that one person asked for, oldest first."""
        async with self._reader.execute(
            "SELECT * FROM replies WHERE guild_id = ? AND asked_by = ? ORDER BY created_at",
            (guild_id, user_id),
        ) as cursor:
            return [_answer(row) async for row in cursor]

    async def texts(self, guild_id: int) -> list[str]:
        """Return the texts of the guild's answers that are kept, by which quotations are known."""
        async with self._reader.execute(
            "SELECT content FROM replies WHERE guild_id = ? AND content <> ''", (guild_id,)
        ) as cursor:
            return [str(row["content"]) async for row in cursor]

    async def delete_older(self, before: int) -> Counter[int]:
        """Delete what was written before ``before`` (milliseconds); return how many, by guild."""
        return await self._writer.run(lambda connection: older_deleted(connection, "replies", before))

    async def react(self, message_id: int, user_id: int, emoji: str) -> None:
        """Note a reaction of somebody who agrees, if the message is one of the bot's answers."""
        agreed = agrees_sql(":user_id", guild="replies.guild_id", channel="replies.channel_id")
        await self._writer.execute(
            "INSERT INTO reactions (message_id, user_id, emoji, at) SELECT message_id, :user_id, :emoji, :now"
            f" FROM replies WHERE message_id = :message_id AND {agreed} ON CONFLICT DO NOTHING",
            {"message_id": message_id, "user_id": user_id, "emoji": emoji, "now": to_ms(self._clock.now())},
            durable=False,
        )

    async def unreact(self, message_id: int, user_id: int, emoji: str) -> None:
        """Take a reaction back."""
        await self._writer.execute(
            "DELETE FROM reactions WHERE message_id = ? AND user_id = ? AND emoji = ?",
            (message_id, user_id, emoji),
        )

    async def clear_reactions(self, message_id: int, emoji: str | None = None) -> None:
        """Take all reactions to a message back, or those with one emoji."""
        await self._writer.execute(
            "DELETE FROM reactions WHERE message_id = ? AND emoji = coalesce(?, emoji)", (message_id, emoji)
        )

    async def reactions(self, message_id: int) -> dict[str, int]:
        """Return how many people reacted, by emoji."""
        async with self._reader.execute(
            "SELECT emoji, count(*) AS n FROM reactions WHERE message_id = ? GROUP BY emoji", (message_id,)
        ) as cursor:
            return {str(row["emoji"]): int(row["n"]) async for row in cursor}

    async def liked(self, guild_id: int) -> list[tuple[BotAnswer, tuple[int, ...]]]:
        """Return the answers with more 👍 than 👎, oldest first, each with its later messages' numbers.

        Everybody has one vote, who put both has none, and neither has who is in quarantine or agrees no
        more. Only answers with text, to people who agree, are among them.
        """
        names = {"guild": guild_id, "now": to_ms(self._clock.now())}
        async with self._reader.execute(_LIKED, names) as cursor:
            return [(_answer(row), tuple(sorted(json.loads(row["parts"])))) async for row in cursor]

    async def reactions_of(self, guild_id: int, user_id: int) -> list[Reaction]:
        """Return one person's reactions to the bot's answers, oldest first."""
        async with self._reader.execute(
            "SELECT message_id, emoji, r.at FROM reactions r JOIN replies USING (message_id)"
            " WHERE guild_id = ? AND user_id = ? ORDER BY r.at, message_id",
            (guild_id, user_id),
        ) as cursor:
            return [Reaction(**{key: row[key] for key in row.keys()}) async for row in cursor]  # noqa: SIM118


def _answer(row: aiosqlite.Row) -> BotAnswer:
    return BotAnswer(**{each.name: row[each.name] for each in fields(BotAnswer)})
