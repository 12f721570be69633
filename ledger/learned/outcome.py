"""A night's outcome and its progress: what the trainer tells the bot, scripts and reports, typed once.

The trainer fills an :class:`Outcome` and prints it as the last line of stdout; the bot reads that line
back into the same record. Plain values only: whoever shows them finds the words in
:mod:`ledger.learned.wording`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import (
    Any,
    Literal,
    NotRequired,
    Self,
)

from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict  # pydantic refuses typing's own before Python 3.12

from ledger.records import Run

NightStage = Literal["prepare", "score", "fit", "evaluate", "verdict", "promote"]
STAGES: tuple[NightStage, ...] = ("prepare", "score", "fit", "evaluate", "verdict", "promote")
"""What a night does, in order."""
Ending = Literal["promoted", "kept", "skipped", "failed", "cancelled", "paused"]
"""How a night ended; ``paused``: its process was asked to leave, and the next start resumes it."""
DONE: frozenset[Ending] = frozenset({"promoted", "kept", "skipped"})
"""Endings of a night that did its work."""
MODELS = ("base", "champion", "candidate")
"""Whom a night compares, in the order of every table."""


class Score(TypedDict):
    """What one model scored on the held-out replies, in nats a target token where not said otherwise."""

    nll: float
    perplexity: float
    token_accuracy: NotRequired[float]
    tokens: NotRequired[int]
    replies: NotRequired[int]
    conversations: NotRequired[int]
    general_nll: NotRequired[float]
    old_nll: NotRequired[float]
    old_conversations: NotRequired[int]
    fresh_nll: NotRequired[float]
    sampled: NotRequired[dict[str, float]]


class NextDay(TypedDict):
    """What serves, and the bare base, on replies since the last night, before anything learned them."""

    base_nll: float
    served_nll: float
    tokens: int
    replies: int
    conversations: int


class Sample(TypedDict):
    """One question and what two versions said to it; it quotes members, and is shown once."""

    context: str
    before: str
    after: str


Counts = dict[str, int | dict[str, int]]
"""How many of what a night learned from; ``left_out`` counts by reason."""


class OutcomeUnreadable(ValueError):
    """No outcome: its ``fields`` are at fault, and the text quotes none of their values."""

    def __init__(self, fields: Collection[str]) -> None:
        super().__init__(f"unreadable: {', '.join(sorted(fields))}")
        self.fields = frozenset(fields)


@dataclass(slots=True)
class Outcome:
    """What a night came to."""

    run: str = ""
    """The run's id; empty for a night that could not begin."""
    guild: int = 0
    stage: Ending = "failed"
    candidate: str | None = None
    champion: str | None = None
    """The version that serves after the night; None while the bare base does."""
    previous: str | None = None
    """The version that a rollback returns to; None for the bare base."""
    verdict: str | None = None
    reasons: Sequence[str] = ()
    scores: dict[str, Score] = field(default_factory=dict)
    """By name of :data:`MODELS`."""
    counts: Counts = field(default_factory=dict)
    fit: dict[str, Any] = field(default_factory=dict)
    interval: dict[str, float] = field(default_factory=dict)
    """Candidate minus reference in nats a token: estimate, low, high."""
    forgetting: float | None = None
    recitals: dict[str, float] = field(default_factory=dict)
    next_day: NextDay | None = None
    failed_guards: tuple[str, ...] = ()
    """Guards that kept the candidate out: general, old, smoke, toxicity, recitals."""
    scale: float = 1.0
    """The share of the candidate's strength that was judged, and that serves where it was promoted."""
    held_against: str | None = None
    """The version that the candidate was measured beside; None is the bare base alone."""
    seconds: float = 0.0
    report: str | None = None
    report_json: str | None = None
    loss_curve: str | None = None
    samples: Sequence[Sample] = ()
    error: str | None = None
    withdrawn: bool = False
    """Whether it ended because something that it learned from was taken back; it may begin again."""

    @property
    def exit_code(self) -> int:
        return 0 if self.stage in DONE else 1

    @property
    def perplexity(self) -> dict[str, float | None]:
        """Perplexity by model, None for one that there was not; empty where nothing was scored."""
        return {name: _figure(self.scores, name, "perplexity") for name in MODELS if self.scores}

    @property
    def nll(self) -> dict[str, float | None]:
        """NLL in nats a token by model, as :attr:`perplexity`."""
        return {name: _figure(self.scores, name, "nll") for name in MODELS if self.scores}

    def facts(self) -> dict[str, Any]:
        """Return everything but the samples, which quote members and are never written to disk."""
        return {
            "run": self.run,
            "guild": self.guild,
            "stage": self.stage,
            "candidate": self.candidate,
            "champion": self.champion,
            "previous": self.previous,
            "verdict": self.verdict,
            "reasons": list(self.reasons),
            "perplexity": self.perplexity,
            "nll": self.nll,
            "scores": self.scores,
            "interval": self.interval,
            "forgetting": self.forgetting,
            "recitals": self.recitals,
            "next_day": self.next_day,
            "failed_guards": list(self.failed_guards),
            "scale": self.scale,
            "counts": self.counts,
            "fit": self.fit,
            "seconds": round(self.seconds, 1),
            "report": self.report,
            "report_json": self.report_json,
            "loss_curve": self.loss_curve,
            "error": self.error,
        }

    def metrics(self) -> dict[str, Any]:
        """Return what was measured, for the ledger and the version's manifest."""
        return {
            "scores": self.scores,
            "interval": self.interval,
            "forgetting": self.forgetting,
            "recitals": self.recitals,
            "next_day": self.next_day,
            "failed_guards": list(self.failed_guards),
            "scale": self.scale,
            "held_against": self.held_against,
            "fit": self.fit,
        }

    def as_json(self) -> dict[str, Any]:
        """Return everything, for the last line of stdout."""
        return {**self.facts(), "samples": list(self.samples)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Return what :meth:`as_json` gave, or the shorter object of a night that could not begin.

        Raises:
            OutcomeUnreadable: it is no outcome.
        """
        try:
            # Without None: a night that ended early has no figures, and what is missing gets its default.
            return TypeAdapter(cls).validate_python({k: v for k, v in value.items() if v is not None})
        except ValidationError as error:
            # from None: pydantic's own text quotes what it was given, and samples are members' words.
            faults = error.errors(include_input=False)
            raise OutcomeUnreadable({str(fault["loc"][0]) for fault in faults}) from None

    @classmethod
    def of_run(cls, run: Run, *, loss_curve: str | None = None) -> Self:
        """Return what the ledger knows of a finished night; figures that it cannot read are left out.

        Rows live for years, and one that another version wrote must not keep all later reports back.
        """
        measured = {
            name: run.metrics.get(name)
            for name in (
                *("scores", "interval", "recitals", "failed_guards", "scale", "fit", "forgetting"),
                "next_day",
            )
        }
        facts = {
            **measured,
            "run": run.id,
            "guild": run.guild_id,
            "stage": run.stage,
            "candidate": run.candidate,
            "verdict": run.verdict,
            "reasons": run.reasons,
            "counts": dict(run.counts),
            "error": run.error,
            "loss_curve": loss_curve,
            "seconds": ((run.finished_at or run.created_at) - run.created_at) / 1000,
        }
        try:
            return cls.from_json(facts)
        except OutcomeUnreadable as fault:
            return cls.from_json({name: fact for name, fact in facts.items() if name not in fault.fields})


def candidate_score(metrics: Mapping[str, Any]) -> Score | None:
    """Return what a version scored in its night, from the metrics that the ledger keeps of it."""
    scores: Mapping[str, Score] = metrics.get("scores") or {}
    return scores.get("candidate")


def _figure(scores: Mapping[str, Score], model: str, name: Literal["nll", "perplexity"]) -> float | None:
    return scores[model][name] if model in scores else None


__all__ = [
    "DONE",
    "MODELS",
    "STAGES",
    "Counts",
    "Ending",
    "NextDay",
    "NightStage",
    "Outcome",
    "OutcomeUnreadable",
    "Sample",
    "Score",
]
