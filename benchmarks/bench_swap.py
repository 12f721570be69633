"""What swaps cost those who are being answered: streams of the real engine, with swaps and without.

    python benchmarks/bench_swap.py [--swaps 100] [--streams 8] [--phases 5] [--json OUT]

Starts ``python -m engine`` as the bot does, keeps ``--streams`` answers coming from it, and promotes one
version after another by the bot's own code: the ledger's promotion, then :class:`ServedVersions`, which loads
the new version, sends new requests to it, and unloads the old one. Phases without swaps come in turns with
those that have them. The versions have the product's form (rank 16 on all linear layers, float32, manifest
and tokenizer) and random weights; each has a folder of its own, in which the files of one of four sets are
linked.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import aiohttp
import psutil

from bench_recording import LINES
from bot.serving.engine_client import AnswerSampling, EngineClient
from bot.serving.engine_process import EngineProcess
from bot.serving.promoting import Promoting
from bot.serving.served_versions import ServedVersions
from ledger.errors import EngineError
from ledger.records import Adapter
from ledger.settings import Settings, load_settings
from ledger.store import Ledger
from surroundings import headline, load, publish, surroundings, table

ROOT = Path(__file__).resolve().parents[1]
GUILD = 700
SETS = 4
"""How many versions have different weights."""
RANK = 16
PACKAGES = ("torch", "transformers", "peft", "aiohttp")
MEMORY_AT = (10, 50, 100)
"""After which swaps the engine's memory is noted."""
LOOK_SECONDS = 0.1
DRAIN_SECONDS = 120.0
"""How long the last answers of the last versions may take."""
TIMES = ("first ms", "gap p50 ms", "p99", "longest")
MEBIBYTE = 2**20
CONFIG = """\
[model]
base = {base}
device = "cpu"
[engine]
max_batch = {streams}
"""


@dataclass
class Phase:
    """A while under load: each stream's gaps between pieces, in seconds, and what was asked."""

    swaps: int
    """How many swaps it had."""
    gaps: list[float] = field(default_factory=list)
    first: list[float] = field(default_factory=list)
    """Seconds from the question to the first piece."""
    pieces: int = 0
    answers: int = 0
    failed: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def figures(self) -> dict[str, Any]:
        """Return what a table shows of it; seconds."""
        return {
            "swaps": self.swaps,
            "answers": self.answers,
            "failed": len(self.failed),
            "pieces_a_second": round(self.pieces / self.seconds, 1),
            "gap_p50": round(share(self.gaps, 0.5), 4),
            "gap_p99": round(share(self.gaps, 0.99), 4),
            "gap_longest": round(max(self.gaps), 4),
            "first_p50": round(share(self.first, 0.5), 3),
        }


def share(values: Sequence[float], part: float) -> float:
    """Return the value that ``part`` of all do not exceed."""
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]


class Streams:
    """People who read one answer after another; what they see belongs to the phase at that time."""

    def __init__(self, engine: EngineClient, serving: ServedVersions, *, tokens: int) -> None:
        self._engine = engine
        self._serving = serving
        self._sampling = AnswerSampling(max_tokens=tokens, temperature=0.8, top_p=0.95)
        self.phase = Phase(0)

    async def read_on(self, reader: int) -> None:
        """Ask, read to the end, and ask again; for ever."""
        number = reader
        while True:
            number += 1
            try:
                await self._read_one(number)
            except EngineError as error:
                self.phase.failed.append(str(error))

    async def _read_one(self, number: int) -> None:
        turns = [LINES[(number * 7 + turn) % len(LINES)] for turn in range(6)]
        asked: list[Any] = [{"role": "system", "content": "You are Nightschool, a member of the server."}]
        for turn, line in enumerate(turns):
            asked.append({"role": ("assistant", "user")[turn % 2], "content": f"member-{turn}: {line}"})
        last, begun = time.perf_counter(), False
        async with self._serving.lease(GUILD) as (model, _):
            async for piece in self._engine.stream(model, asked, self._sampling, guild_id=GUILD):
                now = time.perf_counter()
                if piece.text:
                    (self.phase.gaps if begun else self.phase.first).append(now - last)
                    self.phase.pieces += 1
                    last, begun = now, True
        self.phase.answers += 1


@dataclass(slots=True)
class Swap:
    """One swap: seconds until new requests went to the new version, and the memory then."""

    old: str
    began: float
    switched: float
    rss: int
    """Bytes that the engine's process holds."""
    gone: float = 0.0
    """Seconds until the engine no longer held the old version, whose last answers end first."""


def main() -> None:
    """Measure, print tables, and write ``--json``."""
    options = _parser().parse_args()
    about = surroundings(PACKAGES)
    found = asyncio.run(measure(options))
    result = {**about, "streams": options.streams, "tokens": options.tokens, **found, "load_after": load()}
    publish(result, page(result), options.json)


