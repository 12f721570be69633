"""What a fit takes and gives: a result's figures are what files and reports show."""

from __future__ import annotations

import json
from dataclasses import fields, replace

from trainer.fitting.recipe import FitResult

RESULT = FitResult(
    steps=6,
    epochs=1.99999,
    best_step=3,
    train_examples=24,
    train_tokens=4096,
    tokens_per_second=412.345,
    seconds=9.87,
    peak_memory_bytes=2**30,
    train_loss=2.345678,
    validation={"before": 5.00001, "best": 4.123456},
    placement="CPU: no GPU was found",
    packed=True,
    resumed_from=0,
    history=({"step": 1, "loss": 2.5},),
)


def test_figures_are_rounded_for_reading_and_hold_everything_but_the_history() -> None:
    figures = RESULT.figures()
    assert figures.keys() == {field.name for field in fields(FitResult)} - {"history"}
    assert figures["epochs"] == 2.0
    assert figures["train_loss"] == 2.3457
    assert figures["validation"] == {"before": 5.0, "best": 4.1235}
    assert json.loads(json.dumps(figures)) == figures


def test_a_result_does_not_print_its_history() -> None:
    assert "history" not in repr(replace(RESULT, history=({"step": 1, "loss": 2.5},) * 1000))
