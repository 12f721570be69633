"""What versions are worth on what was said since the last night, before anything is learned from it.

Nobody has learned those replies, so this is the honest next-day figure (test, then train). It is kept night
by night as the growth curve, and as evidence on which a promoted version is watched. Scores of unchanged
conversations are kept as well, so that base and champion are not scored on them again.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from engine.model.loading import base_fingerprint, choose_placement
from ledger.errors import NightschoolError
from ledger.learned.conversation_scores import ConversationScore, Exam
from ledger.learned.outcome import NextDay
from ledger.store import Ledger
from trainer.evaluating.measuring import GENERAL
from trainer.evaluating.switched_model import BASE, CANDIDATE, CHAMPION
from trainer.fitting.recipe import Base
from trainer.judging.comparison import Scores
from trainer.judging.verdict_limits import VerdictLimits
from trainer.judging.watching import Watch, gaps_between, watch
from trainer.preparing.dataset_files import Part, has_part, read_lines
from trainer.scoring.perplexity import GENERAL_TEXT
from trainer.scoring.tally import Tally, total


class WentBack(NightschoolError):
    """The version before the champion serves again; the sentence says why."""


_EXAMS: tuple[Exam, ...] = ("fresh", "test", "old")


class ScoreMemory:
    """What one night's dataset asks, and what versions are known to have scored on the same."""

    def __init__(
        self, ledger: Ledger, guild_id: int, base: Base, *, max_tokens: int, packing: bool = True
    ) -> None:
        self._ledger, self._guild, self._base = ledger, guild_id, base
        # Scores of another number format or device are others by as much as a verdict may hang on.
        where = choose_placement(base.device, base.quantization, base.dtype)
        self._how = (
            f"{max_tokens} {where.device} {where.dtype} {where.quantization} {packing} {base.chat_template}"
        )
        self._prints: dict[Exam, dict[int, bytes]] = {}

    async def read(self, dataset_dir: Path) -> None:
        """Note what the dataset asks in each part."""
        key = await self._ledger.lineage.split_key()
        for exam in _EXAMS:
            self._prints[exam] = self._fingerprints(dataset_dir, exam, key)
        general = hmac.digest(key, GENERAL_TEXT.read_bytes() + self._how.encode(), "sha256")
        self._prints["test"][GENERAL] = general

    def _fingerprints(self, dataset_dir: Path, part: Part, key: bytes) -> dict[int, bytes]:
        found: dict[int, bytes] = {}
        if not has_part(dataset_dir, part):
            return found
        lines: Sequence[Mapping[str, Any]] = sorted(
            read_lines(dataset_dir, part), key=lambda line: int(line["conversation"])
        )
        for conversation, group in groupby(lines, key=lambda line: int(line["conversation"])):
            asked = json.dumps([[line["messages"], line["targets"]] for line in group])
            text = f"{self._how} {asked}".encode()
            found[conversation] = hmac.new(key, text, hashlib.sha256).digest()
        return found

    def model_key(self, version: str | None) -> str:
        """Return the name under which a model's scores are kept: the base by its weights."""
        return version or f"base {base_fingerprint(self._base.name, self._base.revision)[:16]}"

    async def known(
        self, versions: Mapping[str, str | None], *, exams: Sequence[Exam] = ("test", "old")
    ) -> dict[str, dict[int, Tally]]:
        """Return known scores by the names that ``versions`` gives to models, and by conversation."""
        found: dict[str, dict[int, Tally]] = {}
        for name, version in versions.items():
            kept = await self._ledger.scores.of_model(self._guild, self.model_key(version))
            found[name] = {
                conversation: Tally(score.nll, score.tokens, score.correct, score.replies)
                for exam in exams
                for conversation, fingerprint in self._prints.get(exam, {}).items()
                if (score := kept.get(fingerprint)) is not None
            }
        return found

    async def keep(self, run: str, exam: Exam, version: str | None, tallies: Mapping[int, Tally]) -> None:
        """Keep what a model scored in one exam."""
        prints = self._prints.get(exam, {})
        await self._ledger.scores.keep(
            run,
            [
                ConversationScore(
                    exam,
                    self.model_key(version),
                    conversation,
                    prints.get(conversation),
                    tally.nll,
                    tally.tokens,
                    tally.correct,
                    tally.replies,
                )
                for conversation, tally in tallies.items()
            ],
        )

    async def keep_evaluation(
        self, run: str, scores: Mapping[str, Scores], *, candidate: str, champion: str | None
    ) -> None:
        """Keep what an evaluation found: the candidate may be tomorrow's champion."""
        for name, version in ((BASE, None), (CHAMPION, champion), (CANDIDATE, candidate)):
            if name in scores:
                await self.keep(run, "test", version, {**scores[name].exam, GENERAL: scores[name].general})
                await self.keep(run, "old", version, scores[name].old)


def next_day(scores: Mapping[str, Mapping[int, Tally]], champion: str | None) -> NextDay | None:
    """Return the next-day figures; None where nothing was fresh."""
    base = total(scores[BASE].values())
    if not base.tokens:
        return None
    served = total(scores[champion].values()) if champion and champion in scores else base
    return {
        "base_nll": round(base.mean, 5),
        "served_nll": round(served.mean, 5),
        "tokens": base.tokens,
        "replies": base.replies,
        "conversations": len(scores[BASE]),
    }


async def watched(
    ledger: Ledger, guild_id: int, champion: str, against: str, limits: VerdictLimits, *, run: str
) -> Watch | None:
    """Weigh what the champion and the version before it scored on the same conversations since its promotion.

    ``champion`` and ``against`` are the names under which their scores are kept, ``run`` is tonight's. None
    where a night did not promote it: what an admin lets serve is the admin's to take back.
    """
    promotion = await ledger.promotions.promotion_of(champion)
    if promotion is None or not promotion[0].startswith("night "):
        return None
    rows = await ledger.scores.since(guild_id, "fresh", [champion, against], since=promotion[1], run=run)
    nights = []
    for _, group in groupby(rows, key=lambda row: row[0]):
        mine: dict[int, Tally] = {}
        theirs: dict[int, Tally] = {}
        for _, score in group:
            side = mine if score.model == champion else theirs
            side[score.conversation] = Tally(score.nll, score.tokens, score.correct, score.replies)
        if mine and theirs:
            nights.append(gaps_between(mine, theirs))
    return watch(nights, limits)


__all__ = ["ScoreMemory", "WentBack", "next_day", "watched"]