def _parser() -> argparse.ArgumentParser:
    known = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known.add_argument("--swaps", type=int, default=100)
    known.add_argument("--streams", type=int, default=8)
    known.add_argument("--phases", type=int, default=5, help="how many of each kind")
    known.add_argument("--every", type=float, default=2.0, help="seconds from one swap to the next")
    known.add_argument("--tokens", type=int, default=16, help="longest answer")
    known.add_argument("--base", type=Path, default=ROOT / "models" / "base" / "SmolLM2-135M-Instruct")
    known.add_argument("--json", type=Path, metavar="OUT")
    return known


async def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Return all figures."""
    with tempfile.TemporaryDirectory() as name:
        config = Path(name) / "config.toml"
        text = CONFIG.format(base=json.dumps(str(options.base.resolve())), streams=options.streams)
        config.write_text(text, encoding="utf-8")
        settings = load_settings(config)
        async with Ledger.open(settings.database) as ledger:
            versions = await candidates(ledger, settings, options.swaps + 1)
            async with house(ledger, config) as (process, engine, serving):
                return await _under_load(
                    options, Promoting(ledger, serving), process, engine, serving, versions
                )


@asynccontextmanager
async def house(
    ledger: Ledger, config: Path
) -> AsyncIterator[tuple[EngineProcess, EngineClient, ServedVersions]]:
    """Start the engine, and what follows the ledger's champions, as the bot does."""
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=120)
    async with aiohttp.ClientSession(timeout=timeout) as session, EngineProcess(config) as process:
        await process.ready()
        engine = EngineClient(session, process.address)
        async with ServedVersions(ledger, engine, generation=lambda: process.generation) as serving:
            yield process, engine, serving


