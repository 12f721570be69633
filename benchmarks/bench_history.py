"""What a long history costs a night and a deletion: ledgers of growing size, the same new day in each.

    python -m benchmarks.bench_history PATH [--messages 20000 200000 2000000] [--keep FOLDER] [--json OUT]

The histories have the authors, times, lengths and word frequencies of the exports at ``PATH``, told in
``--channels`` channels at once, as often as the size asks for; their words are drawn anew, so that nothing is
a copy. Prepares the same night in each (``--night-tokens``), with the base as it starts, deletes one message
and opens the file; each in a process of its own, whose CPU time and peak memory count.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

from ledger.clock import to_ms  # noqa: E402
from ledger.forgetting.deletion_path import Forgetting  # noqa: E402
from ledger.people.policy import declared  # noqa: E402
from ledger.records import Message  # noqa: E402
from ledger.settings import load_settings  # noqa: E402
from ledger.store import Ledger  # noqa: E402
from replayed_chat import ReplayedChat  # noqa: E402
from trainer.builders import dataset_limits_of  # noqa: E402
from trainer.preparing.dataset import prepare  # noqa: E402

NOW = datetime(2026, 11, 30, 3, tzinfo=UTC)
GUILD = 7
BASIS = declared("benchmark of histories")
BATCH = 20_000


class Stopped:
    """A clock that stands still."""

    def now(self) -> datetime:
        """Return the moment of all measurements."""
        return NOW


MINUTE_MS = 60_000
DISCORD_EPOCH_MS = 1_420_070_400_000


def history(source: Sequence[Message], size: int, channels: int) -> list[list[Message]]:
    """Return ``size`` messages that end now, in batches: ``source`` over and over, its words drawn anew."""
    order = random.Random(size)
    counts = Counter(word for message in source for word in message.content.split())
    words, weights = list(counts), list(counts.values())
    first, last = source[0].created_at, source[-1].created_at
    now = to_ms(NOW)
    batches: list[list[Message]] = []
    pool: list[str] = []
    made = 0
    for turn in range(size // (len(source) * channels) + 1):
        for channel in range(channels):
            # Channels are hours apart, so that they do not speak in step.
            shift = now - MINUTE_MS - last - turn * (last - first) - channel * 7 * 60 * MINUTE_MS
            share = source[-min(size // channels - turn * len(source), len(source)) :]
            batch = []
            ids: dict[int, int] = {}
            for message in share:
                if len(pool) < 1000:
                    pool = order.choices(words, weights, k=500_000)
                at = message.created_at + shift
                count = len(message.content.split())
                ids[message.id] = ((at - DISCORD_EPOCH_MS) << 22) + made
                batch.append(
                    replace(
                        message,
                        id=ids[message.id],
                        guild_id=GUILD,
                        channel_id=100 + channel,
                        content=" ".join(pool.pop() for _ in range(count)) or "ok",
                        created_at=at,
                        reply_to=ids.get(message.reply_to or 0),
                        edited_at=None,
                        imported_at=None,
                        source="import",
                        basis=BASIS,
                    )
                )
                made += 1
            batches.append(batch)
    return batches


async def fill(path: Path, source: Sequence[Message], size: int, channels: int) -> None:
    """Write a ledger of ``size`` messages."""
    async with Ledger.open(path, clock=Stopped(), scrubbing=False) as ledger:
        await ledger.guilds.ensure(GUILD, "History")
        for channel in range(channels):
            await ledger.channels.ensure(100 + channel, GUILD, f"channel-{channel}")
        names = {message.author_id: message.author_name for message in source}
        await ledger.people.ensure_many(GUILD, [(number, name, False) for number, name in names.items()])
        for batch in history(source, size, channels):
            for start in range(0, len(batch), BATCH):
                await ledger.messages.add_many(batch[start : start + BATCH])


def measured(work: Any, *given: Any) -> dict[str, Any]:
    """Return what ``work`` took in a process of its own: seconds, CPU seconds and megabytes at most."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return dict(pool.apply(_timed, (work, *given)))


def _timed(work: Any, *given: Any) -> dict[str, Any]:
    # What getrusage calls the peak is at least that of the process that started this one.
    Path("/proc/self/clear_refs").write_text("5")
    before, began = time.process_time(), time.perf_counter()
    found = asyncio.run(work(*given))
    return {
        **found,
        "seconds": round(time.perf_counter() - began, 3),
        "cpu": round(time.process_time() - before, 3),
        "peak_mb": _peak_mb(),
    }


def _peak_mb() -> int:
    """Return the most memory that this process has held, in MiB (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM:"))


async def opened(path: Path) -> dict[str, Any]:
    """Open the ledger."""
    async with Ledger.open(path, clock=Stopped()):
        return {}


async def prepared(path: Path, tokens: int) -> dict[str, Any]:
    """Prepare tonight's dataset."""
    limits = dataset_limits_of(load_settings(HERE.parent / "config.toml"))
    limits = replace(limits, night_tokens=tokens, first_night_tokens=tokens)
    async with Ledger.open(path, clock=Stopped()) as ledger:
        done = await prepare(ledger, GUILD, path.parent / "set", limits, bot_name="Nightschool")
    return {name: count for name, count in done.counts.items() if name.endswith(("_replies", "_read"))}


async def deleted(path: Path) -> dict[str, Any]:
    """Delete the newest message but nine."""
    async with Ledger.open(path, clock=Stopped()) as ledger:
        async with ledger.reader.execute(
            "SELECT id FROM messages ORDER BY id DESC LIMIT 1 OFFSET 9"
        ) as cursor:
            [row] = [row async for row in cursor]
        forgetting = Forgetting(ledger, datasets_dir=path.parent / "data", runs_dir=path.parent / "runs")
        began = time.perf_counter()
        await forgetting.messages(GUILD, [int(row["id"])], asked_by="benchmark")
        return {"path_seconds": round(time.perf_counter() - began, 3)}


def main() -> None:
    """Measure each size; print a row for each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("paths", nargs="+", type=Path)
    parser.add_argument("--messages", nargs="+", type=int, default=[20_000, 200_000, 2_000_000])
    parser.add_argument("--channels", type=int, default=10)
    parser.add_argument("--night-tokens", type=int, default=100_000)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.keep or Path(scratch)
        source: Sequence[Message] = []
        for size in options.messages:
            path = folder / f"{size}.db"
            if not path.is_file():
                source = (
                    source
                    or asyncio.run(
                        ReplayedChat.read(options.paths, Path(scratch) / "source", first=NOW, seed=1)
                    ).messages
                )
                folder.mkdir(parents=True, exist_ok=True)
                path.with_suffix(".part").unlink(missing_ok=True)
                asyncio.run(fill(path.with_suffix(".part"), source, size, options.channels))
                path.with_suffix(".part").rename(path)
            for name, work, *given in (
                ("open", opened),
                ("prepare", prepared, options.night_tokens),
                ("prepare again", prepared, options.night_tokens),
                ("delete", deleted),
            ):
                rows.append({"messages": size, "what": name, **measured(work, path, *given)})
                print(json.dumps(rows[-1]), flush=True)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
