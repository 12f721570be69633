"""What is noted beside the loss: versions, memory, and a log of figures."""

from __future__ import annotations

import logging
from pathlib import Path

import torch

from trainer.fitting.instruments import library_versions, peak_memory, training_log


def test_the_versions_are_those_of_what_runs() -> None:
    versions = library_versions()
    assert versions["torch"] == torch.__version__
    assert {"transformers", "peft", "datasets", "accelerate"} <= versions.keys()


def test_memory_is_counted_in_bytes() -> None:
    before = peak_memory("cpu")
    assert before > 50 * 2**20  # this process has loaded torch
    held = torch.ones(2**26)  # 256 MB, touched
    assert peak_memory("cpu") >= before
    assert held.sum() == 2**26


def test_a_training_log_ends_with_its_fit_and_leaves_the_logger_as_it_was(tmp_path: Path) -> None:
    log = logging.getLogger("trainer")
    level, handlers = log.level, list(log.handlers)
    with training_log(tmp_path / "training.log"):
        log.info("step %d of %d", 1, 2)
    log.info("afterwards")
    assert (log.level, log.handlers) == (level, handlers)
    [line] = (tmp_path / "training.log").read_text(encoding="utf-8").splitlines()
    assert line.endswith("INFO step 1 of 2")