async def _under_load(
    options: argparse.Namespace,
    promoting: Promoting,
    process: EngineProcess,
    engine: EngineClient,
    serving: ServedVersions,
    versions: list[Adapter],
) -> dict[str, Any]:
    child = engine_child()
    await promoting.let_serve(GUILD, versions[0].version, by=1)
    streams = Streams(engine, serving, tokens=options.tokens)
    readers = [asyncio.create_task(streams.read_on(1000 * number)) for number in range(options.streams)]
    await asyncio.sleep(5 * options.every)  # until the first answers have ended
    phases, swaps, waiting = [], list[Swap](), iter(versions[1:])
    watch = asyncio.create_task(note_gone(engine, swaps))
    for turn in range(options.phases):
        count = (options.swaps * (turn + 1)) // options.phases - len(swaps)
        for size in (0, count):
            streams.phase = phase = Phase(size)
            began = time.perf_counter()
            for _ in range(count):
                due = time.perf_counter() + options.every
                if size:
                    swaps.append(await swap(promoting, child, serving, next(waiting).version))
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
            phase.seconds = time.perf_counter() - began
            phases.append(phase)
    async with asyncio.timeout(DRAIN_SECONDS):
        while not all(each.gone for each in swaps):  # noqa: ASYNC110 - it is another process that changes
            await asyncio.sleep(LOOK_SECONDS)
    tasks = [watch, *readers]
    for task in tasks:
        task.cancel()
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        if not isinstance(outcome, asyncio.CancelledError):
            raise SystemExit(f"a reader ended early: {outcome!r}")
    if process.restarts:
        raise SystemExit("the engine died meanwhile")
    return {
        "phases": [phase.figures() for phase in phases],
        "failures": sorted({text for phase in phases for text in phase.failed}),
        "switched": [round(each.switched, 3) for each in swaps],
        "gone": [round(each.gone, 3) for each in swaps],
        "rss_mb": [each.rss // MEBIBYTE for each in swaps],
    }


async def swap(promoting: Promoting, child: psutil.Process, serving: ServedVersions, version: str) -> Swap:
    """Promote a version, as an admin or a night does; return once it serves."""
    old, began = serving.version(GUILD), time.perf_counter()
    await promoting.let_serve(GUILD, version, by=1)
    switched = time.perf_counter() - began
    if serving.version(GUILD) != version or old is None:
        raise SystemExit(f"{version} does not serve: {serving.refusal(version)}")
    return Swap(old, began, switched, child.memory_info().rss)


async def note_gone(engine: EngineClient, swaps: Sequence[Swap]) -> None:
    """Note when the engine no longer holds what each swap replaced; for ever."""
    while True:
        loaded = set(await engine.models())
        for each in swaps:
            if not each.gone and each.old not in loaded:
                each.gone = time.perf_counter() - each.began
        await asyncio.sleep(LOOK_SECONDS)


def engine_child() -> psutil.Process:
    """Return the engine's process."""
    child: psutil.Process
    [child] = [each for each in psutil.Process().children() if "engine" in each.cmdline()]
    return child


async def candidates(ledger: Ledger, settings: Settings, count: int) -> list[Adapter]:
    """Reserve versions in the ledger, and write their files where it says that they lie."""
    await ledger.guilds.ensure(GUILD, "Lantern Yard")
    base = settings.base_model()
    versions = []
    for _ in range(count):
        run = await ledger.runs.create(GUILD, "benchmark")
        folder = str(settings.adapters_dir)
        versions.append(
            await ledger.adapters.reserve(GUILD, run.id, adapters_dir=folder, base_model=settings.model.base)
        )
    sets = settings.models_dir / "sets"
    await asyncio.to_thread(write_sets, base, sets, min(SETS, count))
    await asyncio.to_thread(write_versions, base, sets, versions)
    return versions


def write_sets(base: str, folder: Path, count: int) -> None:
    """Save ``count`` adapters with random weights below ``folder``, as the trainer saves its own."""
    import torch
    from peft import LoraConfig, get_peft_model

    from engine.model.loading import choose_placement, load_base, load_tokenizer

    model = load_base(base, placement=choose_placement("cpu", "auto", "auto"))
    config = LoraConfig(r=RANK, lora_alpha=RANK, target_modules="all-linear", task_type="CAUSAL_LM")
    adapted = get_peft_model(model, config, autocast_adapter_dtype=True)
    tokenizer = load_tokenizer(base)
    for number in range(count):
        draw = torch.Generator().manual_seed(number)
        for name, tensor in adapted.named_parameters():
            if "lora_" in name:
                tensor.data.copy_(torch.randn(tensor.shape, generator=draw) * 0.01)
        place = folder / str(number)
        adapted.save_pretrained(str(place), safe_serialization=True)
        (place / "README.md").unlink(missing_ok=True)
        tokenizer.save_pretrained(str(place))


def write_versions(base: str, sets: Path, versions: Sequence[Adapter]) -> None:
    """Make each version's folder out of one of the sets, with a manifest of its own."""
    from engine.model.adapter_files import write_manifest
    from engine.model.loading import base_fingerprint

    fingerprint, kinds = base_fingerprint(base), sorted(sets.iterdir())
    for number, adapter in enumerate(versions):
        place = Path(adapter.path)
        place.mkdir(parents=True)
        for file in kinds[number % len(kinds)].iterdir():
            os.link(file, place / file.name)
        write_manifest(place, version=adapter.version, base_fingerprint=fingerprint, base_model=base)


def page(result: dict[str, Any]) -> str:
    """Return what was found as tables; seconds and MiB."""
    phases, failures = result["phases"], result["failures"]
    lines = [
        headline(result),
        f"{result['streams']} streams of up to {result['tokens']} tokens; load after {result['load_after']}",
        "",
        table(
            [
                "",
                "phases",
                "swaps",
                "answers",
                "failed",
                "pieces/s",
                "first ms",
                "gap p50 ms",
                "p99",
                "longest",
            ],
            (_row(name, own) for name, own in _kinds(phases).items()),
        ),
        "",
        f"longest gap with swaps to without: {ratio(phases):.2f} (goal 1.5; medians of the phases' longest)",
        f"failed: {'; '.join(failures) or 'none'}",
        "",
        table(
            ["a swap takes", "median s", "slowest s"],
            (
                [told, round(statistics.median(result[key]), 3), max(result[key])]
                for told, key in (
                    ("until the new version answers", "switched"),
                    ("until the old one is gone", "gone"),
                )
            ),
        ),
        "",
        table(["after swap", "engine MiB"], memory(result["rss_mb"])),
    ]
    return "\n".join(lines)


def _kinds(phases: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    return {
        "without": [each for each in phases if not each["swaps"]],
        "with swaps": [each for each in phases if each["swaps"]],
    }


def _row(name: str, phases: Sequence[dict[str, Any]]) -> list[object]:
    sums = [sum(each[key] for each in phases) for key in ("swaps", "answers", "failed")]
    speed, *times = (
        statistics.median(each[key] for each in phases)
        for key in ("pieces_a_second", "first_p50", "gap_p50", "gap_p99", "gap_longest")
    )
    return [name, len(phases), *sums, round(speed, 1), *(round(1000 * each) for each in times)]


def ratio(phases: Sequence[dict[str, Any]]) -> float:
    """Return how many times longer the longest gap is with swaps, by the medians of the phases."""
    plain, swapped = (
        statistics.median(each["gap_longest"] for each in own) for own in _kinds(phases).values()
    )
    return float(swapped / plain)


def memory(rss: Sequence[int]) -> Iterator[list[int]]:
    """Yield what the engine held after some of the swaps."""
    for number in sorted({1, *MEMORY_AT, len(rss)}):
        if number <= len(rss):
            yield [number, rss[number - 1]]


if __name__ == "__main__":
    main()
