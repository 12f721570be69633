"""This engine beside other ways to serve the same model on a CPU: speed, first tokens, memory, adapters.

    python benchmarks/bench_serving.py --base models/base/SmolLM2-135M-Instruct --work FOLDER

The others are the dependency group ``bench`` of pyproject.toml; who is not installed is named as missing.
Its border: it starts each contestant in a process (``serving_contestants``), asks one at a time, and changes
nothing but ``--work``, which keeps GGUF files and finished turns: a call with more ``--turns`` goes on. The
last line is one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

import psutil

from serving_page import TITLES, summary, table
from steps import Steps
from surroundings import processor, processor_facts

HERE = Path(__file__).resolve().parent
NEEDS = {
    "engine": ("torch", "transformers"),
    "generate": ("torch", "transformers"),
    "continuous": ("torch", "transformers"),
    "llama-bf16": ("gguf", "xllamacpp"),
    "llama-q8": ("gguf", "xllamacpp"),
    "openvino": ("gguf", "openvino", "openvino_genai", "openvino_tokenizers"),
    "openvino-adapters": ("gguf", "openvino", "openvino_genai", "openvino_tokenizers"),
}
"""The modules that each contestant cannot do without."""
PACKAGES = ("torch", "transformers", "xllamacpp", "openvino", "openvino-genai", "gguf")
MEASURES = {
    "1": (1, 0),
    "4": (4, 0),
    "16": (16, 0),
    "64": (64, 0),
    "16, one": (16, 1),
    "16, four": (16, 4),
}
"""Requests at once and adapters among them."""
MOST = {"generate": 1, "continuous": 16}
"""Requests at once that the slow ones get."""
REPEATS = {"1": 3}
"""Measures that a turn takes several times: one request alone tells little of when first tokens come."""
WITH_ADAPTERS = {"engine", "llama-bf16", "llama-q8", "openvino-adapters"}
LONGEST = "64"
WARM_UP = 40
"""The turn whose prompts are for warming up; real ones are before it, and prompts differ up to here."""
VECTORS = {"amx_bf16": "AMX", "avx512_bf16": "AVX-512 bf16", "avx512f": "AVX-512", "avx2": "AVX2"}
"""What decides how fast a CPU computes in which number format, the best first."""
# As the engine's command sets them for itself; the others have what their users have.
ENGINE_THREADS = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "10000"}


class Process:
    """A contestant in a process of its own: it computes only while it is asked."""

    def __init__(self, name: str, command: list[str], log: Path) -> None:
        """Start it; what it prints besides its answers goes to the end of ``log``."""
        self.name, self._log = name, log
        quiet = {key: value for key, value in os.environ.items() if key not in ENGINE_THREADS}
        with log.open("a", encoding="utf-8") as errors:
            self._child = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=quiet | (ENGINE_THREADS if name == "engine" else {}),
            )
        self.format: str = self.hear()["format"]  # and that it is ready

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.close()
        try:
            self._child.wait(20)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        self._child.stdout.close()

    def hear(self) -> dict[str, Any]:
        """Return its next line.

        Raises:
            SystemExit: it ended instead; its log says why.
        """
        assert self._child.stdout is not None
        line = self._child.stdout.readline()
        if not line:
            self.__exit__()
            sys.exit(f"{self.name} ended: {self._log} says why.")
        heard: dict[str, Any] = json.loads(line)
        return heard

    def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        """Return what it measured for ``question``."""
        assert self._child.stdin is not None
        self._child.stdin.write(json.dumps(question) + "\n")
        self._child.stdin.flush()
        return self.hear()

    def computed(self) -> float:
        """Return the seconds of CPU time that it used so far."""
        times = psutil.Process(self._child.pid).cpu_times()
        return float(times.user + times.system)


def lacking(name: str) -> str:
    """Return why a contestant cannot take part, or nothing."""
    modules = [module for module in NEEDS[name] if find_spec(module) is None]
    return f"{' and '.join(modules)} {'is' if len(modules) == 1 else 'are'} not installed" if modules else ""


def measures_of(name: str) -> list[str]:
    """Return what is measured of a contestant.

    One that answers one at a time writes no faster for sixteen, and the slowest would take minutes for more.
    """
    most = MOST.get(name, 64)
    return [
        key
        for key, (count, mixed) in MEASURES.items()
        if count <= most
        and (not mixed or name in WITH_ADAPTERS)
        and (mixed or name != "openvino-adapters")  # without them it is "openvino"
    ]


def question(
    turn: int, measure: str, options: argparse.Namespace, vocabulary: int, repeat: int = 0
) -> dict[str, Any]:
    """Return prompts of random tokens that no other turn and no other measure has: no cache knows them."""
    count, mixed = MEASURES[measure]
    begin = 1000 * turn + 100 * list(MEASURES).index(measure) + repeat
    seeds = [begin + number for number in range(count)]
    prompts = [
        [(seed * 977 + place * 131) % vocabulary for place in range(options.prompt_tokens)] for seed in seeds
    ]
    adapters = [number % mixed if mixed else None for number in range(count)]
    return {"prompts": prompts, "adapters": adapters, "tokens": options.tokens}


def order(turns: int) -> list[tuple[int, str]]:
    """Return each turn's measures, the longest after all others: a run that is cut off has most turns."""
    every = [(turn, measure) for turn in range(turns) for measure in MEASURES]
    return sorted(every, key=lambda each: each[1] == LONGEST)


