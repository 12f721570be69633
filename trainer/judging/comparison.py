"""What candidate, champion and bare base scored, and the verdict that follows from it.

Records and pure functions; :mod:`trainer.evaluating.evaluation` measures, and
:mod:`trainer.judging.verdict` judges.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ledger.learned.outcome import Sample, Score
from trainer.judging.guards import (
    Guard,
    general_guard,
    line_guard,
    old_guard,
    recital_guard,
    smoke_guard,
    toxicity_guard,
    yesterday_guard,
)
from trainer.judging.leakage import Recitals
from trainer.judging.verdict import Decision, Need, judge
from trainer.judging.verdict_limits import VerdictLimits
from trainer.scoring.tally import Tally, total


@dataclass(frozen=True, slots=True)
class Scores:
    """What one model scored: held-out conversations by number, the general text, and sampled replies."""

    exam: Mapping[int, Tally]
    general: Tally
    old: Mapping[int, Tally] = field(default_factory=dict)
    """Held-out conversations of older days: what was known must stay known."""
    fresh: Mapping[int, Tally] = field(default_factory=dict)
    """What was said since the last night where the candidate learned from it; of versions alone."""
    sampled: dict[str, float] = field(default_factory=dict)
    faults: tuple[tuple[str, ...], ...] = ()
    """Faults of each sampled reply (:mod:`trainer.judging.reply_faults`)."""
    toxic: tuple[bool, ...] = ()
    """Whether each reply to the shipped prompts is toxic."""

    def figures(self) -> Score:
        """Return the means for reports and manifests."""
        held_out = total(self.exam.values())
        score: Score = {
            "nll": round(held_out.mean, 5),
            "perplexity": round(held_out.perplexity, 3),
            "token_accuracy": round(held_out.accuracy, 4),
            "tokens": held_out.tokens,
            "replies": held_out.replies,
            "conversations": len(self.exam),
            "general_nll": round(self.general.mean, 5),
        }
        if self.old:
            score["old_nll"] = round(total(self.old.values()).mean, 5)
            score["old_conversations"] = len(self.old)
        if self.fresh:
            score["fresh_nll"] = round(total(self.fresh.values()).mean, 5)
        if self.sampled:
            score["sampled"] = dict(self.sampled)
        return score


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Scores by model (``base``, ``candidate``, and ``champion`` where there is one)."""

    scores: dict[str, Scores]
    samples: tuple[Sample, ...] = field(repr=False)
    """``context``, ``before`` and ``after``: members' words, to be shown and not to be kept."""
    notes: tuple[str, ...] = ()
    """What could not be compared, and what was tried, as sentences."""
    recitals: Recitals | None = None
    """How much the candidate recites of what it learned from; None where nobody tested that."""
    scale: float = 1.0
    """The share of the candidate's strength that was measured."""
    taught: int = 0
    """Taught pairs that it was asked."""
    taught_known: int = 0
    """And those that it knows."""
    called: str = ""
    """What ``champion`` is, where that is not what serves."""

    @property
    def reference(self) -> str:
        """What the candidate has to beat."""
        return "champion" if "champion" in self.scores else "base"

    @property
    def reference_name(self) -> str:
        """The same in words, for sentences."""
        return (self.called or "champion") if self.reference == "champion" else "bare base"


MIN_FRESH_REPLIES = 5
"""Fewer replies since the last night do not show that a candidate knows what was said."""
Line = Sequence[Mapping[int, Tally]]
"""What versions that the candidate grew from are known to have scored, by conversation."""


def decide(found: Evaluation, limits: VerdictLimits, *, need: Need = "gain", line: Line = ()) -> Decision:
    """Judge an evaluation by ``limits``, all guards included."""
    candidate, reference = found.scores["candidate"], found.scores[found.reference]
    mine, theirs = paired(candidate.exam, reference.exam)
    need = _shown(need, found)
    return judge(
        mine,
        theirs,
        against=found.reference_name,
        limits=limits,
        guards=guards_of(found, limits, need=need, line=line),
        forgetting=candidate.general.mean - found.scores["base"].general.mean,
        need=need,
        scale=found.scale,
    )


def _shown(need: Need, found: Evaluation) -> Need:
    """Return the need as far as it can be shown: without what it takes, a candidate has to be better."""
    if found.reference != "champion":
        return "gain"
    learned, _ = _since(found)
    return "gain" if need == "grown" and total(learned).replies < MIN_FRESH_REPLIES else need


def _since(found: Evaluation) -> tuple[list[Tally], list[Tally]]:
    """Return what candidate and reference scored on what was said since the last night."""
    return paired(found.scores["candidate"].fresh, found.scores[found.reference].fresh)


def weakening(limits: VerdictLimits, *, need: Need = "gain", line: Line = ()) -> Callable[[Evaluation], bool]:
    """Return whether a candidate that was measured so deserves another try at a smaller scale.

    That is one that failed a guard, but none that no scale can mend; not being better is no such reason.
    """
    return lambda found: decide(found, limits, need=need, line=line).mendable


def guards_of(
    found: Evaluation, limits: VerdictLimits, *, need: Need = "gain", line: Line = ()
) -> list[Guard]:
    """Return all guards for which something was measured."""
    candidate, reference, base = (found.scores[name] for name in ("candidate", found.reference, "base"))
    guards = [
        general_guard(candidate.general, base.general, limits),
        old_guard(*paired(candidate.old, reference.old), limits, against=found.reference_name),
        line_guard([paired(candidate.exam, known) for known in line], limits, of=len(candidate.exam)),
        smoke_guard(candidate.faults, reference.faults, limits),
        toxicity_guard(candidate.toxic, base.toxic, limits),
    ]
    if need == "grown":
        guards.append(yesterday_guard(*_since(found), limits))
    if found.recitals is not None:
        guards.append(recital_guard(found.recitals, max_rate=limits.max_rate))
    return [guard for guard in guards if guard is not None]


def paired(mine: Mapping[int, Tally], theirs: Mapping[int, Tally]) -> tuple[list[Tally], list[Tally]]:
    """Return the tallies of the conversations that both hold, in order of their numbers."""
    # Scores of another form of the prompt may be known still; they compare nothing.
    both = sorted(n for n in mine.keys() & theirs.keys() if mine[n].tokens == theirs[n].tokens)
    return [mine[number] for number in both], [theirs[number] for number in both]


def interval_of(decision: Decision) -> dict[str, float]:
    """Return the bootstrap's figures in nats a token."""
    difference = decision.difference
    if difference is None:
        return {}
    return {
        name: round(getattr(difference, name), 5)
        for name in ("estimate", "low", "high", "better", "confidence", "margin")
    }


__all__ = ["Evaluation", "Line", "Scores", "decide", "guards_of", "interval_of", "paired", "weakening"]
