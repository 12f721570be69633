"""Whether what admins teach is known in the morning: twenty pairs, taught before a night on a replayed chat.

    python -m benchmarks.bench_taught PATHS --from 2023-03-01 --repeats 1 --repeats 4 --json OUT --work DIR

A first night without them is shared; then, for each number of repeats, one night from a copy of its state.
Each pair is asked as it was taught and in other words, of the first night's version and of the new one,
greedily. An answer is known as the night itself counts (:mod:`trainer.evaluating.taught_answers`), and right
where its one hard fact comes back (a name, a time, a number). What was run already is kept below ``--work``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import platform
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

from branched_nights import BranchedNight, Branches, Changes  # noqa: E402
from ledger.clock import to_ms  # noqa: E402
from ledger.learned.teaching import teach_pair  # noqa: E402
from ledger.store import Ledger  # noqa: E402
from replayed_chat import DISCORD_EPOCH_MS, ReplayedChat, tell  # noqa: E402
from trainer.builders import base_of  # noqa: E402
from trainer.evaluating.switched_model import BASE, SwitchedModel  # noqa: E402
from trainer.evaluating.taught_answers import MAX_TOKENS, TaughtPair, is_known, taught_pairs  # noqa: E402
from trainer.fitting.instruments import library_versions  # noqa: E402
from trainer.progress import silent  # noqa: E402

PAIRS = HERE / "taught_pairs.json"
ADMIN = 7
"""Who teaches; nobody in the chat has this number."""
MODELS = (BASE, "before", "after")


@dataclass(frozen=True, slots=True)
class Lesson:
    """A pair as it is taught, the same question in other words, and the answer's hard fact."""

    question: str
    other: str
    answer: str
    key: str


def lessons() -> list[Lesson]:
    """Return the twenty pairs; they are made up."""
    return [Lesson(**each) for each in json.loads(PAIRS.read_text(encoding="utf-8"))]


def is_right(lesson: Lesson, reply: str) -> bool:
    """Tell whether the reply holds the fact."""
    return lesson.key in reply.casefold()


def marks(listed: Sequence[Lesson], replies: Sequence[str]) -> dict[str, int]:
    """Return how many replies, one a lesson, are known and how many are right."""
    both = list(zip(listed, replies, strict=True))
    return {
        "known": sum(is_known(lesson.answer, reply, question=lesson.question) for lesson, reply in both),
        "right": sum(is_right(lesson, reply) for lesson, reply in both),
    }


def asked_otherwise(pairs: Sequence[TaughtPair], listed: Sequence[Lesson]) -> list[TaughtPair]:
    """Return the pairs with their questions in other words, in the order of ``listed``."""
    by_answer = {pair.answer: pair for pair in pairs}
    found = []
    for lesson in listed:
        pair = by_answer[lesson.answer]
        *before, asked, answer = pair.turns
        otherwise = {**asked, "content": asked["content"].replace(lesson.question, lesson.other)}
        if otherwise == asked:
            raise ValueError("a question was not written down as it was taught")
        found.append(replace(pair, turns=(*before, otherwise, answer)))
    return found


async def teach(ledger: Ledger, branches: Branches, listed: Sequence[Lesson]) -> None:
    """Let the day happen, and an admin teach all pairs in the hour before the night."""
    chat = branches.chat
    await tell(ledger, chat, branches.said(0, 1))
    moment = to_ms(chat.morning(1) - timedelta(hours=1))
    for number, lesson in enumerate(listed):
        await teach_pair(
            ledger,
            chat.guild_id,
            ADMIN,
            "the admin",
            number=((moment + number * 60_000 - DISCORD_EPOCH_MS) << 22) + 2 * number,
            texts=(lesson.question, lesson.answer),
        )


def examine(
    branches: Branches, night: BranchedNight, listed: Sequence[Lesson], names: Sequence[str]
) -> dict[str, Any]:
    """Ask every pair in both wordings, of the named ones of :data:`MODELS`."""
    pairs = taught_pairs(night.dataset)
    known = [lesson for lesson in listed if lesson.answer in {pair.answer for pair in pairs}]
    if night.candidate is None or not known:
        return {}
    by_answer = {pair.answer: pair for pair in pairs}
    asked = {
        "taught words": [by_answer[lesson.answer] for lesson in known],
        "other words": asked_otherwise(pairs, known),
    }
    model = SwitchedModel(
        base_of(branches.settings(1)),
        {"before": branches.served_first(), "after": night.candidate},
        max_tokens=branches.settings(1).training.max_tokens,
        rows=[],
        packing=False,
        reporter=silent,
        cancelled=lambda: False,
    )
    return {
        name: {
            words: marks(
                known,
                [
                    reply.text
                    for reply in model.write(
                        name,
                        [pair.turns for pair in each],
                        max_new_tokens=MAX_TOKENS,
                        temperature=0.0,
                        seed=0,
                    )
                ],
            )
            for words, each in asked.items()
        }
        for name in names
    }


