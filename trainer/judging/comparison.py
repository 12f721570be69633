"""What candidate, champion and bare base scored, and the verdict that follows from it.

Records and pure functions; :mod:`trainer.evaluating.evaluation` measures, and
:mod:`trainer.judging.verdict` judges.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ledger.learned.outcome import Sample, Score
from trainer.judging.leakage import Recitals
from trainer.judging.verdict import Decision, judge, with_recitals
from trainer.judging.verdict_limits import VerdictLimits
from trainer.scoring.tally import Tally, total


@dataclass(frozen=True, slots=True)
class Scores:
    """What one model scored: ``conversations`` on held-out replies, ``general`` on the general text."""

    conversations: tuple[Tally, ...]
    general: Tally
    sampled: dict[str, float] = field(default_factory=dict)

    def figures(self) -> Score:
        """Return the means for reports and manifests."""
        held_out = total(self.conversations)
        score: Score = {
            "nll": round(held_out.mean, 5),
            "perplexity": round(held_out.perplexity, 3),
            "token_accuracy": round(held_out.accuracy, 4),
            "tokens": held_out.tokens,
            "replies": held_out.replies,
            "conversations": len(self.conversations),
            "general_nll": round(self.general.mean, 5),
        }
        if self.sampled:
            score["sampled"] = self.sampled
        return score


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Scores by model (``base``, ``candidate``, and ``champion`` where there is one)."""

    scores: dict[str, Scores]
    samples: tuple[Sample, ...] = field(repr=False)
    """``context``, ``before`` and ``after``: members' words, to be shown and not to be kept."""
    notes: tuple[str, ...] = ()
    """What could not be compared, as sentences."""
    recitals: Recitals | None = None
    """How much the candidate recites of what it learned from; None where nobody tested that."""

    @property
    def reference(self) -> str:
        """What the candidate has to beat."""
        return "champion" if "champion" in self.scores else "base"


def decide(found: Evaluation, limits: VerdictLimits) -> Decision:
    """Judge an evaluation by ``limits``, what the candidate recites included."""
    decision = judge(
        found.scores["candidate"].conversations,
        found.scores[found.reference].conversations,
        against="champion" if found.reference == "champion" else "base",
        candidate_general=found.scores["candidate"].general,
        base_general=found.scores["base"].general,
        limits=limits,
    )
    if found.recitals is None:
        return decision
    return with_recitals(decision, found.recitals, max_rate=limits.max_rate)


def interval_of(decision: Decision) -> dict[str, float]:
    """Return the bootstrap's figures in nats a token."""
    difference = decision.difference
    if difference is None:
        return {}
    return {
        name: round(getattr(difference, name), 5)
        for name in ("estimate", "low", "high", "better", "confidence")
    }


__all__ = ["Evaluation", "Scores", "decide", "interval_of"]
