"""A night's report: ``report.md`` for people, ``report.json`` for programs, ``loss_curve.png`` for Discord.

Writes figures alone. A report holds no message and no sampled reply: those quote members, and forgetting
somebody would not reach their copy in a report.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ledger.learned.outcome import Score
from ledger.learned.wording import SCORE_COLUMNS, UNLOCK, counted, is_any_locked, left_out, score_rows, words

SAMPLED = {"words": "words a reply", "repetition": "repetition", "distinct_2": "distinct-2"}
"""Figures of sampled replies, and the heads of their columns."""
INK, FAINT, GROUND = "#f2f3f5", "#80848e", "#2b2d31"
"""Discord's dark embeds: text, secondary text, ground."""
TRAINING, VALIDATION, BASE = "#5865f2", "#57f287", "#fee75c"


@dataclass(frozen=True, slots=True)
class ReportFiles:
    """Where the report was written."""

    markdown: Path
    json: Path
    loss_curve: Path


def write_report(
    folder: Path, facts: Mapping[str, Any], history: Sequence[Mapping[str, float]]
) -> ReportFiles:
    """Write the report of one night into ``folder``.

    ``facts`` is the night's outcome without its samples; ``history`` what the training loop logged.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = ReportFiles(folder / "report.md", folder / "report.json", folder / "loss_curve.png")
    draw_loss_curve(files.loss_curve, history, title=str(facts.get("candidate") or facts.get("run") or ""))
    files.json.write_text(
        json.dumps({**facts, "history": list(history)}, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    files.markdown.write_text(markdown(facts), encoding="utf-8")
    return files


def markdown(facts: Mapping[str, Any]) -> str:
    """Return the report as Markdown."""
    verdict = {"promote": "promoted", "keep": "not promoted"}.get(str(facts.get("verdict")), "no verdict")
    parts = [
        f"# {facts.get('candidate') or 'No candidate'}: {verdict}",
        f"Run `{facts['run']}` of server {facts['guild']}.",
        "\n".join(facts.get("told", ())),
        "\n".join(f"- {reason}" for reason in facts.get("reasons", ())),
        "![Loss curve](loss_curve.png)",
        "## Held-out replies\n\n" + _scores(facts.get("scores", {})),
        "## Learned from\n\n" + _counts(facts.get("counts", {})),
        "## Training\n\n" + _table(("figure", "value"), sorted(_flat(facts.get("fit", {})).items())),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _scores(scores: Mapping[str, Score]) -> str:
    heads = ("model", *SCORE_COLUMNS, *SAMPLED.values())
    rows = [
        (*row, *(str(scores[row[0]].get("sampled", {}).get(name, "–")) for name in SAMPLED))
        for row in score_rows(scores)
    ]
    return _table(heads, rows)


def _counts(counts: Mapping[str, Any]) -> str:
    rows = [*counted(counts), *((f"left out: {reason}", number) for reason, number in left_out(counts))]
    table = _table(("what", "how many"), rows)
    return f"{table}\n\n{UNLOCK}" if is_any_locked(counts) else table


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in values.items():
        label = f"{prefix}{words(name)}"
        found |= _flat(value, f"{label}: ") if isinstance(value, Mapping) else {label: value}
    return found


def _table(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "/") for cell in line) + " |" for line in lines)


def draw_loss_curve(path: Path, history: Sequence[Mapping[str, float]], *, title: str) -> None:
    """Draw training and validation loss over the updates, in the colours of Discord's dark layout."""
    steps = [(entry["step"], entry["loss"]) for entry in history if "loss" in entry and "step" in entry]
    checks = [(entry["step"], entry["eval_loss"]) for entry in history if "eval_loss" in entry]
    # No pyplot: it keeps every figure in a global list, and a night runs in a thread.
    figure = Figure(figsize=(8, 4.2), facecolor=GROUND, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot(facecolor=GROUND)
    if steps:
        axes.plot(*zip(*steps, strict=True), color=TRAINING, alpha=0.35, linewidth=1.2)
        axes.plot(*zip(*_smooth(steps), strict=True), color=TRAINING, linewidth=2.4, label="training")
    if checks:
        axes.axhline(
            checks[0][1], color=BASE, linewidth=1.2, linestyle=(0, (4, 4)), label="validation, bare base"
        )
        axes.plot(*zip(*checks, strict=True), color=VALIDATION, linewidth=2.4, marker="o", label="validation")
        _name_best(axes, min(checks, key=lambda check: check[1]))
    axes.set_title(title, color=INK, loc="left", fontsize=13, fontweight="bold")
    axes.set_xlabel("updates", color=FAINT)
    axes.set_ylabel("nats a token", color=FAINT)
    axes.tick_params(colors=FAINT, length=0)
    axes.grid(axis="y", color=FAINT, alpha=0.2)
    axes.margins(y=0.15)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    for spine in axes.spines.values():
        spine.set_visible(False)
    if steps or checks:
        axes.legend(frameon=False, labelcolor=INK, loc="upper right")
    # Else the file names the library and its version.
    figure.savefig(path, dpi=150, metadata={"Software": None})


def _name_best(axes: Any, best: tuple[float, float]) -> None:
    axes.annotate(
        f"{best[1]:.3f}",
        best,
        textcoords="offset points",
        xytext=(0, -16),
        ha="center",
        color=VALIDATION,
        fontweight="bold",
    )


def _smooth(points: Sequence[tuple[float, float]], keep: float = 0.8) -> list[tuple[float, float]]:
    """Return an exponential moving mean, corrected for its start as Adam's moments are."""
    found, mean = [], 0.0
    for count, (step, value) in enumerate(points, start=1):
        mean = keep * mean + (1 - keep) * value
        found.append((step, mean / (1 - keep**count)))  # else the curve would start near zero
    return found


__all__ = ["ReportFiles", "draw_loss_curve", "markdown", "write_report"]
