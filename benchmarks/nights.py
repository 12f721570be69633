"""Many nights on a server's logged past: what was served, how well it guessed the next day, and what it cost.

    python -m benchmarks.nights PATHS --from 2023-03-01 --nights 30 --recipe grow --recipe window --json OUT

Chat is told again day by day, with deletions on the way, and each night is the product's own, on a clock that
the replay moves. A replay that was killed goes on where it was: its state is below ``--work``. The first
night, on everything said before, is the same for all recipes and run once. The next-day figures are those
that the night itself measures before it learns anything; quiz, general text and the table of days are
measured beside it. ``--json`` gets all figures and no text, ``--plot`` a picture; a table goes to stdout.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import platform
import resource
import shutil
import sqlite3
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

from ledger.clock import to_ms  # noqa: E402
from ledger.forgetting.by_settings import forgetting_of  # noqa: E402
from ledger.settings import Settings  # noqa: E402
from ledger.store import Ledger  # noqa: E402
from night_measures import Measures, read_day  # noqa: E402
from night_page import plot, summary, table  # noqa: E402
from night_recipes import RECIPES, NightRecipe, settings_of  # noqa: E402
from replayed_chat import FACTS_A_DAY, ReplayedChat, facts, tell  # noqa: E402
from trainer.builders import base_of, plan_of  # noqa: E402
from trainer.fitting.instruments import library_versions  # noqa: E402
from trainer.nights.night import Night  # noqa: E402
from trainer.progress import StageProgress  # noqa: E402

FORGOTTEN_AFTER = 10
"""Nights after which the quiz asks again."""
ANCHORS = 4
"""How many versions, spread over the nights, are measured on general text and on each other's days."""
log = logging.getLogger("nights")


class ReplayClock:
    """The clock of the replay."""

    def __init__(self, moment: datetime) -> None:
        self.moment = moment

    def now(self) -> datetime:
        """Return the replayed time."""
        return self.moment


