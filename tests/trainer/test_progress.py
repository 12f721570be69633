"""How far a night is: JSON lines byte for byte, not more than a pipe can take, and time left."""

from __future__ import annotations

import io
import json
import os

import pytest

from trainer.progress import Bars, JsonLines, StageProgress, Stopwatch, silent


class Seconds:
    """A stopwatch's seconds, moved by the test."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_line_holds_every_figure_rounded_and_null_for_what_the_stage_does_not_know() -> None:
    stream = io.StringIO()
    lines = JsonLines(stream, "g7-20260301T030000", seconds=Seconds())
    lines(StageProgress("fit", 3, 12, loss=2.345678, tokens_per_second=1234.56, eta_seconds=61.27))
    lines(StageProgress("evaluate", 0, 1))
    assert stream.getvalue() == (
        '{"progress": {"run": "g7-20260301T030000", "stage": "fit", "step": 3, "steps": 12, "loss": 2.3457,'
        ' "tokens_per_second": 1234.6, "eta_seconds": 61.3}}\n'
        '{"progress": {"run": "g7-20260301T030000", "stage": "evaluate", "step": 0, "steps": 1, "loss": null,'
        ' "tokens_per_second": null, "eta_seconds": null}}\n'
    )


def test_a_stage_writes_ten_lines_a_second_at_most_and_its_last_step_always() -> None:
    stream, seconds = io.StringIO(), Seconds()
    lines = JsonLines(stream, "", seconds=seconds)
    for step in range(101):
        lines(StageProgress("fit", step, 100))
        seconds.now += 0.01
    written = stream.getvalue().splitlines()
    assert 10 <= len(written) <= 12
    assert '"step": 100' in written[-1]


def test_a_night_is_named_as_soon_as_it_has_a_name() -> None:
    stream = io.StringIO()
    lines = JsonLines(stream, "", seconds=Seconds())
    lines(StageProgress("prepare", 0, 1))
    lines.name("g7-named")
    lines(StageProgress("prepare", 1, 1))
    assert ['"run": "g7-named"' in line for line in stream.getvalue().splitlines()] == [False, True]


def test_a_reader_that_was_killed_ends_no_night() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stream:
        lines = JsonLines(stream, "g7", seconds=Seconds())
        lines(StageProgress("fit", 0, 2))
        lines(StageProgress("fit", 2, 2))
        os.dup2(os.open(os.devnull, os.O_WRONLY), writer)  # what is left in the buffer goes there


def test_time_left_is_told_from_the_second_step_on() -> None:
    seconds = Seconds()
    watch = Stopwatch(seconds=seconds)
    assert watch.eta(2, 10) is None
    assert watch.eta(2, 10) is None
    seconds.now += 6.0
    assert watch.eta(4, 10) == pytest.approx(18.0)
    assert watch.eta(12, 10) == pytest.approx(0.0)
    assert watch.elapsed == pytest.approx(6.0)


def test_bars_show_each_stage_with_its_figures() -> None:
    bars = Bars()
    try:
        bars(StageProgress("prepare", 1, 1))
        bars(StageProgress("fit", 3, 12, loss=2.3456, tokens_per_second=1234.5, eta_seconds=3725.0))
        prepare, fit = bars._progress.tasks
    finally:
        bars.close()
    assert (prepare.description, prepare.completed, prepare.total) == ("prepare", 1, 1)
    assert fit.fields["note"] == "loss 2.346  1234 tokens/s  1:02:05 left"


def test_nobody_is_told_anything_when_nobody_asked(capsys: pytest.CaptureFixture[str]) -> None:
    silent(StageProgress("fit", 1, 2, loss=3.0))
    assert capsys.readouterr() == ("", "")


def test_progress_lines_are_thinned_out_but_the_last_of_a_stage_always_comes() -> None:
    stream, now = io.StringIO(), [0.0]
    lines = JsonLines(stream, "g7-run", seconds=lambda: now[0])
    for step in range(1, 101):
        lines(StageProgress("fit", step, 100, loss=4.56789, tokens_per_second=400.04, eta_seconds=1.26))
        now[0] += 0.01
    lines(StageProgress("evaluate", 0, 2))
    told = [json.loads(line)["progress"] for line in stream.getvalue().splitlines()]
    assert len(told) < 20
    assert told[-2]["step"] == 100
    assert told[0] == {
        "run": "g7-run",
        "stage": "fit",
        "step": 1,
        "steps": 100,
        "loss": 4.5679,
        "tokens_per_second": 400.0,
        "eta_seconds": 1.3,
    }
    assert told[-1]["loss"] is None


def test_the_time_left_is_estimated_from_the_steps_done() -> None:
    now = [10.0]
    watch = Stopwatch(seconds=lambda: now[0])
    now[0] = 50.0  # loading a model is no step
    assert watch.eta(4, 12) is None
    now[0] = 58.0
    assert watch.eta(8, 12) == 8.0
    assert watch.eta(12, 12) == 0.0


def test_bars_on_a_terminal_show_stage_loss_speed_and_time_left(capsys: pytest.CaptureFixture[str]) -> None:
    bars = Bars()
    bars(StageProgress("fit", 3, 12, loss=4.5678, tokens_per_second=412.0, eta_seconds=3723.0))
    bars(StageProgress("evaluate", 1, 2))
    bars.close()
    shown = capsys.readouterr().err
    assert "fit" in shown
    assert "loss 4.568  412 tokens/s  1:02:03 left" in " ".join(shown.split("\n"))
