"""Is what is judged what serves? The NLL of real replies as the trainer scores them and as the engine does.

    python -m benchmarks.bench_agreement DATASET --base models/base/SmolLM2-135M-Instruct --adapter FOLDER

``DATASET`` is what ``trainer prepare`` or a night wrote; a sample of its rows is scored three times: by the
trainer's own path in the format of this machine, by the engine's forward pass token by token, as it serves,
and in float32. Prints the differences in nats a token with 95 % intervals over conversations.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

import torch
from peft import PeftModel

from engine.building import peaks_for
from engine.computing.cache import Part, RowCache
from engine.computing.forward import Forward, forward_of
from engine.computing.lora_bank import read_weights
from engine.model.loading import choose_placement, load_base, load_tokenizer
from trainer.scoring.batches import EncodedRow
from trainer.scoring.encoded_rows import load_part, rows_of
from trainer.scoring.perplexity import score_rows


def main() -> int:
    """Score a sample of a dataset's test part in each form."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--base", required=True)
    parser.add_argument("--adapter", type=Path)
    parser.add_argument("--weights", default="auto", help="as in [engine]")
    parser.add_argument("--rows", type=int, default=30)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    tokenizer = load_tokenizer(options.base)
    rows = rows_of(load_part(options.dataset, "test", tokenizer, max_tokens=512))
    rows = rows[:: max(1, len(rows) // options.rows)][: options.rows]
    found = {
        "trainer": trained(options, rows, "auto"),
        "float32": trained(options, rows, "float32"),
        "engine": served(options, rows),
    }
    tokens = [sum(row["scored"]) for row in rows]
    report = {
        "rows": len(rows),
        "tokens": sum(tokens),
        "format": choose_placement("cpu", "none", "auto").reason,
        "nll": {name: round(sum(nll) / sum(tokens), 5) for name, nll in found.items()},
        "engine less trainer": difference(found["engine"], found["trainer"], tokens),
        "trainer less float32": difference(found["trainer"], found["float32"], tokens),
        "engine less float32": difference(found["engine"], found["float32"], tokens),
    }
    print(json.dumps(report, indent=1))
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return 0


def trained(options: argparse.Namespace, rows: Sequence[EncodedRow], dtype: str) -> list[float]:
    """Return the NLL of each row's targets in nats, as an evaluation scores them."""
    model: Any = load_base(options.base, placement=choose_placement("cpu", "none", dtype))
    if options.adapter:
        model = PeftModel.from_pretrained(model, str(options.adapter)).eval()
    return [tally.nll for tally in score_rows(model, rows, packed=False)]


def served(options: argparse.Namespace, rows: Sequence[EncodedRow]) -> list[float]:
    """Return the same as the engine computes it: it reads up to the first target, and writes the rest."""
    model = load_base(options.base, placement=choose_placement("cpu", "none", "auto"))
    forward = forward_of(model, peaks_for(model, load_tokenizer(options.base), options.weights))
    if options.adapter:
        forward.bank.install("adapter", read_weights(options.adapter))
    adapter = "adapter" if options.adapter else None
    with torch.inference_mode():
        return [_written(forward, row, adapter) for row in rows]


def _written(forward: Forward, row: EncodedRow, adapter: str | None) -> float:
    ids, first = row["ids"], row["scored"].index(True)
    cache = RowCache(forward.layers)
    [logits] = forward.last_logits([Part(torch.tensor([ids[:first]]), [0], cache, [adapter])])
    nll = 0.0
    for at in range(first, len(ids)):
        if row["scored"][at]:
            nll -= float(logits[0].float().log_softmax(-1)[ids[at]])
        cache.lengths = [at]
        [logits] = forward.last_logits([Part(torch.tensor([[ids[at]]]), [0], cache, [adapter])])
    return nll


def difference(one: Sequence[float], other: Sequence[float], tokens: Sequence[int]) -> dict[str, float]:
    """Return the mean difference in nats a token, and half of its 95 % interval over rows."""
    mean = (sum(one) - sum(other)) / sum(tokens)
    residuals = [a - b - mean * count for a, b, count in zip(one, other, tokens, strict=True)]
    error = statistics.stdev(residuals) * len(tokens) ** 0.5 / sum(tokens)
    return {"mean": round(mean, 5), "half of the interval": round(1.96 * error, 5)}


if __name__ == "__main__":
    sys.exit(main())
