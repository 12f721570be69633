"""Progress: how far a night is, as JSON lines for a parent process or as bars on a terminal.

Built by ``python -m trainer``: ``--progress`` gives JSON lines, a terminal gives Rich bars, anything
else silence. It carries figures alone, never a text of a member.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from ledger.learned.outcome import NightStage

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


@dataclass(frozen=True, slots=True)
class StageProgress:
    """How far one stage is; the figures are those that the stage knows."""

    stage: NightStage
    step: int
    steps: int
    loss: float | None = None
    """Nats a token, of the last update."""
    tokens_per_second: float | None = None
    eta_seconds: float | None = None


Reporter = Callable[[StageProgress], None]
"""Takes each step of a night; what it does with it is its own business."""


def silent(done: StageProgress) -> None:
    """Report to nobody."""


class Stopwatch:
    """Estimates the seconds left of a stage from the steps done since it was made."""

    def __init__(self, *, seconds: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._started = seconds()
        self._first: int | None = None

    @property
    def elapsed(self) -> float:
        return self._seconds() - self._started

    def eta(self, step: int, steps: int) -> float | None:
        """Return the seconds left, or None before two different steps were seen."""
        if self._first is None:
            self._first, self._started = step, self._seconds()
            return None
        done = step - self._first
        return self.elapsed / done * max(steps - step, 0) if done > 0 else None


class JsonLines:
    """Writes one JSON object a report, at most ten a second within a stage so that no pipe fills."""

    def __init__(self, stream: TextIO, run: str, *, seconds: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._run = run
        self._seconds = seconds
        self._last = ("", -1.0)

    def name(self, run: str) -> None:
        """Report under this run from now on."""
        self._run = run

    def __call__(self, done: StageProgress) -> None:
        now = self._seconds()
        if self._last[0] == done.stage and done.step < done.steps and now - self._last[1] < 0.1:
            return
        self._last = (done.stage, now)
        line = {
            "run": self._run,
            "stage": done.stage,
            "step": done.step,
            "steps": done.steps,
            "loss": _rounded(done.loss, 4),
            "tokens_per_second": _rounded(done.tokens_per_second, 1),
            "eta_seconds": _rounded(done.eta_seconds, 1),
        }
        try:
            self._stream.write(json.dumps({"progress": line}) + "\n")
            self._stream.flush()  # a pipe is buffered in blocks, and the bot shows each line as it comes
        except BrokenPipeError:
            # Whoever watched was killed. The night does not fail of that: it notices by itself, and pauses.
            self._stream = nobody()


def nobody() -> TextIO:
    """Return a stream that nobody reads."""
    return Path(os.devnull).open("w", encoding="utf-8")


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


class Bars:
    """One Rich bar a stage, with loss, tokens a second and time left; close it with :meth:`close`."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        self._progress: Progress = Progress(
            TextColumn("[bold]{task.description:>9}"),
            BarColumn(bar_width=32),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("[dim]{task.fields[note]}"),
            console=Console(stderr=True),  # stdout holds the result
        )
        self._tasks: dict[str, TaskID] = {}
        self._progress.start()

    def __call__(self, done: StageProgress) -> None:
        if done.stage not in self._tasks:
            self._tasks[done.stage] = self._progress.add_task(done.stage, note="")
        notes = [
            f"loss {done.loss:.3f}" if done.loss is not None else "",
            f"{done.tokens_per_second:.0f} tokens/s" if done.tokens_per_second is not None else "",
            f"{_clock(done.eta_seconds)} left" if done.eta_seconds is not None else "",
        ]
        self._progress.update(
            self._tasks[done.stage],
            completed=done.step,
            total=done.steps,
            note="  ".join(note for note in notes if note),
        )

    def close(self) -> None:
        self._progress.stop()


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}" if minutes >= 60 else f"{minutes}:{rest:02d}"


__all__ = ["Bars", "JsonLines", "Reporter", "StageProgress", "Stopwatch", "nobody", "silent"]
