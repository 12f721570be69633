"""What a fit can run out of: checked before it starts where possible, explained in a sentence where not."""

from __future__ import annotations

import importlib.util
import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from ledger.errors import ConfigurationError, DatasetError, ModelError

BYTES_A_WEIGHT = 4 * 3
"""A float32 and AdamW's two moments of it."""
CHECKPOINTS_KEPT = 2
"""The best one and the newest, which a resume needs."""
SPARE_BYTES = 64 * 2**20


def check_trackers(trackers: Sequence[str]) -> None:
    """Refuse experiment trackers that are not installed.

    Raises:
        ConfigurationError: one is missing; names the setting and the command that installs it.
    """
    for name in trackers:
        if importlib.util.find_spec(name) is None:
            raise ConfigurationError(
                f"training.trackers names {name}, which is not installed: run `pip install {name}`, or take "
                "it out of config.toml.",
                {"training.trackers": f"{name} is not installed; run `pip install {name}`"},
            )


def check_disk(folder: Path, trained_weights: int) -> None:
    """Refuse to start what the disk cannot hold: checkpoints with the optimiser's state, and the adapter.

    Raises:
        DatasetError: too little is free at ``folder``.
    """
    # One checkpoint more than is kept exists while the next is written, and the adapter beside them.
    needed = trained_weights * BYTES_A_WEIGHT * (CHECKPOINTS_KEPT + 2) + SPARE_BYTES
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DatasetError(
            f"Training needs {needed / 1e6:,.0f} MB of disk at {folder}, and only {free / 1e6:,.0f} MB are "
            "free: make room, or point [paths] models at a larger disk."
        )


def check_finite(weights: Mapping[str, Any]) -> None:
    """Refuse matrices with values that are not finite numbers: they could only answer nonsense.

    Raises:
        ModelError: a weight is infinite or no number.
    """
    broken = sum(not bool(weight.isfinite().all()) for weight in weights.values())
    if broken:
        raise ModelError(
            f"{broken} of {len(weights)} trained matrices hold values that are no finite numbers, so no "
            "adapter is written: lower [training] learning_rate or lora_alpha."
        )


def check_gradients(norms: Sequence[float]) -> None:
    """Refuse a training of which every gradient was infinite: clipped to nothing, it changed no weight.

    Single ones are ordinary in float16, where the scale of the loss is found by trial.

    Raises:
        ModelError: no gradient was finite.
    """
    if norms and not any(map(math.isfinite, norms)):
        raise ModelError(
            f"The gradient was no finite number in any of {len(norms)} updates, so nothing was learned and "
            "no adapter is written: lower [training] learning_rate or lora_alpha."
        )


def check_loss(loss: float, step: int) -> None:
    """Refuse to continue with a loss that is not a finite number.

    Raises:
        ModelError: the loss is infinite or not a number.
    """
    if not math.isfinite(loss):
        raise ModelError(
            f"The loss is no finite number at update {step}, so nothing is learned and no adapter is "
            "written: lower [training] learning_rate or lora_alpha. At update 0 the base model is broken."
        )


@contextmanager
def exhaustion_explained(folder: Path) -> Iterator[None]:
    """Turn memory or disk running out while training into an error that says what to do.

    Raises:
        ModelError: the GPU's memory ran out.
        DatasetError: the disk ran full, or cannot be written.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise ModelError(
            "The GPU ran out of memory while training: lower [training] batch_size or max_tokens, or set "
            "gradient_checkpointing to true."
        ) from error
    except OSError as error:
        raise DatasetError(
            f"Training cannot write to {folder} ({error.strerror or type(error).__name__}): make room, or "
            "point [paths] models at a larger disk."
        ) from error


__all__ = [
    "CHECKPOINTS_KEPT",
    "check_disk",
    "check_finite",
    "check_gradients",
    "check_loss",
    "check_trackers",
    "exhaustion_explained",
]