class Replay:
    """One recipe's nights."""

    def __init__(
        self, name: str, recipe: NightRecipe, chat: ReplayedChat, options: argparse.Namespace
    ) -> None:
        self.name, self._recipe, self._chat, self._options = name, recipe, chat, options
        self.root = options.work / name
        self._log = self.root / "nights.jsonl"

    def _settings(self, night: int) -> Settings:
        # The first night is everybody's.
        recipe = self._recipe if night else RECIPES["grow"]
        return settings_of(
            recipe, self._options.config, self.root, night=night, quick=not self._options.whole
        )

    def done(self) -> list[dict[str, Any]]:
        """Return the nights that are over."""
        if not self._log.is_file():
            return []
        return [json.loads(line) for line in self._log.read_text(encoding="utf-8").splitlines()]

    async def run_next(self) -> None:
        """Run the first night that is missing."""
        if len(self.done()) == 1 and not self._first.is_dir():
            unfinished = self._first.with_name("first night.unfinished")
            shutil.rmtree(unfinished, ignore_errors=True)
            shutil.copytree(self.root, unfinished)
            unfinished.rename(self._first)
        self._share_first_night()
        self.root.mkdir(parents=True, exist_ok=True)
        night = len(self.done())
        settings = self._settings(night)
        async with Ledger.open(settings.database, clock=ReplayClock(self._chat.morning(night))) as ledger:
            await self._tell(ledger, settings, night)
            found = await self._night(ledger, settings, night)
        with self._log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(found) + "\n")
        log.info("%s, night %d: %s", self.name, night, _line(found))

    @property
    def _first(self) -> Path:
        return Path(self._options.work) / "first night"

    def _share_first_night(self) -> None:
        """Begin with another recipe's first night: it has none of what recipes differ in."""
        if self.root.is_dir() or not self._first.is_dir():
            return
        unfinished = self.root.with_name(f"{self.name}.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        shutil.copytree(self._first, unfinished)
        # The ledger knows versions by their folders.
        with closing(sqlite3.connect(unfinished / "data" / "ledger.db")) as ledger:
            for version, path in ledger.execute("SELECT version, path FROM adapters").fetchall():
                below = Path(path).relative_to(Path(path).parents[3])
                folder = str(self.root.resolve() / below)
                ledger.execute("UPDATE adapters SET path = ? WHERE version = ?", (folder, version))
            ledger.commit()
        unfinished.rename(self.root)

    async def _tell(self, ledger: Ledger, settings: Settings, night: int) -> None:
        """Let the day happen: what was said, and what was taken back. A second time it changes nothing."""
        chat = self._chat
        await tell(ledger, chat, chat.day(night))
        forgetting = forgetting_of(settings, ledger)
        for message in chat.taken_back(night):
            await forgetting.messages(chat.guild_id, [message], asked_by="discord")
        if (leaver := chat.leaver(night)) is not None:
            await forgetting.person(chat.guild_id, leaver, asked_by="member")

    async def _night(self, ledger: Ledger, settings: Settings, night: int) -> dict[str, Any]:
        chat = self._chat
        forgetting = forgetting_of(settings, ledger)
        began = time.monotonic()
        stages = StageTimes()
        before = await ledger.adapters.champion(chat.guild_id)
        served_before = before.version if before else None
        outcome = await Night(
            ledger,
            plan_of(settings),
            chat.guild_id,
            forgetting=forgetting,
            trigger="benchmark",
            reporter=stages,
            sampled_replies=12 if self._options.whole else 4,
        ).run()
        await forgetting.sweep()
        champion = await ledger.adapters.champion(chat.guild_id)
        done = self.done()
        last = done[-1] if done else None
        versions = {"served": Path(champion.path)} if champion else {}
        if champion:
            self._keep(Path(champion.path), settings.datasets_dir / outcome.run, night)
        if outcome.candidate and outcome.candidate != (champion.version if champion else None):
            kept = await ledger.adapters.require(chat.guild_id, outcome.candidate)
            versions |= {"candidate": Path(kept.path)} if Path(kept.path).is_dir() else {}
        measures = Measures(
            base_of(settings), chat, bot_name=settings.bot.name, general=self._options.general
        )
        asked = {
            "next_morning": chat.facts_of(night),
            "ten_nights_later": chat.facts_of(night - FORGOTTEN_AFTER) if night > FORGOTTEN_AFTER else [],
        }
        return {
            "night": night,
            "date": chat.morning(night).date().isoformat(),
            "stage": outcome.stage,
            "error": outcome.error,
            "served": champion.version if champion else None,
            "served_before": served_before,
            "candidate": outcome.candidate,
            "parent": await _parent(ledger, outcome.candidate),
            "next_day": outcome.next_day,
            "per_conversation": await _conversations(ledger, outcome.run, "fresh", served_before),
            "last_nights_choice": await self._looking_back(ledger, measures, settings, outcome.run, last),
            "exam": await _exam(ledger, outcome.run, outcome.candidate, served_before),
            "scores": outcome.scores,
            "interval": outcome.interval,
            "forgetting": outcome.forgetting,
            "scale": outcome.scale,
            "counts": outcome.counts,
            "tokens": outcome.fit.get("train_tokens", 0),
            "fit_seconds": outcome.fit.get("seconds", 0.0),
            "seconds": round(outcome.seconds, 1),
            "stage_seconds": stages.seconds(),
            "measuring_seconds": round(time.monotonic() - began - outcome.seconds, 1),
            "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            "age_hours": _age(outcome.counts, chat.morning(night)),
            "quiz": {when: measures.quiz(versions, known) for when, known in asked.items() if known},
        }

    async def _looking_back(
        self,
        ledger: Ledger,
        measures: Measures,
        settings: Settings,
        run: str,
        last: Mapping[str, Any] | None,
    ) -> dict[str, Any] | None:
        """Return what last night's other choice would have scored on the day since, beside what served."""
        if last is None or not last["candidate"]:
            return None
        if last["stage"] == "promoted":
            other = await _conversations(ledger, run, "fresh", last["served_before"])
        else:
            adapter = await ledger.adapters.get(self._chat.guild_id, last["candidate"])
            rows = read_day(settings.datasets_dir / run, base_of(settings), settings.training.max_tokens)
            known = adapter is not None and Path(adapter.path).is_dir() and bool(rows)
            other = measures.conversations(Path(adapter.path), rows) if adapter and known else []
        return {"stage": last["stage"], "other": other}

    def _keep(self, path: Path, dataset: Path, night: int) -> None:
        """Copy a version and its day, which later measures need: retention and forgetting may delete them."""
        if night in self.anchors(self._options.nights):
            folder = self.root / "anchors" / str(night)
            shutil.copytree(path, folder, dirs_exist_ok=True)
            for name in ("fresh.jsonl", "manifest.json"):
                if night and (dataset / name).is_file():
                    (folder / "day").mkdir(exist_ok=True)
                    shutil.copy(dataset / name, folder / "day" / name)

    @staticmethod
    def anchors(nights: int) -> list[int]:
        """Return the nights whose versions are measured on each other's days."""
        return sorted({round(at * (nights - 1) / (ANCHORS - 1)) for at in range(ANCHORS)})

    def measure(self, nights: int) -> dict[str, Any]:
        """Measure the anchors on general text, and on each other's days."""
        anchors = {night: self.root / "anchors" / str(night) for night in self.anchors(nights)}
        kept = {f"night {night}": folder for night, folder in anchors.items() if folder.is_dir()}
        file = self.root / f"anchors-{nights}.json"
        if kept and not file.is_file():
            settings = self._settings(0)
            measures = Measures(
                base_of(settings), self._chat, bot_name=settings.bot.name, general=self._options.general
            )
            days = {
                night: rows
                for night, folder in anchors.items()
                if (rows := read_day(folder / "day", base_of(settings), settings.training.max_tokens))
            }
            measured = {"text": measures.forgetting(kept), "days": measures.days(kept, days) if days else {}}
            file.write_text(json.dumps(measured), encoding="utf-8")
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        return found


class StageTimes:
    """Notes when each stage of a night was first heard of."""

    def __init__(self) -> None:
        self._began: dict[str, float] = {}

    def __call__(self, done: StageProgress) -> None:
        """Take one step of a night."""
        self._began.setdefault(done.stage, time.monotonic())

    def seconds(self) -> dict[str, float]:
        """Return how long each stage took, up to the next one's first sign."""
        times = [*self._began.values(), time.monotonic()]
        return {stage: round(times[at + 1] - times[at], 1) for at, stage in enumerate(self._began)}


async def _parent(ledger: Ledger, version: str | None) -> str | None:
    if version is None:
        return None
    lineage = await ledger.lineage.versions(version)
    return lineage[1] if len(lineage) > 1 else None


async def _conversations(ledger: Ledger, run: str, exam: str, version: str | None) -> list[list[float]]:
    """Return [base nats, the version's nats, tokens] of each conversation of an exam, for intervals."""
    async with ledger.reader.execute(
        "SELECT b.nll AS base, c.nll AS served, b.tokens AS tokens FROM conversation_scores b"
        " JOIN conversation_scores c ON c.run_id = b.run_id AND c.exam = b.exam"
        " AND c.conversation = b.conversation"
        " WHERE b.run_id = ? AND b.exam = ? AND b.model LIKE 'base %' AND c.model = ? AND b.conversation > 0"
        " ORDER BY b.conversation",
        (run, exam, version),
    ) as cursor:
        return [[round(row[0], 4), round(row[1], 4), row[2]] async for row in cursor]


async def _exam(
    ledger: Ledger, run: str, candidate: str | None, served: str | None
) -> dict[str, list[list[float]]]:
    """Return what candidate and champion scored in the exam, conversation by conversation."""
    return {
        "candidate": await _conversations(ledger, run, "test", candidate),
        "served": await _conversations(ledger, run, "test", served),
    }


def _age(counts: Mapping[str, Any], morning: datetime) -> float | None:
    """Return how many hours before the night the newest learned message was written."""
    newest = counts.get("newest_learned_at")
    return None if newest is None else round((to_ms(morning) - int(newest)) / 3_600_000, 2)


def _line(night: Mapping[str, Any]) -> str:
    told = night["next_day"]
    gain = f"{told['served_nll'] - told['base_nll']:+.3f}" if told else "-"
    return f"{night['stage']}, next day {gain}, {night['tokens']} tokens, {night['seconds']:.0f} s"


def _parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("paths", nargs="+", type=Path)
    parser.add_argument("--from", dest="first", required=True, help="date of the first night")
    parser.add_argument("--nights", type=int, default=30)
    parser.add_argument("--recipe", action="append", choices=sorted(RECIPES), dest="recipes")
    parser.add_argument("--config", type=Path, default=Path("config.cpu.toml"))
    parser.add_argument("--work", type=Path, default=Path("nights"))
    parser.add_argument("--general", type=Path, help="a text of general English")
    parser.add_argument("--seed", type=int, default=20)
    parser.add_argument("--whole", action="store_true", help="all samples and probes of a real night")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path, help="a picture of the nights, as PNG")
    return parser.parse_args()


