"""How fast the engine writes: 1, 4 and 16 requests, with 0 to 4 adapters, and how soon it begins.

    python benchmarks/bench_engine.py --base models/base/SmolLM2-135M-Instruct
    python benchmarks/bench_engine.py --base FOLDER --random-weights --quantization 4bit --device cuda

Its border: it drives the engine's own generator in this process, without HTTP, and changes nothing.
``--random-weights`` takes a folder with a configuration and a tokenizer alone: speed and memory are
those of the real model, what it says is noise. Figures are the median of ``--rounds`` rounds; answers
have exactly ``--tokens`` tokens, since end marks are ignored. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

# As the engine sets them, before PyTorch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "10000")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from surroundings import processor

REQUESTS = (1, 4, 16)
ADAPTERS = (0, 1, 2, 4)
RANK = 16


def main() -> None:
    """Measure, print a table and a JSON line, and write the table to ``--save``."""
    options = parser().parse_args()
    import torch

    from engine.model.loading import choose_placement

    if options.threads:
        torch.set_num_threads(options.threads)
    placement = choose_placement(options.device, options.quantization, options.dtype)
    busy = round(os.getloadavg()[0], 1)
    with folder_with_weights(options.base, options.random_weights) as folder:
        result = measure(folder, placement, options)
    result = {"date": datetime.now(UTC).date().isoformat(), "base": Path(options.base).name, **result}
    result |= {"hardware": hardware(), "placement": placement.reason, "versions": versions()}
    result["load_before"], result["load_after"] = busy, round(os.getloadavg()[0], 1)
    result["random_weights"] = options.random_weights
    text = table(result, options)
    print(text)
    if options.save:
        options.save.write_text(text, encoding="utf-8")
    print(json.dumps(result))


def parser() -> argparse.ArgumentParser:
    known = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known.add_argument("--base", required=True, help="folder of the base model")
    known.add_argument("--random-weights", action="store_true", help="the folder has no weights: make some")
    known.add_argument("--device", default="auto")
    known.add_argument("--quantization", default="auto")
    known.add_argument("--dtype", default="auto")
    known.add_argument("--weights", default="auto", help="as in [engine]")
    known.add_argument("--threads", type=int, default=0, help="CPU threads; 0: as many as PyTorch takes")
    known.add_argument("--tokens", type=int, default=48, help="tokens an answer")
    known.add_argument("--prompt-tokens", type=int, default=150)
    known.add_argument("--rounds", type=int, default=3)
    known.add_argument("--save", type=Path, help="write the table to this Markdown file")
    return known


@contextmanager
def folder_with_weights(base: str, random_weights: bool) -> Iterator[str]:
    """Give the folder itself, or a temporary one with random weights of the same shape."""
    if not random_weights:
        yield base
        return
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    with tempfile.TemporaryDirectory() as name:
        for file in Path(base).glob("*"):
            shutil.copy(file, name)
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(base), dtype=torch.bfloat16)
        model.save_pretrained(name)
        del model
        yield name


def measure(folder: str, placement: Any, options: argparse.Namespace) -> dict[str, Any]:
    import torch

    from engine.building import peaks_for
    from engine.computing.forward import forward_of
    from engine.generating.generation import Generator
    from engine.model.loading import load_base, load_tokenizer

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as the engine does: whoever loads leaves no helpers behind
    began = time.perf_counter()
    model = load_base(folder, placement=placement)
    loaded = time.perf_counter() - began
    weights = [random_adapter(model, seed) for seed in range(max(ADAPTERS))]
    forward = forward_of(model, peaks_for(model, load_tokenizer(folder), options.weights))
    torch.set_num_threads(threads)
    generator = Generator(
        forward,
        load_tokenizer(folder),
        stop_ids=frozenset(),
        max_batch=max(REQUESTS),
        threads=threads,
    )
    generator.start()
    names = [f"adapter-{number}" for number in range(len(weights))]
    for name, pairs in zip(names, weights, strict=True):
        generator.install(name, pairs).result()
    crowd = Crowd(generator, int(model.config.vocab_size), options)
    crowd.speak([None])  # the first pass lays out memory and picks kernels
    speeds = {}
    for count in REQUESTS:
        for mixed in [number for number in ADAPTERS if number <= count]:
            rows = [names[n % mixed] if mixed else None for n in range(count)]
            rounds = [crowd.speak(rows) for _ in range(options.rounds)]
            speeds[f"{count} requests, {mixed} adapters"] = round(statistics.median(rounds), 1)
    first = [crowd.time_to_first(names) for _ in range(options.rounds)]
    generator.close(1.0)
    return {
        "tokens_per_second": speeds,
        "seconds_to_first_token_while_8_generate": round(statistics.median(first), 3),
        "seconds_to_load": round(loaded, 1),
        "memory_mb": memory_mb(placement.device),
    }


def random_adapter(model: Any, seed: int) -> Any:
    """Return an adapter on all linear layers but the last, as the trainer makes it."""
    import torch

    from engine.computing.lora_bank import Pair

    draw = torch.Generator().manual_seed(seed)
    head = model.get_output_embeddings()
    return {
        name: Pair(
            torch.randn(RANK, module.in_features, generator=draw) * 0.01,
            torch.randn(module.out_features, RANK, generator=draw) * 0.01,
        )
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and module is not head
    }


class Crowd:
    """Asks the generator for answers of a fixed length and takes the time."""

    def __init__(self, generator: Any, vocabulary: int, options: argparse.Namespace) -> None:
        self._generator = generator
        self._vocabulary = vocabulary
        self._tokens = options.tokens
        self._prompt_tokens = options.prompt_tokens

    def speak(self, rows: list[str | None]) -> float:
        """Return tokens a second for one answer a row, the reading of the prompts included."""
        began = time.perf_counter()
        ends = [self._ask(row, number, self._tokens)[1] for number, row in enumerate(rows)]
        for end in ends:
            end.wait()
        seconds = time.perf_counter() - began
        return float(self._tokens * len(rows) / seconds)

    def time_to_first(self, names: list[str]) -> float:
        """Return the seconds to the first token of a ninth request while eight generate."""
        crowd = [self._ask(names[n % len(names)], n, 40 * self._tokens) for n in range(8)]
        for begun, _, _ in crowd:
            begun.wait()
        began = time.perf_counter()
        self._ask(names[0], 99, 1)[1].wait()  # its first token is its last
        seconds = time.perf_counter() - began
        for _, _, answer in crowd:
            answer.cancel()
        while self._generator.load != (0, 0):
            time.sleep(0.01)
        return seconds

    def _ask(
        self, adapter: str | None, seed: int, tokens: int
    ) -> tuple[threading.Event, threading.Event, Any]:
        from engine.generating.requests import Request, TextPiece
        from engine.generating.token_sampling import SamplingParameters

        begun, end = threading.Event(), threading.Event()

        def hear(event: object) -> None:
            begun.set()
            if not isinstance(event, TextPiece):
                end.set()

        prompt = [(seed * 977 + place * 131) % self._vocabulary for place in range(self._prompt_tokens)]
        sampling = SamplingParameters(0.8, 0.95, seed)
        answer = self._generator.submit(Request(prompt, tokens, hear, adapter=adapter, sampling=sampling))
        return begun, end, answer


def memory_mb(device: str) -> int:
    """Return the peak memory: of the GPU where there is one, else of the process."""
    if device == "cuda":
        import torch

        return int(torch.cuda.max_memory_allocated() / 2**20)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak / (2**20 if sys.platform == "darwin" else 2**10))


def hardware() -> str:
    import torch

    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{processor()}, {torch.get_num_threads()} threads"


def versions() -> dict[str, str]:
    packages = ("torch", "transformers", "bitsandbytes")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


def table(result: dict[str, Any], options: argparse.Namespace) -> str:
    noise = " (random weights of the same shape)" if result["random_weights"] else ""
    used = ", ".join(f"{name} {number}" for name, number in result["versions"].items())
    lines = [
        f"# Engine, {result['date']}, {result['hardware']}",
        "",
        f"Base: {result['base']}{noise}. It runs {result['placement']}. {used}.",
        f"Prompts of {options.prompt_tokens} tokens, answers of {options.tokens}, temperature 0.8, "
        f"top-p 0.95; LoRA of rank {RANK} on all linear layers; median of {options.rounds} rounds.",
        "",
        "Tokens a second over all requests, reading the prompts included:",
        "",
        "| requests | " + " | ".join(f"{mixed} adapters" for mixed in ADAPTERS) + " |",
        "| --- " * (len(ADAPTERS) + 1) + "|",
    ]
    for count in REQUESTS:
        speeds = result["tokens_per_second"]
        cells = [str(speeds.get(f"{count} requests, {mixed} adapters", "–")) for mixed in ADAPTERS]
        lines.append(f"| {count} | " + " | ".join(cells) + " |")
    first = result["seconds_to_first_token_while_8_generate"]
    lines += [
        "",
        f"First token of a ninth request while eight generate: {first} s. "
        f"Loading the model: {result['seconds_to_load']} s. Peak memory: {result['memory_mb']} MB. "
        f"Load of the machine before and after: {result['load_before']} and {result['load_after']}.",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
