"""TensorBoard's file, written while a fit runs. The one module that needs the extra ``trackers``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, cast

from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.summary.writer import record_writer
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments


class Scalars(TrainerCallback):
    """Writes a TensorBoard file: figures only, never a text.

    TensorBoard's own writer reopens the file for each record, in a thread of its own, where a deletion
    that removes the run's folder ends in a traceback. This one keeps the file open.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = (folder / f"events.out.tfevents.{time.time_ns()}.nightschool").open("wb")
        self._records: Any = cast(Any, record_writer).RecordWriter(self._file)
        self._write(file_version="brain.Event:2")  # the first record of every such file

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        summary: Any = cast(Any, summary_pb2).Summary
        values = [
            summary.Value(tag=name, simple_value=value)
            for name, value in (logs or {}).items()
            if isinstance(value, int | float)
        ]
        self._write(step=state.global_step, summary=summary(value=values))

    def _write(self, **fields: Any) -> None:
        self._records.write(cast(Any, event_pb2).Event(wall_time=time.time(), **fields).SerializeToString())
        self._file.flush()  # whoever watches sees each update at once

    def close(self) -> None:
        self._file.close()


__all__ = ["Scalars"]
