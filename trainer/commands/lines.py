"""What commands tell people: plain lines from plain values. Prints nothing itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from ledger.clock import from_ms
from ledger.learned.outcome import Counts, Outcome, Score
from ledger.learned.wording import (
    HEADLINES,
    SCORE_COLUMNS,
    counted,
    left_out,
    remarks,
    score_rows,
    words,
)
from ledger.people.quarantine import Detained
from ledger.records import Adapter, Run


def outcome(night: Outcome) -> list[str]:
    """Return a night's outcome."""
    lines = [f"{HEADLINES[night.stage]}.", *(f"  {reason}" for reason in (*remarks(night), *night.reasons))]
    if night.error:
        lines.append(f"  {night.error}")
    lines += scores(night.scores)
    lines += counts(night.counts)
    lines += [
        f"{name}: {value}"
        for name, value in (
            ("run", night.run),
            ("candidate", night.candidate),
            ("champion", night.champion or "none, the bare base serves"),
            ("report", night.report),
            ("minutes", f"{night.seconds / 60:.1f}"),
        )
        if value
    ]
    return lines


def scores(figures: Mapping[str, Score]) -> list[str]:
    """Return a table of what each model scored."""
    return _columns([("", *SCORE_COLUMNS), *score_rows(figures)]) if figures else []


def counts(found: Counts | Mapping[str, Any]) -> list[str]:
    """Return what a dataset holds and what was left out, and why."""
    lines = [f"  {number} {label}" for label, number in counted(found)]
    return lines + [f"  left out: {number} – {reason}" for reason, number in left_out(found)]


def figures(found: Mapping[str, Any]) -> list[str]:
    """Return a fit's figures."""
    return [f"  {words(name)}: {value}" for name, value in found.items()]


def adapters(versions: Sequence[Adapter]) -> list[str]:
    """Return the versions, newest first."""
    if not versions:
        return ["There is no adapter version yet; the bare base model serves."]
    rows = [("version", "state", "made", "run")]
    return _columns(
        [*rows, *((a.version, a.state, _time(from_ms(a.created_at)), a.run_id) for a in versions)]
    )


def adapter_fields(adapter: Adapter) -> dict[str, Any]:
    """Return a version for scripts."""
    return {**asdict(adapter), "created_at": from_ms(adapter.created_at).isoformat()}


def held(people: Sequence[Detained]) -> list[str]:
    """Return who is in quarantine, by number."""
    if not people:
        return ["Nights leave nobody's words out."]
    rows = [("account", "from", "until", "why")]
    return _columns(
        [
            *rows,
            *((str(p.user_id), _time(from_ms(p.since)), _time(from_ms(p.until)), p.told) for p in people),
        ]
    )


def held_fields(person: Detained) -> dict[str, Any]:
    """Return a person in quarantine for scripts."""
    times = {"since": from_ms(person.since).isoformat(), "until": from_ms(person.until).isoformat()}
    return {**asdict(person), **times}


def runs(nights: Sequence[Run]) -> list[str]:
    """Return the nights, newest first."""
    if not nights:
        return ["There was no night yet; start one with: python -m trainer night."]
    rows = [("run", "stage", "started", "by", "candidate")]
    return _columns(
        [
            *rows,
            *((n.id, n.stage, _time(from_ms(n.created_at)), n.trigger, n.candidate or "–") for n in nights),
        ]
    )


def run_fields(run: Run) -> dict[str, Any]:
    """Return a night for scripts."""
    finished = from_ms(run.finished_at).isoformat() if run.finished_at is not None else None
    return {**asdict(run), "created_at": from_ms(run.created_at).isoformat(), "finished_at": finished}


def one_run(run: Run, steps: Sequence[tuple[str, int]]) -> list[str]:
    """Return a night that wrote no report of its own."""
    lines = [f"{run.id}: {run.stage}", *(f"  {_time(from_ms(at))}  {stage}" for stage, at in steps)]
    lines += [f"  {reason}" for reason in run.reasons]
    if run.error:
        lines.append(f"  {run.error}")
    return lines + counts(run.counts)


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
