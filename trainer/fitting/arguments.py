"""A recipe in the words of transformers' Trainer, with the reason where a value is not the usual one."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import TrainingArguments

from engine.model.loading import Placement
from trainer.fitting.preflight import CHECKPOINTS_KEPT
from trainer.fitting.recipe import Recipe


def training_arguments(
    recipe: Recipe, placement: Placement, *, warm: bool, output_dir: Path, accumulation_steps: int
) -> TrainingArguments:
    """Return the Trainer's arguments; ``accumulation_steps`` are this process's share of an update's.

    ``warm`` says that the fit goes on from a version: its rate rises and falls anew, to a lower peak.
    """
    arguments = TrainingArguments(
        output_dir=str(output_dir),
        num_train_epochs=recipe.epochs,
        learning_rate=recipe.learning_rate * (recipe.warm_rate if warm else 1.0),
        lr_scheduler_type="cosine",
        warmup_steps=recipe.warmup_share,  # below 1, transformers takes it as a share
        per_device_train_batch_size=recipe.batch_size,
        gradient_accumulation_steps=accumulation_steps,
        average_tokens_across_devices=False,  # the loop counts them itself
        ddp_find_unused_parameters=False,  # every LoRA matrix takes part in every batch
        max_grad_norm=recipe.max_grad_norm,
        eval_strategy="epoch",
        save_strategy="epoch",
        save_total_limit=CHECKPOINTS_KEPT,
        load_best_model_at_end=True,
        metric_for_best_model="eval_loss",
        greater_is_better=False,
        logging_steps=1,
        logging_nan_inf_filter=False,  # it would log a loss that is not a number as 0
        seed=recipe.seed,
        data_seed=recipe.seed,
        report_to=list(recipe.trackers) or "none",
        disable_tqdm=True,
        remove_unused_columns=False,
        use_cpu=placement.device == "cpu",
        fp16=placement.dtype == torch.float16 and placement.device == "cuda",
        log_level="error",
    )
    # More than one GPU would be wrapped in DataParallel, which splits lines; a packed batch is one line.
    arguments._n_gpu = min(arguments.n_gpu, 1)
    return arguments


__all__ = ["training_arguments"]
