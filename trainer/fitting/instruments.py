"""What a fit records besides the loss: memory, library versions, ``training.log``."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import logging
import resource
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from datasets.utils.tqdm import disable_progress_bars
from transformers.utils import logging as transformers_logging

log = logging.getLogger("trainer")

LIBRARIES = ("torch", "transformers", "peft", "datasets", "accelerate", "bitsandbytes")


def peak_memory(device: str) -> int:
    """Return in bytes the most CUDA memory allocated, or this process's largest resident size."""
    if device == "cuda":
        return int(torch.cuda.max_memory_allocated())
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size if sys.platform == "darwin" else size * 1024  # macOS counts bytes, Linux kilobytes


def library_versions() -> dict[str, str]:
    """Return the versions of what the numbers depend on."""
    return {name: importlib.metadata.version(name) for name in LIBRARIES if importlib.util.find_spec(name)}


def quieten_libraries() -> None:
    """Keep libraries' bars and notices off the terminal, which shows the trainer's own."""
    disable_progress_bars()
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")


@contextmanager
def training_log(path: Path) -> Iterator[None]:
    """Write what the trainer logs (figures and steps, never a text) to ``path`` as well."""
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
        handler.close()


__all__ = ["library_versions", "peak_memory", "quieten_libraries", "training_log"]