def take(
    turn: int, measure: str, processes: Mapping[str, Process], options: argparse.Namespace, vocabulary: int
) -> dict[str, Any]:
    """Ask the contestants for a measure, one after the other; return what they found, and the load."""
    load, idle, foreign = round(os.getloadavg()[0], 1), 0.0, {}
    found: dict[str, dict[str, Any]] = {}
    asked = [
        question(turn, measure, options, vocabulary, repeat) for repeat in range(REPEATS.get(measure, 1))
    ]
    for name, process in processes.items():
        if measure not in measures_of(name):
            continue
        waiting = [other for other in processes.values() if other is not process]
        began, machine, own = time.monotonic(), machine_computed(), process.computed()
        before = sum(other.computed() for other in waiting)
        found[name] = together([process.ask(each) for each in asked])
        others = sum(other.computed() for other in waiting) - before
        passed = time.monotonic() - began
        idle = max(idle, others / passed)
        used = machine_computed() - machine - others - (process.computed() - own)
        foreign[name] = round(max(0.0, used / passed), 2)
    return {
        "load": load,
        "idle_cores": round(idle, 3),
        "foreign_cores": foreign,
        "formats": {name: process.format for name, process in processes.items()},
        "found": found,
    }


def machine_computed() -> float:
    """Return the seconds of CPU time that all processes of the machine used so far."""
    times = psutil.cpu_times()
    return float(times.user + times.system + getattr(times, "nice", 0.0))


def together(measured: list[dict[str, Any]]) -> dict[str, Any]:
    """Return several measurements, one after the other, as one."""
    return {
        "seconds": sum(each["seconds"] for each in measured),
        "firsts": [first for each in measured for first in each["firsts"]],
        "memory_mb": max(each["memory_mb"] for each in measured),
    }


async def measure_all(names: list[str], steps: Steps, options: argparse.Namespace) -> None:
    """Start the contestants, have each warm up, and measure what is not measured yet."""
    missing = [
        (turn, measure) for turn, measure in order(options.turns) if not steps.has(step_name(turn, measure))
    ]
    if not missing or not options.minutes:
        return
    began = time.monotonic()
    vocabulary = json.loads((options.base / "config.json").read_text(encoding="utf-8"))["vocab_size"]
    processes: dict[str, Process] = {}
    try:
        for name in names:
            command = [sys.executable, str(HERE / "serving_contestants.py"), name]
            command += ["--base", str(options.base), "--files", str(options.work)]
            command += ["--threads", str(options.threads)]
            processes[name] = Process(name, command, options.work / f"{name}.log")
        for process in processes.values():
            # The first passes lay out memory and pick kernels.
            first = measures_of(process.name)[0]
            process.ask(question(WARM_UP, first, options, vocabulary) | {"tokens": 4})
        while missing and time.monotonic() - began < 60 * options.minutes:
            turn, measure = missing[0]
            taken = take(turn, measure, processes, options, vocabulary)
            if max(taken["foreign_cores"].values()) > options.quiet:
                print(f"{step_name(turn, measure)}: again, the machine was not quiet", file=sys.stderr)
                continue

            async def step(taken: dict[str, Any] = taken) -> dict[str, Any]:
                return taken

            await steps.once(step_name(turn, measure), step)
            del missing[0]
    finally:
        for process in processes.values():
            process.__exit__()


def step_name(turn: int, measure: str) -> str:
    """Return the name under which a measure of a turn is kept."""
    return f"turn {turn + 1}: {measure}"


