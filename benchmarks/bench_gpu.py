"""4-bit TinyLlama on one GPU: loads, trains, serves while it trains and then many at once; speed and memory.

    python benchmarks/bench_gpu.py --shape path/to/tinyllama-shape --sample bot/demo/sample

``--shape`` is a folder with the model's configuration and tokenizer, without weights: a model of that
shape with random weights has the speed and the memory of the real one. Everything runs as the product
runs it, as processes: ``trainer import``, ``prepare`` and ``fit``, and the engine under requests all the
while; then ``bench_engine.py``, whose table of 1, 4 and 16 requests is printed as it is. The GPU's memory is
read from nvidia-smi twice a second, for all processes together. Meant to take eight minutes at most.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

TOKEN = "a-benchmark-on-loopback"  # noqa: S105 - of an engine that lives for minutes
LIMIT_GIB = 8.0
CONFIG = """
[model]
base = {base}
device = "cuda"
quantization = "4bit"
[training]
epochs = 1
[dataset]
first_night_tokens = {replies * 45}
"""


def main() -> int:
    """Run everything; print a table and one JSON line; exit code 1 when it took 8 GiB or more."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", type=Path, required=True)
    parser.add_argument("--sample", type=Path, default=Path("bot/demo/sample"))
    parser.add_argument("--replies", type=int, default=400)
    options = parser.parse_args()
    if shutil.which("nvidia-smi") is None:
        print("There is no NVIDIA GPU here; nothing was measured.", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as scratch:
        result = _measure(Path(scratch), options)
    print(json.dumps(result))
    return 0 if result["peak_gib"] < LIMIT_GIB else 1


def _measure(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    base = _with_random_weights(options.shape, folder / "base")
    config = folder / "config.toml"
    config.write_text(CONFIG.format(base=json.dumps(str(base)), replies=options.replies), encoding="utf-8")
    exports = sorted(map(str, options.sample.glob("*.json")))
    _trainer("import", *exports, "--basis", "benchmark", config=config)
    dataset = _trainer("prepare", config=config)["dataset"]
    before = _memory_gib()
    memory: list[float] = []
    stop = threading.Event()
    watch = threading.Thread(target=_watch, args=(memory, stop))
    watch.start()
    began = time.monotonic()
    engine, url = _engine(config)
    loaded = {"engine_seconds": time.monotonic() - began, "engine_gib": _memory_gib() - before}
    alone = [_answer(url, str(base)) for _ in range(5)]
    during: list[float] = []
    fitting = subprocess.Popen(
        [sys.executable, "-m", "trainer", "fit", dataset, "--config", str(config), "--json"],
        stdout=subprocess.PIPE,
        text=True,
    )
    while fitting.poll() is None:
        during.append(_answer(url, str(base)))
    fitted = json.loads(fitting.communicate()[0].strip().splitlines()[-1])
    engine.terminate()
    engine.wait(30)
    stop.set()
    watch.join()
    result = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "gpu": _smi("name"),
        "versions": {name: importlib.metadata.version(name) for name in ("torch", "transformers", "peft")},
        **{name: round(value, 2) for name, value in loaded.items()},
        "peak_gib": round(max(memory) - before, 2),
        "tokens_per_second_alone": round(statistics.median(alone), 1),
        "tokens_per_second_while_training": round(statistics.median(during), 1),
        "answers_while_training": len(during),
        "fit": fitted,
        "serving": _serving(base),
    }
    for name, value in result.items():
        print(f"{name:<34}{value}")
    return result


def serving_command(base: Path) -> list[str]:
    """Return the command that measures many requests at once, with adapters, on the GPU alone."""
    script = str(Path(__file__).with_name("bench_engine.py"))
    return [script, "--base", str(base), "--device", "cuda", "--quantization", "4bit", "--rounds", "3"]


def _serving(base: Path) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, *serving_command(base)], stdout=subprocess.PIPE, text=True, check=True
    )
    *table, figures = done.stdout.strip().splitlines()
    print("\n".join(table))
    found: dict[str, Any] = json.loads(figures)
    return found


def _with_random_weights(shape: Path, base: Path) -> Path:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    shutil.copytree(shape, base)
    torch.manual_seed(20)
    model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(shape), dtype=torch.bfloat16)
    model.save_pretrained(base)
    return base


def _trainer(*arguments: str, config: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "trainer", *arguments, "--config", str(config), "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return answer


def _engine(config: Path) -> tuple[subprocess.Popen[str], str]:
    engine = subprocess.Popen(
        [sys.executable, "-m", "engine", "--config", str(config), "--json"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "NIGHTSCHOOL_ENGINE_TOKEN": TOKEN},
    )
    assert engine.stdout is not None
    for line in engine.stdout:
        if line.startswith("{"):
            return engine, str(json.loads(line)["url"])
    raise SystemExit("The engine did not start.")


def _answer(url: str, model: str) -> float:
    """Ask for 64 tokens and return tokens a second."""
    body = {"model": model, "max_tokens": 64, "messages": [{"role": "user", "content": "Good evening!"}]}
    request = urllib.request.Request(  # noqa: S310 - loopback
        f"{url}/v1/chat/completions",
        json.dumps(body).encode(),
        {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"},
    )
    began = time.monotonic()
    with urllib.request.urlopen(request, timeout=120) as response:  # noqa: S310 - loopback
        tokens = json.load(response)["usage"]["completion_tokens"]
    return float(tokens / (time.monotonic() - began))


def _smi(field: str) -> str:
    command = ["nvidia-smi", f"--query-gpu={field}", "--format=csv,noheader,nounits"]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()[0]


def _memory_gib() -> float:
    return int(_smi("memory.used")) / 1024


def _watch(found: list[float], stop: threading.Event) -> None:
    while not stop.wait(0.5):
        found.append(_memory_gib())


if __name__ == "__main__":
    sys.exit(main())
