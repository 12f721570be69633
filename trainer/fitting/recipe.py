"""What ``fit`` takes and what it gives back, as plain frozen values. Knows no settings and no ledger.

No field of a recipe has a default here: the defaults are those of the settings, and
:mod:`trainer.builders` makes recipes from them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to train; ``ledger.settings.Training`` describes each field."""

    start: str
    warm_rate: float
    average: float
    epochs: int
    learning_rate: float
    lora_r: int
    lora_alpha: int
    lora_dropout: float
    batch_size: int
    accumulation_steps: int
    max_tokens: int
    warmup_share: float
    max_grad_norm: float
    patience: int
    packing: bool
    gradient_checkpointing: bool
    seed: int
    trackers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Base:
    """Which base model, and where it runs; ``ledger.settings.Model`` describes each field."""

    name: str
    revision: str
    chat_template: str
    device: str
    quantization: str
    dtype: str


@dataclass(frozen=True, slots=True)
class FitResult:
    """One finished training run."""

    steps: int
    """Weight updates, those before a resume included."""
    epochs: float
    best_step: int
    train_examples: int
    train_tokens: int
    """Tokens that went through the model since the start or the last resume, context included."""
    tokens_per_second: float
    seconds: float
    peak_memory_bytes: int
    """CUDA memory allocated at most; on other devices the process's largest resident size."""
    train_loss: float
    validation: Mapping[str, float]
    """Validation NLL in nats a token: ``before`` (what the fit started from) and ``best``."""
    placement: str
    packed: bool
    resumed_from: int
    """The step at which a cut-off run was resumed; 0 when it started afresh."""
    history: tuple[Mapping[str, float], ...] = field(repr=False)
    """Logged figures: ``step`` with ``loss``, ``grad_norm``, ``learning_rate`` or ``eval_loss``."""

    def figures(self) -> dict[str, Any]:
        """Return what is written to ``metrics.json``, manifests and reports."""
        return {
            "steps": self.steps,
            "epochs": round(self.epochs, 3),
            "best_step": self.best_step,
            "train_examples": self.train_examples,
            "train_tokens": self.train_tokens,
            "tokens_per_second": round(self.tokens_per_second, 1),
            "seconds": round(self.seconds, 1),
            "peak_memory_bytes": self.peak_memory_bytes,
            "train_loss": round(self.train_loss, 4),
            "validation": {name: round(value, 4) for name, value in self.validation.items()},
            "placement": self.placement,
            "packed": self.packed,
            "resumed_from": self.resumed_from,
        }


__all__ = ["Base", "FitResult", "Recipe"]