async def kept(steps: Steps, turns: int) -> dict[str, list[dict[str, Any]]]:
    """Return what is measured so far, by measure, one for each turn that has it."""
    found: dict[str, list[dict[str, Any]]] = {measure: [] for measure in MEASURES}

    async def nothing() -> dict[str, Any]:
        raise AssertionError("it is there")

    for turn, measure in order(turns):
        if steps.has(step_name(turn, measure)):
            found[measure].append(await steps.once(step_name(turn, measure), nothing))
    return found


def versions() -> dict[str, str]:
    """Return the versions of Python and of what is compared; missing packages are left out."""
    found = {"python": platform.python_version()}
    asked = ["git", "-C", str(HERE.parent), "log", "-1", "--format=%h", "--", "engine"]
    commit = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
    if commit:  # a copy without its history has none
        found["engine of commit"] = commit
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # the table names it as missing
            continue
    return found


def hardware(threads: int) -> str:
    """Return the processor's name, the widest vectors that it computes with, and the threads used."""
    flags = processor_facts().get("flags", "").split()
    vectors = [title for flag, title in VECTORS.items() if flag in flags]
    return f"{processor()}{' with ' + vectors[0] if vectors else ''}, {threads} threads"


def main() -> None:
    """Measure, print a table and a JSON line, and write the table to ``--save``."""
    options = parser().parse_args()
    reasons = {name: lacking(name) for name in TITLES if name in options.only}
    names = [name for name, reason in reasons.items() if not reason]
    if not names:
        sys.exit("None of the contestants is installed.")
    options.work.mkdir(parents=True, exist_ok=True)
    write_files(names, options)
    settings = [options.base.name, options.tokens, options.prompt_tokens, options.threads, versions()]
    steps = Steps(options.work / "turns.json", settings)
    asyncio.run(measure_all(names, steps, options))
    found = asyncio.run(kept(steps, options.turns))
    if not any(found.values()):
        sys.exit("Nothing was measured yet; give it more --minutes.")
    result = result_of(found, {name: reason for name, reason in reasons.items() if reason}, options)
    text = table(result)
    print(text)
    if options.save:
        options.save.write_text(text, encoding="utf-8")
    print(json.dumps(result))


def write_files(names: list[str], options: argparse.Namespace) -> None:
    """Write the model and the adapters in the forms that these contestants read, unless they are there."""
    writers = {
        "gguf_files": any("gguf" in NEEDS[name] for name in names),
        "openvino_files": "openvino-adapters" in names,
    }
    for writer, wanted in writers.items():
        if wanted:
            command = [sys.executable, str(HERE / f"{writer}.py"), str(options.base), str(options.work)]
            subprocess.run(command, check=True)


def result_of(
    found: dict[str, list[dict[str, Any]]], missing: dict[str, str], options: argparse.Namespace
) -> dict[str, Any]:
    """Return what was measured, with the conditions under which it was."""
    measured = [each for several in found.values() for each in several]
    loads = [each["load"] for each in measured]
    foreign = {
        name: [each["foreign_cores"][name] for each in measured if name in each["foreign_cores"]]
        for name in TITLES
    }
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "base": options.base.name,
        "hardware": hardware(options.threads),
        "versions": versions(),
        "prompt_tokens": options.prompt_tokens,
        "tokens": options.tokens,
        "turns": {measure: len(several) for measure, several in found.items()},
        "quiet": options.quiet,
        "loads": [min(loads), max(loads)],
        "foreign_cores": {name: statistics.median(cores) for name, cores in foreign.items() if cores},
        "idle_cores": max(each["idle_cores"] for each in measured),
        "formats": {name: form for each in measured for name, form in each["formats"].items()},
        "contestants": summary(
            {measure: [each["found"] for each in several] for measure, several in found.items()},
            options.tokens,
        ),
        "missing": missing,
    }


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    known = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known.add_argument("--base", type=Path, required=True, help="folder of the base model")
    known.add_argument("--work", type=Path, required=True, help="folder for GGUF files and finished turns")
    known.add_argument("--only", nargs="+", choices=TITLES, default=list(TITLES), metavar="CONTESTANT")
    known.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="CPU threads of each")
    known.add_argument("--turns", type=int, default=5)
    known.add_argument(
        "--minutes", type=float, default=600, help="begin nothing new after so many; 0: only make the page"
    )
    known.add_argument(
        "--quiet",
        type=float,
        default=0.25,
        metavar="CORES",
        help="measure again where other programs took more than this beside any contestant",
    )
    known.add_argument("--tokens", type=int, default=48, help="tokens an answer")
    known.add_argument("--prompt-tokens", type=int, default=150)
    known.add_argument("--save", type=Path, help="write the table to this Markdown file")
    return known


if __name__ == "__main__":
    main()
