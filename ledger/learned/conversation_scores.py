"""What models scored on single conversations: kept for the growth curve, and not to score twice.

Figures alone. A conversation is known by its first message's id; ``fingerprint`` is a keyed hash of what
was scored, and is deleted with the text.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass
from typing import Literal

import aiosqlite

from ledger.sqlite.database import Reader
from ledger.sqlite.writer import Writer

Exam = Literal["fresh", "test", "old"]
"""Replies since the last night, the newest held-out conversations, and older ones."""


@dataclass(frozen=True, slots=True)
class ConversationScore:
    """A model's NLL on one conversation: a sum in nats over ``tokens`` tokens of ``replies`` replies."""

    exam: Exam
    model: str
    conversation: int
    fingerprint: bytes | None
    nll: float
    tokens: int
    correct: int
    replies: int


class ConversationScores:
    """Writes and reads conversations' scores."""

    def __init__(self, reader: Reader, writer: Writer) -> None:
        self._reader, self._writer = reader, writer

    async def keep(self, run_id: str, scores: Iterable[ConversationScore]) -> None:
        """Keep what a run measured; a repeated measurement replaces the earlier one.

        The hashes of a run that saw something deleted are not kept: what it scored may be what went.
        """
        rows = [{"run": run_id, **asdict(score)} for score in scores]

        async def job(connection: aiosqlite.Connection) -> None:
            await connection.executemany(
                "INSERT OR REPLACE INTO conversation_scores (run_id, exam, model, conversation, fingerprint,"
                " nll, tokens, correct, replies) VALUES (:run, :exam, :model, :conversation,"
                # In this transaction: a deletion that comes later finds the rows by itself.
                " CASE WHEN :run NOT IN (SELECT run_id FROM tainted_runs) THEN :fingerprint END,"
                " :nll, :tokens, :correct, :replies)",
                rows,
            )

        await self._writer.run(job)

    async def delete_hashes(self, before: int) -> None:
        """Delete the hashes of conversations that age has taken, or that a run measured ``before``.

        A conversation's oldest message is mostly its first; where it is not, the run's own age ends it.
        """
        await self._writer.execute(
            "UPDATE conversation_scores SET fingerprint = NULL WHERE fingerprint IS NOT NULL AND"
            # Below 1 stands what nobody wrote: general text.
            " (conversation > 0 AND conversation NOT IN (SELECT id FROM messages)"
            " OR run_id IN (SELECT id FROM runs WHERE created_at < ?))",
            (before,),
        )

    async def of_model(self, guild_id: int, model: str) -> dict[bytes, ConversationScore]:
        """Return what the model scored on this guild's conversations, by fingerprint."""
        found = await self._select("model = ? AND fingerprint IS NOT NULL", (guild_id, model))
        return {score.fingerprint: score for _, score in found if score.fingerprint is not None}

    async def since(
        self, guild_id: int, exam: Exam, models: Collection[str], *, since: int, run: str
    ) -> list[tuple[str, ConversationScore]]:
        """Return what :meth:`of_runs` does of nights begun at ``since`` or later that reached a verdict.

        ``run`` is tonight's, which counts before its verdict. A night that failed scored what the next one
        scores again.
        """
        marks = ", ".join("?" * len(models))
        return await self._select(
            f"exam = ? AND model IN ({marks}) AND r.created_at >= ?"
            " AND (r.stage IN ('promoted', 'kept') OR r.id = ?)",
            (guild_id, exam, *models, since, run),
        )

    async def of_runs(
        self, guild_id: int, exam: Exam, models: Collection[str]
    ) -> list[tuple[str, ConversationScore]]:
        """Return (run, score) of these models in one exam, by run in the order of time."""
        marks = ", ".join("?" * len(models))
        return await self._select(f"exam = ? AND model IN ({marks})", (guild_id, exam, *models))

    async def _select(
        self, where: str, parameters: tuple[object, ...]
    ) -> list[tuple[str, ConversationScore]]:
        async with self._reader.execute(
            "SELECT s.* FROM conversation_scores s JOIN runs r ON r.id = s.run_id"
            f" WHERE r.guild_id = ? AND {where} ORDER BY r.created_at, s.run_id, s.conversation",
            parameters,
        ) as cursor:
            return [
                (
                    str(row["run_id"]),
                    ConversationScore(
                        row["exam"],
                        str(row["model"]),
                        int(row["conversation"]),
                        bytes(row["fingerprint"]) if row["fingerprint"] is not None else None,
                        float(row["nll"]),
                        int(row["tokens"]),
                        int(row["correct"]),
                        int(row["replies"]),
                    ),
                )
                async for row in cursor
            ]


__all__ = ["ConversationScore", "ConversationScores", "Exam"]