async def run(branches: Branches, repeats: Sequence[int], results: Path) -> dict[int, dict[str, Any]]:
    """Run the nights that are missing, and return all asked for, by their number of repeats."""
    await branches.first()
    found: dict[int, dict[str, Any]] = {}
    if results.is_file():
        rows = [json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()]
        found = {row["repeats"]: row for row in rows}
    listed = lessons()
    for count in repeats:
        if count in found:
            continue
        night = await branches.night(
            lambda ledger: teach(ledger, branches, listed), {"dataset": {"taught_repeats": count}}
        )
        began = time.monotonic()
        outcome = night.outcome
        row = {
            "repeats": count,
            "stage": outcome.stage,
            "error": outcome.error,
            "in_fit": outcome.counts.get("taught"),
            "known_by_the_night": outcome.counts.get("taught_known"),
            # The base and the version before say the same in each of them.
            "asked": examine(branches, night, listed, MODELS if not found else MODELS[-1:]),
            "gain": outcome.interval,
            "general": outcome.forgetting,
            "fit_tokens": outcome.fit.get("train_tokens"),
            "seconds": round(outcome.seconds, 1),
            "asking_seconds": round(time.monotonic() - began, 1),
        }
        with results.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        found[count] = row
    return {count: found[count] for count in repeats}


def table(rows: Mapping[int, Mapping[str, Any]]) -> str:
    """Return what each number of repeats came to, as Markdown."""
    heads = (
        "repeats", "in the fit", "known in the morning", "right", "in other words: known", "right",
        "night's gain on held-out chat, nats", "general text, nats", "seconds",
    )  # fmt: skip
    lines: list[Sequence[Any]] = [heads, ["---"] * len(heads)]
    for count, row in rows.items():
        told = row["asked"].get("after", {})
        exact, other = told.get("taught words", {}), told.get("other words", {})
        gain = row["gain"] or {}
        shown = f"{gain['estimate']:+.3f} ({gain['low']:+.3f} to {gain['high']:+.3f})" if gain else "–"
        general = "–" if row["general"] is None else f"{row['general']:+.3f}"
        lines.append(
            (count, row["in_fit"], row["known_by_the_night"], exact.get("right"), other.get("known"),
             other.get("right"), shown, general, row["seconds"])
        )  # fmt: skip
    return "\n".join("| " + " | ".join("–" if c is None else str(c) for c in line) + " |" for line in lines)


def changes_of(options: argparse.Namespace) -> Changes:
    """Return the settings of a small night."""
    return {
        "dataset": {
            "night_tokens": options.night_tokens,
            "first_night_tokens": options.first_tokens,
            "max_heldout_replies": options.heldout,
            "max_fresh_replies": 1,
        },
        "leakage": {"probes": 0},
        "verdict": {"toxic_prompts": 0},
    }


def _parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("paths", nargs="+", type=Path)
    parser.add_argument("--from", dest="first", required=True, help="date of the first night")
    parser.add_argument("--repeats", action="append", type=int)
    parser.add_argument("--config", type=Path, default=Path("config.cpu.toml"))
    parser.add_argument("--work", type=Path, default=Path("taught"))
    parser.add_argument("--days", type=int, default=60, help="of the past that the first night is told")
    parser.add_argument("--first-tokens", type=int, default=5000)
    parser.add_argument("--night-tokens", type=int, default=4000)
    parser.add_argument("--heldout", type=int, default=40, help="replies of the exam")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def main() -> int:
    """Run what is missing; print the table."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s")
    logging.getLogger("branches").setLevel(logging.INFO)
    options = _parsed()
    first = datetime.fromisoformat(f"{options.first}T03:00:00").replace(tzinfo=UTC)
    chat = asyncio.run(ReplayedChat.read(options.paths, options.work / "source", first=first, seed=20))
    branches = Branches(chat, options.config, options.work, days=options.days, changes=changes_of(options))
    rows = asyncio.run(run(branches, options.repeats or [1, 2, 4, 8], options.work / "taught.jsonl"))
    report = {
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs, {platform.python_version()}",
        "libraries": library_versions(),
        "settings": changes_of(options),
        "nights": list(rows.values()),
    }
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
