"""What follows the training loop: batches counted right, figures logged, and a leave with a checkpoint."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from transformers import TrainerControl, TrainerState, TrainingArguments

from ledger.errors import ModelError
from trainer.fitting.callbacks import LeaveAtStep, ProgressReports, SaveByTheClock
from trainer.progress import StageProgress

ACCUMULATION = 4


@pytest.fixture
def args(tmp_path: Path) -> TrainingArguments:
    return TrainingArguments(output_dir=str(tmp_path), gradient_accumulation_steps=ACCUMULATION, report_to=[])


@pytest.fixture
def state() -> TrainerState:
    return TrainerState(global_step=0, max_steps=3)


@pytest.fixture
def told() -> list[StageProgress]:
    return []


@pytest.fixture
def reports(told: list[StageProgress]) -> ProgressReports:
    return ProgressReports(told.append, speed=lambda: 123.0)


def test_each_batch_is_reported_out_of_all_batches(
    args: TrainingArguments, state: TrainerState, reports: ProgressReports, told: list[StageProgress]
) -> None:
    control = TrainerControl()
    reports.on_train_begin(args, state, control)
    for _ in range(ACCUMULATION - 1):
        reports.on_substep_end(args, state, control)
    state.global_step = 1
    reports.on_step_end(args, state, control)
    assert [(done.stage, done.step, done.steps) for done in told] == [
        ("fit", step, 3 * ACCUMULATION) for step in (1, 2, 3, 4)
    ]
    assert {done.tokens_per_second for done in told} == {123.0}
    assert told[0].eta_seconds is None
    assert told[-1].eta_seconds is not None


def test_an_epochs_short_last_update_counts_as_a_whole_one_so_that_the_end_is_full(
    args: TrainingArguments, state: TrainerState, reports: ProgressReports, told: list[StageProgress]
) -> None:
    state.global_step = 2
    reports.on_train_begin(args, state, TrainerControl())
    reports.on_substep_end(args, state, TrainerControl())
    state.global_step = 3
    reports.on_step_end(args, state, TrainerControl())
    assert [(done.step, done.steps) for done in told] == [(9, 12), (12, 12)]


def test_a_resumed_fit_counts_on_from_its_checkpoint(
    args: TrainingArguments, state: TrainerState, reports: ProgressReports, told: list[StageProgress]
) -> None:
    state.global_step = 2
    reports.on_train_begin(args, state, TrainerControl())
    reports.on_substep_end(args, state, TrainerControl())
    assert told[0].step == 2 * ACCUMULATION + 1


def test_the_last_loss_is_reported_until_there_is_another(
    args: TrainingArguments, state: TrainerState, reports: ProgressReports, told: list[StageProgress]
) -> None:
    reports.on_substep_end(args, state, TrainerControl())
    reports.on_log(args, state, TrainerControl(), logs={"loss": 2.5})
    reports.on_log(args, state, TrainerControl(), logs={"eval_loss": 9.0})
    reports.on_log(args, state, TrainerControl())
    reports.on_substep_end(args, state, TrainerControl())
    assert [done.loss for done in told] == [None, 2.5]


@pytest.mark.parametrize("name", ["loss", "eval_loss"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_ends_the_fit(
    args: TrainingArguments, state: TrainerState, reports: ProgressReports, name: str, value: float
) -> None:
    state.global_step = 2
    with pytest.raises(ModelError, match="no finite number at update 2"):
        reports.on_log(args, state, TrainerControl(), logs={name: value})


def test_the_log_holds_figures_alone(
    args: TrainingArguments,
    state: TrainerState,
    reports: ProgressReports,
    caplog: pytest.LogCaptureFixture,
) -> None:
    state.global_step = 1
    logs = {"loss": 2.0 / 3, "total_flos": 1e15, "note": "somebody's words"}
    with caplog.at_level(logging.INFO, logger="trainer"):
        reports.on_log(args, state, TrainerControl(), logs=logs)
    assert caplog.messages == ["step 1 of 3: loss=0.666667"]


def test_a_fit_that_is_asked_to_leave_saves_and_stops_at_the_next_update_and_not_before(
    args: TrainingArguments, state: TrainerState
) -> None:
    asked = False
    leave, control = LeaveAtStep(lambda: asked), TrainerControl()
    leave.on_step_end(args, state, control)
    assert (control.should_save, control.should_training_stop) == (False, False)
    asked = True
    leave.on_substep_end(args, state, control)
    assert not control.should_training_stop, "in the middle of an update there is no checkpoint to resume"
    leave.on_step_end(args, state, control)
    assert (control.should_save, control.should_training_stop) == (True, True)


def test_a_checkpoint_comes_every_few_minutes_whoever_wrote_the_last(
    args: TrainingArguments, state: TrainerState
) -> None:
    clock = [0.0]
    saver = SaveByTheClock(240.0, now=lambda: clock[0])
    saver.on_train_begin(args, state, TrainerControl())

    def asks(seconds: float) -> bool:
        clock[0] = seconds
        control = TrainerControl()
        saver.on_step_end(args, state, control)
        return bool(control.should_save)

    assert not asks(239)
    assert asks(240)
    saver.on_save(args, state, TrainerControl())  # at 240, by this or by an epoch's end
    assert not asks(479)
    assert asks(481)
