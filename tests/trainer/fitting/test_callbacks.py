"""Callbacks: TensorBoard's file, and what a deletion that takes it away leaves behind."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from trainer.fitting.callbacks import Scalars


def test_a_deletion_that_takes_the_tensorboard_folder_away_leaves_no_strangers_traceback(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    threads = threading.active_count()
    scalars = Scalars(tmp_path / "tensorboard")
    arguments, state, control = (SimpleNamespace(global_step=3) for _ in range(3))
    scalars.on_log(arguments, state, control, {"loss": 2.5, "note": "not a figure"})  # type: ignore[arg-type]
    [file] = (tmp_path / "tensorboard").iterdir()
    [_, event] = EventFileLoader(str(file)).Load()
    assert event.step == 3
    [value] = event.summary.value
    assert (value.tag, value.tensor.float_val[0]) == ("loss", 2.5)
    shutil.rmtree(tmp_path / "tensorboard")
    scalars.on_log(arguments, state, control, {"loss": 2.4})  # type: ignore[arg-type]
    scalars.close()
    assert not (tmp_path / "tensorboard").exists()
    assert threading.active_count() == threads
    assert capfd.readouterr().err == ""
