"""One decoding step with LoRA: the engine's side-by-side adapters against PEFT's mixed batches.

    python benchmarks/bench_lora.py --base models/base/SmolLM2-135M-Instruct

Both compute the same update on the same base model; checked before timing. Interleaved, the best of
``--rounds`` for each, because other work on the machine only ever makes a step slower.
"""

from __future__ import annotations

import argparse
import copy
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
from peft import LoraConfig, PeftModel, get_peft_model

from engine.computing.lora_bank import LoraBank, read_weights
from engine.model.loading import choose_placement, load_base

NAMES = ("one", "two")


def main() -> None:
    """Time every case and print a table with the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", required=True)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    placement = choose_placement()
    base = load_base(options.base, placement=placement)
    with tempfile.TemporaryDirectory() as folder:
        paths = [_adapter(copy.deepcopy(base), Path(folder) / name, seed) for seed, name in enumerate(NAMES)]
        bank = LoraBank(base)
        peft_model = PeftModel.from_pretrained(copy.deepcopy(base), str(paths[0]), adapter_name=NAMES[0])
        peft_model.load_adapter(str(paths[1]), adapter_name=NAMES[1])
        for name, path in zip(NAMES, paths, strict=True):
            bank.install(name, read_weights(path))
    peft_model.eval()
    print(f"{placement.reason}, {options.threads} thread(s), torch {torch.__version__}")
    print(f"{'rows':>5} {'adapters':>9} {'ours ms':>9} {'PEFT ms':>9} {'PEFT / ours':>12}")
    for rows in (1, 4, 16):
        for adapters in (1, 2) if rows > 1 else (1,):
            who = sorted(NAMES[row % adapters] for row in range(rows))  # as the engine keeps them
            _compare(base, bank, peft_model, who, options.rounds)


@torch.inference_mode()
def _compare(base: Any, bank: LoraBank, peft_model: Any, who: list[str], rounds: int) -> None:
    ids = torch.randint(5, 1000, (len(who), 1), device=base.device)
    bank.select(who)

    def ours() -> torch.Tensor:
        logits: torch.Tensor = base(input_ids=ids).logits
        return logits

    def theirs() -> torch.Tensor:
        logits: torch.Tensor = peft_model(input_ids=ids, adapter_names=who).logits
        return logits

    gap = (ours() - theirs()).norm() / theirs().norm()
    # PEFT rounds the low-rank product to bf16 in between, the engine does not.
    assert gap < 0.05, f"the two differ by {gap:.3f}"
    fast, slow = _best(ours, theirs, rounds)
    print(f"{len(who):>5} {len(set(who)):>9} {fast * 1e3:>9.1f} {slow * 1e3:>9.1f} {slow / fast:>12.2f}")


def _best(one: Callable[[], Any], other: Callable[[], Any], rounds: int) -> tuple[float, float]:
    """Return the shortest time of each in seconds, taken in turns."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for step, found in zip((one, other), times, strict=True):
            began = time.perf_counter()
            step()
            found.append(time.perf_counter() - began)
    return min(times[0]), min(times[1])


def _adapter(model: Any, path: Path, seed: int) -> Path:
    torch.manual_seed(seed)
    config = LoraConfig(r=16, lora_alpha=16, target_modules="all-linear", init_lora_weights=False)
    get_peft_model(model, config).save_pretrained(str(path))
    return path


if __name__ == "__main__":
    main()
