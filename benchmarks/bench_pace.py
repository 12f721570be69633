"""How long requests wait for their first token, and how evenly the others write meanwhile.

    python benchmarks/bench_pace.py --base models/base/SmolLM2-135M-Instruct --engines . ../before

Its border: it drives the engines of several checkouts in turns, each in a process of its own, without HTTP.
Random prompts; answers never end by themselves. The last line is one JSON object. Ratios alone tell
something where the machine has other work.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# As the engine sets them, before PyTorch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

PROMPT, LONG, MORE = 150, 600, 40
"""Tokens of a common and of a long prompt, and of what a dialogue's next prompt adds to the last."""
ROWS, CROWD = 8, 16


def main() -> None:
    """Start an engine of each checkout, measure them in turns, and print the medians."""
    options = parser().parse_args()
    if options.serve:
        serve(options)
        return
    engines = {name: begin(name, options) for name in options.engines}
    found: dict[str, list[dict[str, float]]] = {name: [] for name in engines}
    for turn in range(options.rounds + 1):
        for name, process in engines.items():
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write("measure\n")
            process.stdin.flush()
            line = json.loads(process.stdout.readline())
            if turn:  # the first lays out memory and learns the pace
                found[name].append(line)
                print(name, json.dumps(line), flush=True)
    for process in engines.values():
        process.communicate("")
    result = {
        name: {key: round(statistics.median(line[key] for line in lines), 4) for key in lines[0]}
        for name, lines in found.items()
    }
    print(json.dumps({"load": round(os.getloadavg()[0], 1), **result}))


def parser() -> argparse.ArgumentParser:
    known = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known.add_argument("--base", required=True, help="folder of the base model")
    known.add_argument("--engines", nargs="+", default=["."], help="folders of checkouts")
    known.add_argument("--rounds", type=int, default=3)
    known.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    return known


def begin(checkout: str, options: argparse.Namespace) -> subprocess.Popen[str]:
    base = str(Path(options.base).resolve())
    command = [sys.executable, str(Path(__file__).resolve()), "--serve", "--base", base]
    environment = {**os.environ, "PYTHONPATH": str(Path(checkout).resolve())}
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=checkout
    )


def serve(options: argparse.Namespace) -> None:
    """Measure once for each line on the standard input."""
    import torch

    from engine.building import peaks_for
    from engine.computing.forward import forward_of
    from engine.generating.generation import Generator
    from engine.model.loading import choose_placement, load_base, load_tokenizer

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as the engine does: whoever loads leaves no helpers behind
    model, tokenizer = (
        load_base(options.base, placement=choose_placement("cpu")),
        load_tokenizer(options.base),
    )
    forward = forward_of(model, peaks_for(model, tokenizer, "auto"))
    torch.set_num_threads(threads)
    generator = Generator(forward, tokenizer, stop_ids=frozenset(), max_batch=CROWD, threads=threads)
    note_tokens()
    generator.start()
    for _ in sys.stdin:
        print(json.dumps(measure(generator)), flush=True)
    generator.close(1.0)


def measure(generator: Any) -> dict[str, float]:
    """Return seconds to first tokens and between tokens, and their ratios."""
    reading = Asked(generator, numbers(PROMPT), 1).wait().first()
    talk = numbers(LONG)
    fresh = Asked(generator, talk, 1).wait().first()
    known = Asked(generator, [*talk, *numbers(MORE)], 1).wait().first()
    crowd = [Asked(generator, numbers(PROMPT), 24) for _ in range(CROWD)]
    for each in crowd:
        each.over.wait()
    firsts = sorted(each.first() for each in crowd)
    p95 = firsts[round(0.95 * (len(firsts) - 1))]
    rows = [Asked(generator, numbers(PROMPT), 10_000) for _ in range(ROWS)]
    for each in rows:
        while not each.times:
            time.sleep(0.01)
    time.sleep(3)  # what a step takes
    quiet = [gap for each in rows for gap in each.gaps()[-8:]]
    marks = [len(each.times) for each in rows]
    late = [Asked(generator, numbers(tokens), 1) for tokens in (LONG, PROMPT, PROMPT)]
    for each in late:
        each.over.wait()
    busy = [gap for each, mark in zip(rows, marks, strict=True) for gap in each.gaps()[mark - 1 :]]
    for each in rows:
        each.answer.cancel()
    while generator.load != (0, 0):
        time.sleep(0.01)
    step = statistics.median(quiet)
    return {
        "alone_s": reading,
        "crowd_p95_s": p95,
        "crowd_p95_over_its_reading": p95 / (CROWD * reading),
        "long_alone_s": fresh,
        "its_continuation_over_it": known / fresh,
        "step_s": step,
        "quiet_p95_over_step": sorted(quiet)[round(0.95 * (len(quiet) - 1))] / step,
        "gap_median_over_step": statistics.median(busy) / step,
        "gap_p95_over_step": sorted(busy)[round(0.95 * (len(busy) - 1))] / step,
        "gap_max_over_step": max(busy) / step,
        "gap_max_over_its_median": max(busy) / statistics.median(busy),
        "long_first_s": late[0].first(),
        "short_first_s": max(each.first() for each in late[1:]),
    }


def numbers(count: int) -> list[int]:
    """Return so many tokens that begin like no others."""
    Asked.count += 1
    return [(Asked.count * 977 + place * 131) % 40_000 + 100 for place in range(count)]


class Asked:
    """One request, and when its tokens came."""

    count = 0

    def __init__(self, generator: Any, prompt: Sequence[int], answer: int) -> None:
        from engine.generating.requests import Request, TextPiece
        from engine.generating.token_sampling import SamplingParameters

        self.times = list[float]()
        self.over = threading.Event()

        def hear(event: object) -> None:
            if not isinstance(event, TextPiece):
                self.over.set()

        sampling = SamplingParameters(0.8, 0.95, Asked.count)
        request = Request(prompt, answer, hear, sampling=sampling)
        by_request[id(request)] = self
        self.began = time.perf_counter()
        self.answer = generator.submit(request)

    def wait(self) -> Asked:
        """Wait for the end."""
        self.over.wait()
        return self

    def first(self) -> float:
        """Return the seconds to the first token."""
        return self.times[0] - self.began

    def gaps(self) -> Sequence[float]:
        """Return the seconds between tokens."""
        return [b - a for a, b in zip(self.times, self.times[1:], strict=False)]


by_request: dict[int, Asked] = {}


def note_tokens() -> None:
    """Have each answer note when it takes a token: not every token is a piece of text at once."""
    from engine.generating.requests import Answer

    take = Answer.take

    def noted(answer: Any, token: int, stop_ids: frozenset[int]) -> None:
        by_request[id(answer.request)].times.append(time.perf_counter())
        take(answer, token, stop_ids)

    Answer.take = noted  # type: ignore[method-assign, assignment]


if __name__ == "__main__":
    main()