def _read_chat(options: argparse.Namespace) -> ReplayedChat:
    first = datetime.fromisoformat(f"{options.first}T03:00:00").replace(tzinfo=UTC)
    return asyncio.run(
        ReplayedChat.read(options.paths, options.work / "source", first=first, seed=options.seed)
    )


def _next_night(name: str, options: argparse.Namespace) -> None:
    """Run one night in this process."""
    _log_progress()
    asyncio.run(Replay(name, RECIPES[name], _read_chat(options), options).run_next())


def _log_progress() -> None:
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s")
    log.setLevel(logging.INFO)


def main() -> int:
    """Run what is missing; print the table."""
    _log_progress()
    options = _parsed()
    chat = _read_chat(options)
    if options.nights > chat.last_night:
        print(f"The log ends {chat.last_night} nights after {options.first}.", file=sys.stderr)
        return 1
    found: dict[str, Any] = {}
    for name in options.recipes or ["grow"]:
        replay = Replay(name, RECIPES[name], chat, options)
        if RECIPES[name].runs:
            for _ in range(len(replay.done()), options.nights):
                # Each night in a process of its own, as the bot starts them: libraries keep what they loaded.
                with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                    pool.submit(_next_night, name, options).result()
        found[name] = {"nights": replay.done(), "anchors": replay.measure(options.nights)}
    report = {
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.machine()}, {platform.python_version()}",
        "libraries": library_versions(),
        "from": options.first,
        "facts": len(facts()),
        "facts_a_day": FACTS_A_DAY,
        "recipes": {name: {"what": RECIPES[name].what, **summary(found[name])} for name in found},
        "nights": found,
    }
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    if options.plot:
        plot(found, options.plot)
    print(table(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
