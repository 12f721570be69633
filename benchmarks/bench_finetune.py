"""How fast a training step is, and what each of its choices is worth.

    python benchmarks/bench_finetune.py --base models/base/SmolLM2-135M-Instruct --out benchmarks/results
    python benchmarks/bench_finetune.py --base FOLDER --random-weights --quantization 4bit

Every variant differs from the shipped step in one choice. All take the same examples of random tokens, as
long as chat windows are; steps are interleaved, so that a machine whose load changes is as unkind to one as
to the other, and the median over the rounds is told. Touches no ledger and no real text.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training
from peft.helpers import disable_input_dtype_casting
from torch.nn.functional import cross_entropy
from transformers import AutoConfig, AutoModelForCausalLM

import surroundings
from engine.model.loading import Placement, choose_placement, load_base
from trainer.fitting.dropout import use_byte_dropout
from trainer.fitting.instruments import peak_memory, quieten_libraries
from trainer.scoring.batches import Batch, EncodedRow, pack, pad
from trainer.scoring.packed_attention import use_packed_attention
from trainer.scoring.perplexity import on_device, token_losses


@dataclass(frozen=True)
class Variant:
    """One way to take a step; the defaults are the shipped one."""

    name: str
    form: str = "packed, example by example"
    scored_logits_only: bool = True
    byte_dropout: bool = True
    autocast: bool = True
    dtype: str = ""


SHIPPED = Variant("as shipped")
VARIANTS = (
    SHIPPED,
    replace(SHIPPED, name="padded", form="padded"),
    replace(SHIPPED, name="packed behind a mask", form="packed behind a mask"),
    replace(SHIPPED, name="logits for every token", scored_logits_only=False),
    replace(SHIPPED, name="PyTorch's dropout", byte_dropout=False),
    replace(SHIPPED, name="LoRA computed in float32", autocast=False),
)
ON_CPU = (
    replace(SHIPPED, name="float32 base", dtype="float32", autocast=False),
    Variant("none of these", "padded", False, False, False),
)


def examples(count: int, vocabulary: int, seed: int) -> list[EncodedRow]:
    """Return examples as long as those of a real night: 60 to 500 tokens, a quarter of them scored."""
    draw = random.Random(seed)
    found = []
    for number in range(count):
        length = min(500, max(60, round(draw.gauss(266, 110))))
        ids = [draw.randrange(5, vocabulary) for _ in range(length)]
        scored = [place >= length - length // 4 for place in range(length)]
        found.append(EncodedRow(ids=ids, scored=scored, conversation=number, replies=1))
    return found


def built(variant: Variant, load: Callable[[str], Any], placement: Placement) -> Any:
    """Return a model with LoRA as the variant wants it."""
    model = load(variant.dtype)
    if placement.quantization == "4bit":
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    if variant.form == "packed, example by example":
        assert use_packed_attention(model)
    config = LoraConfig(
        r=16, lora_alpha=16, lora_dropout=0.1, target_modules="all-linear", task_type="CAUSAL_LM"
    )
    adapted = get_peft_model(model, config)
    if placement.device == "cpu" and variant.byte_dropout:
        use_byte_dropout(adapted)
    return adapted.train()


def step(variant: Variant, model: Any, batch: list[EncodedRow], placement: Placement) -> None:
    """Take one forward and backward pass."""
    inputs = pad(batch, pad_id=0) if variant.form == "padded" else pack(batch)
    if variant.form == "packed behind a mask":
        del inputs["segments"]
    inputs = on_device(inputs, model.device)
    with contextlib.ExitStack() as stack:
        if variant.autocast and placement.dtype != torch.float32:
            stack.enter_context(torch.autocast(placement.device, dtype=placement.dtype))
            stack.enter_context(disable_input_dtype_casting(model))
        nll = token_losses(model, inputs)[0] if variant.scored_logits_only else _all_logits(model, inputs)
    (nll.sum() / len(nll)).backward()  # type: ignore[no-untyped-call]
    model.zero_grad()
    if placement.device == "cuda":
        torch.cuda.synchronize()


def _all_logits(model: Any, batch: Batch) -> torch.Tensor:
    inputs = {name: value for name, value in batch.items() if name not in ("predicts", "labels", "owners")}
    logits = model(**inputs, use_cache=False).logits[batch["predicts"]].float()
    return cross_entropy(logits, batch["labels"], reduction="none")


def measured(
    models: dict[Variant, Any], batches: list[list[EncodedRow]], placement: Placement, rounds: int
) -> Iterator[tuple[Variant, float, float]]:
    """Yield (variant, tokens a second, tokens a second of CPU time), one step of each variant a round."""
    for variant, model in models.items():
        step(variant, model, batches[0], placement)  # the first one allocates
    for number in range(rounds):
        batch = batches[number % len(batches)]
        tokens = sum(len(example["ids"]) for example in batch)
        for variant, model in models.items():
            wall, cpu = time.perf_counter(), time.process_time()
            step(variant, model, batch, placement)
            yield variant, tokens / (time.perf_counter() - wall), tokens / (time.process_time() - cpu)


def page(options: argparse.Namespace, rows: list[list[str]], placement: Placement) -> str:
    """Return the results as Markdown."""
    heads = ["variant", "tokens/s", "spread", "tokens/s of CPU time", "of the shipped step"]
    table = "\n".join("| " + " | ".join(row) + " |" for row in [heads, ["---"] * len(heads), *rows])
    peak = peak_memory(placement.device) / 2**30
    return (
        f"# Training step, {datetime.now(UTC):%Y-%m-%d}, {hardware()}\n\n"
        f"`{Path(options.base).name}`{' with random weights' if options.random_weights else ''}, "
        f"{placement.reason}; torch {torch.__version__}; LoRA r 16 on all linear layers, dropout 0.1; "
        f"{options.batch_size} examples a step, 60 to 500 tokens each, a quarter scored; median of "
        f"{options.rounds} interleaved rounds, load {os.getloadavg()[0]:.1f} at the end. The "
        f"ratio is that of {'CPU time' if placement.device == 'cpu' else 'wall time'}. Peak memory of all "
        f"variants together: {peak:.1f} GiB.\n\n{table}\n"
    )


def hardware() -> str:
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return surroundings.hardware()


def loader(options: argparse.Namespace, placement: Placement, stack: contextlib.ExitStack) -> Any:
    """Return a function that loads the base anew, in another number format where one is named."""
    folder = options.base
    if options.random_weights:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        config = AutoConfig.from_pretrained(options.base)
        AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).save_pretrained(folder)
    return lambda dtype: load_base(
        folder, placement=replace(placement, dtype=getattr(torch, dtype)) if dtype else placement
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure a training step and its choices.")
    parser.add_argument("--base", default="models/base/SmolLM2-135M-Instruct")
    parser.add_argument("--random-weights", action="store_true", help="the base's shape alone")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--quantization", default="auto")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--only", nargs="*", help="names of variants to measure")
    parser.add_argument("--out", type=Path, help="folder for finetune-DATE-HARDWARE.md")
    options = parser.parse_args()
    quieten_libraries()
    torch.manual_seed(1)
    placement = choose_placement(options.device, options.quantization, "auto")
    with contextlib.ExitStack() as stack:
        load = partial(built, load=loader(options, placement, stack), placement=placement)
        chosen = VARIANTS + (ON_CPU if placement.device == "cpu" else ())
        chosen = tuple(variant for variant in chosen if not options.only or variant.name in options.only)
        models = {variant: load(variant) for variant in chosen}
        vocabulary = next(iter(models.values())).config.vocab_size
        batches = [examples(options.batch_size, vocabulary, seed) for seed in range(3)]
        found: dict[Variant, list[tuple[float, float]]] = {variant: [] for variant in models}
        for variant, wall, cpu in measured(models, batches, placement, options.rounds):
            found[variant].append((wall, cpu))
            print(f"{variant.name:<28}{wall:>8.0f} tokens/s{cpu:>8.0f} per CPU second", flush=True)
    text = page(options, _rows(found, placement), placement)
    print(text)
    if options.out:
        told = hardware() if placement.device == "cuda" else f"cpu {os.cpu_count()} cores"
        name = "-".join(re.findall(r"[a-z0-9]+", told.lower()))
        (options.out / f"finetune-{datetime.now(UTC):%Y-%m-%d}-{name}.md").write_text(text, encoding="utf-8")


def _rows(found: dict[Variant, list[tuple[float, float]]], placement: Placement) -> list[list[str]]:
    which = 1 if placement.device == "cpu" else 0
    medians = {
        v: [statistics.median(column) for column in zip(*runs, strict=True)] for v, runs in found.items()
    }
    shipped = next(iter(medians.values()))[which]
    return [
        [
            variant.name,
            f"{medians[variant][0]:.0f}",
            f"{min(run[0] for run in runs):.0f}–{max(run[0] for run in runs):.0f}",
            f"{medians[variant][1]:.0f}",
            f"{medians[variant][which] / shipped:.2f}",
        ]
        for variant, runs in found.items()
    ]


if __name__ == "__main__":
    main()
