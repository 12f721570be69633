"""How fresh what a night learns is: datasets of many nights on a replayed log, without training any.

    python -m benchmarks.bench_freshness PATHS --from 2023-03-01 --nights 30 [--days 180] [--json OUT]

Each night is prepared by the product's own code, noted as promoted, and the next one starts from it. Says for
each night how old the newest learned message is, and what share of yesterday's messages that may be learned
and are not held out are targets. Chat older than ``--days`` before the first night is left out, as retention
would.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

from ledger.clock import to_ms  # noqa: E402
from ledger.settings import Settings, load_settings  # noqa: E402
from ledger.store import Ledger  # noqa: E402
from nights import ReplayClock  # noqa: E402
from replayed_chat import ReplayedChat  # noqa: E402
from trainer.builders import base_of, dataset_limits_of  # noqa: E402
from trainer.evaluating.toxicity import toxicity_of  # noqa: E402
from trainer.preparing.dataset import Origin, Prepared, prepare  # noqa: E402
from trainer.scoring.encoded_rows import token_lengths  # noqa: E402


async def nights(chat: ReplayedChat, settings: Settings, count: int, folder: Path) -> list[dict[str, Any]]:
    """Prepare the nights one after another; return a row for each."""
    found = []
    version: str | None = None
    for night in range(count):
        async with Ledger.open(folder / "ledger.db", clock=ReplayClock(chat.morning(night))) as ledger:
            await ledger.guilds.ensure(chat.guild_id, chat.guild_name)
            for channel in chat.channels:
                await ledger.channels.ensure(channel.id, chat.guild_id, channel.name)
            await ledger.people.ensure_many(
                chat.guild_id,
                [(n, name, n in chat.bots) for n, name in {**chat.names, **chat.bots}.items()],
            )
            await ledger.messages.add_many(chat.day(night))
            done = await prepare(
                ledger,
                chat.guild_id,
                folder / "set",
                dataset_limits_of(settings),
                bot_name=settings.bot.name,
                origin=await _origin(ledger, version),
                measure=partial(token_lengths, base_of(settings)),
                toxicity=toxicity_of,
            )
            version = await _promoted(ledger, chat.guild_id, done, version, folder)
            found.append(_row(night, done.counts, to_ms(chat.morning(night))))
            print(json.dumps(found[-1]), flush=True)
    return found


async def _origin(ledger: Ledger, version: str | None) -> Origin:
    if version is None:
        return Origin()
    async with ledger.reader.execute(
        "SELECT r.created_at FROM runs r JOIN adapters a ON a.run_id = r.id WHERE a.version = ?", (version,)
    ) as cursor:
        [row] = [row async for row in cursor]
    return Origin(version, int(row["created_at"]), in_use=(version,))


async def _promoted(ledger: Ledger, guild: int, done: Prepared, parent: str | None, folder: Path) -> str:
    """Note the night as one whose version serves."""
    run = await ledger.runs.create(guild, "benchmark")
    await ledger.runs.learned_from(run.id, done.learned_from, roles=done.roles)
    made = await ledger.adapters.reserve(
        guild, run.id, adapters_dir=str(folder), base_model="none", parent=parent
    )
    await ledger.promotions.promote(guild, made.version, by="benchmark", run=run.id)
    return made.version


def _row(night: int, counts: Mapping[str, Any], now: int) -> dict[str, Any]:
    waiting = counts["left_out"].get("beyond the night's budget", 0)
    learned = counts["new_replies_learned"]
    return {
        "night": night,
        "age_hours": round((now - counts["newest_learned_at"]) / 3_600_000, 2),
        "new_learned": learned,
        "new_waiting": waiting,
        "share": round(learned / (learned + waiting), 4) if learned + waiting else None,
        "tokens": counts["train_tokens_planned"],
        "exam": counts["test_replies"],
        "fresh": counts["fresh_replies"],
        "quarantined": counts["quarantined_people"],
    }


def main() -> None:
    """Prepare all nights; print one JSON line each and a summary."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("paths", nargs="+", type=Path)
    parser.add_argument("--from", dest="first", required=True)
    parser.add_argument("--nights", type=int, default=30)
    parser.add_argument("--days", type=int, default=180)
    parser.add_argument("--config", type=Path, default=Path("config.cpu.toml"))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    first = datetime.fromisoformat(f"{options.first}T03:00:00").replace(tzinfo=UTC)
    with tempfile.TemporaryDirectory() as scratch:
        chat = asyncio.run(ReplayedChat.read(options.paths, Path(scratch) / "source", first=first, seed=20))
        oldest = to_ms(first - timedelta(days=options.days))
        chat = replace(chat, messages=[m for m in chat.messages if m.created_at >= oldest])
        rows = asyncio.run(nights(chat, load_settings(options.config), options.nights, Path(scratch)))
    later = rows[1:]
    summary = {
        "nights": len(rows),
        "younger_than_a_day": sum(row["age_hours"] < 24 for row in rows),
        "least_share": min(row["share"] for row in later if row["share"] is not None),
        "mean_share": round(
            sum(row["new_learned"] for row in later)
            / sum(row["new_learned"] + row["new_waiting"] for row in later),
            4,
        ),
        "mean_exam_replies": round(sum(row["exam"] for row in rows) / len(rows), 1),
    }
    print(json.dumps(summary))
    if options.json:
        options.json.write_text(json.dumps({"summary": summary, "nights": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
