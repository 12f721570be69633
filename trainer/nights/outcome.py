"""A night's outcome: the one JSON object that the bot, scripts and reports read. Plain values only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

DONE = frozenset({"promoted", "kept", "skipped"})


@dataclass(slots=True)
class Outcome:
    """What a night came to; ``stage`` is promoted, kept, skipped, failed, cancelled, or paused."""

    run: str
    guild: int
    stage: str = "failed"
    candidate: str | None = None
    champion: str | None = None
    """The version that serves after the night; None while the bare base does."""
    previous: str | None = None
    """The version that a rollback returns to; None for the bare base."""
    verdict: str | None = None
    reasons: Sequence[str] = ()
    scores: dict[str, dict[str, Any]] = field(default_factory=dict)
    counts: dict[str, Any] = field(default_factory=dict)
    fit: dict[str, Any] = field(default_factory=dict)
    interval: dict[str, float] = field(default_factory=dict)
    """Candidate minus reference in nats a token: estimate, low, high."""
    forgetting: float | None = None
    recitals: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    report: str | None = None
    report_json: str | None = None
    loss_curve: str | None = None
    samples: Sequence[dict[str, str]] = ()
    error: str | None = None
    withdrawn: bool = False
    """Whether it ended because something that it learned from was taken back; it may begin again."""

    @property
    def exit_code(self) -> int:
        return 0 if self.stage in DONE else 1

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
            "perplexity": self._each("perplexity"),
            "nll": self._each("nll"),
            "scores": self.scores,
            "interval": self.interval,
            "forgetting": self.forgetting,
            "recitals": self.recitals,
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
            "fit": self.fit,
        }

    def as_json(self) -> dict[str, Any]:
        """Return everything, for the last line of stdout."""
        return {**self.facts(), "samples": list(self.samples)}

    def _each(self, figure: str) -> dict[str, float | None]:
        if not self.scores:
            return {}
        return {
            name: self.scores[name][figure] if name in self.scores else None
            for name in ("base", "champion", "candidate")
        }


__all__ = ["DONE", "Outcome"]
