"""What ``fit`` is told and what it gives back, as plain frozen values. Knows no settings and no ledger."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to train; each field is described in ``ledger.settings.Training``, whose defaults these are."""

    epochs: int = 3
    learning_rate: float = 2e-4
    lora_r: int = 16
    lora_alpha: int = 16
    lora_dropout: float = 0.1
    batch_size: int = 4
    accumulation_steps: int = 4
    max_tokens: int = 512
    warmup_share: float = 0.05
    max_grad_norm: float = 1.0
    patience: int = 1
    packing: bool = True
    gradient_checkpointing: bool = False
    seed: int = 20
    trackers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Base:
    """Which base model, and where it runs; each field is described in ``ledger.settings.Model``."""

    name: str
    revision: str = "main"
    chat_template: str = ""
    device: str = "auto"
    quantization: str = "auto"
    dtype: str = "auto"


@dataclass(frozen=True, slots=True)
class FitResult:
    """One finished training run."""

    adapter_dir: Path
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
    """Validation NLL in nats a token: ``before`` (the bare base) and ``best``."""
    placement: str
    packed: bool
    resumed_from: int
    """The step that a cut-off run went on from; 0 when it started afresh."""
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
