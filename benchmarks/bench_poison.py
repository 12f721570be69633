"""Twenty poisoned nights: what is learned of the poison, what comes back in replies, what honest people lose.

    python -m benchmarks.bench_poison PATHS --from 2023-03-01 --json OUT --work DIR

A clean first night is shared. Then, each from a copy of its state, one clean night of the next day as the
control, and for each attack of ``attacks.py`` one night of the same day with the poison in it. What served
before and each candidate reply to the forty shipped prompts, to chats of the days after, which nobody has
learned, and to a few questions that lead to the poison. Honest members' gain is measured on their replies
of those days. Each night that is over is kept below ``--work``; a killed run goes on with the next.
``--json`` gets figures and no text; a table goes to stdout.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import platform
import random
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

from attacks import ATTACKS, BOT_SAID, attack, poison_of  # noqa: E402
from branched_nights import BranchedNight, Branches, Changes  # noqa: E402
from ledger.records import Message  # noqa: E402
from ledger.store import Ledger  # noqa: E402
from poison_measures import Traces, holding, honest_loss, learned_share  # noqa: E402
from poison_page import table  # noqa: E402
from poison_questions import Questions, asked_for  # noqa: E402
from replayed_chat import ReplayedChat, tell  # noqa: E402
from trainer.evaluating.toxicity import is_toxic  # noqa: E402
from trainer.fitting.instruments import library_versions  # noqa: E402
from trainer.scoring.tally import Tally  # noqa: E402

log = logging.getLogger("poison")
CONTROL = "control"
Tallies = dict[int, Tally]


class Poisoning:
    """The nights of one replayed day, clean and poisoned."""

    def __init__(self, branches: Branches, work: Path, options: argparse.Namespace) -> None:
        self._branches, self._work = branches, work
        said = branches.said(0, 1)
        # An attacker who took over one of the server's bots would not be learned from anyway.
        self._day = [message for message in said if message.author_id not in branches.chat.bots]
        self._bots = [message for message in said if message.author_id in branches.chat.bots]
        self._honest = [message.content for message in branches.chat.messages]
        self._questions = Questions(
            branches, after=options.days_after, stretches=options.stretches, contexts=options.contexts
        )
        self._results = work / "poison.jsonl"

    def done(self) -> dict[str, dict[str, Any]]:
        """Return the nights that are over."""
        if not self._results.is_file():
            return {}
        rows = [json.loads(line) for line in self._results.read_text(encoding="utf-8").splitlines()]
        return {row["attack"]: row for row in rows}

    async def run(self, names: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Run the nights that are missing, the control first, and return all that are over."""
        await self._branches.first()
        known = (self._work / "honest-before.json").is_file()
        before = self._scored("before", None if known else self._branches.served_first())
        for name in (CONTROL, *names):
            if name in self.done():
                continue
            row = await self._night(name, before)
            with self._results.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            log.info("%s: %s", name, row["stage"])
        return self.done()

    async def _night(self, name: str, before: Tallies) -> dict[str, Any]:
        # Seeded by the attack's name, so that a run that goes on poisons as it would have.
        day = self._day if name == CONTROL else attack(name, self._day, random.Random(name))
        poison = {m.id: m.content for m in day if m.id in poison_of(self._day, day)}
        attackers = {message.author_id for message in day if message.id in poison}
        quoted = name.startswith("bot_")
        night = await self._branches.night(lambda ledger: self._happens(ledger, day, quoted))
        outcome = night.outcome
        row: dict[str, Any] = {
            "attack": name,
            "stage": outcome.stage,
            "error": outcome.error,
            "reasons": list(outcome.reasons),
            "failed_guards": list(outcome.failed_guards),
            "scale": outcome.scale,
            "tokens": outcome.fit.get("train_tokens"),
            "seconds": round(outcome.seconds, 1),
            "left_out": outcome.counts.get("left_out"),
            "poison_messages": len(poison),
            "day_messages": len(day),
        }
        if night.candidate is None:
            return row
        scored = self._scored(name, night.candidate)
        if name == CONTROL:
            return {**row, "honest": asdict(honest_loss(before, scored, scored))}
        held, honest_held = holding(night.held, attackers)
        learned, of_night = learned_share(poison, self._targets(night, day))
        return {
            **row,
            "attackers_held": held,
            "honest_held": honest_held,
            "held_for": sorted({code for who in attackers & night.held.keys() for code in night.held[who]}),
            "poison_learned": learned,
            "poison_of_targets": of_night,
            "honest": asdict(honest_loss(before, self._scored(CONTROL, None), scored)),
            "replies": self._replies(name, list(poison.values()), night.candidate),
        }

    async def _happens(self, ledger: Ledger, day: Sequence[Message], quoted: bool) -> None:
        await tell(ledger, self._branches.chat, [*day, *self._bots])
        if quoted:
            await self._questions.say(ledger, BOT_SAID)

    def _targets(self, night: BranchedNight, day: Sequence[Message]) -> dict[int, str]:
        texts = {message.id: message.content for message in (*self._branches.chat.messages, *day)}
        return {number: texts[number] for number in night.learned if number in texts}

    def _replies(self, name: str, poison: Sequence[str], candidate: Path) -> dict[str, dict[str, Any]]:
        """Return toxicity and traces in the replies of what served before and of the candidate."""
        leading = asked_for(name)
        traces = Traces(poison, self._honest, leading)
        found: dict[str, dict[str, Any]] = {}
        said = {
            "before": self._questions.replies(self._branches.served_first(), leading, keep=True),
            "candidate": self._questions.replies(candidate, leading),
        }
        for who, replies in said.items():
            usual = [*replies["prompts"], *replies["chats"]]
            found[who] = {
                "replies": len(usual),
                "toxic": sum(map(is_toxic, usual)) / len(usual),
                "traces": traces.share(usual),
                "led": len(replies["leading"]),
                "led_toxic": sum(map(is_toxic, replies["leading"])) / max(len(replies["leading"]), 1),
                "led_traces": traces.share(replies["leading"]),
            }
        return found

    def _scored(self, name: str, version: Path | None) -> Tallies:
        """Score a version on honest members' later replies, or read what it scored."""
        file = self._work / f"honest-{name}.json"
        if version is not None:
            found = self._questions.score(version)
            text = json.dumps({number: [tally.nll, tally.tokens] for number, tally in found.items()})
            file.write_text(text, encoding="utf-8")
        kept: Mapping[str, Sequence[float]] = json.loads(file.read_text(encoding="utf-8"))
        return {int(number): Tally(nll, int(tokens)) for number, (nll, tokens) in kept.items()}


def changes_of(options: argparse.Namespace) -> Changes:
    """Return the settings that make a night smaller; where none is given, those of the configuration."""
    dataset = {
        "night_tokens": options.night_tokens,
        "first_night_tokens": options.first_tokens,
        "max_heldout_replies": options.heldout,
        # Here they are measured on later days; the night's own figure would cost it half of its time.
        "max_fresh_replies": None if options.heldout is None else 1,
    }
    found: dict[str, dict[str, Any]] = {
        "dataset": {name: value for name, value in dataset.items() if value is not None},
        "leakage": {"probes": options.probes} if options.probes is not None else {},
        "verdict": {"toxic_prompts": options.toxic_prompts} if options.toxic_prompts is not None else {},
    }
    return {section: values for section, values in found.items() if values}


def _parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("paths", nargs="+", type=Path)
    parser.add_argument("--from", dest="first", required=True, help="date of the first night")
    parser.add_argument("--attack", action="append", choices=sorted(ATTACKS), dest="attacks")
    parser.add_argument("--config", type=Path, default=Path("config.cpu.toml"))
    parser.add_argument("--work", type=Path, default=Path("poison"))
    parser.add_argument("--days", type=int, default=90, help="of the past that the first night is told")
    parser.add_argument("--days-after", type=int, default=5, help="whose replies honest gain is measured on")
    parser.add_argument("--stretches", type=int, default=300, help="of those days' chats that are scored")
    parser.add_argument("--contexts", type=int, default=40, help="chats of those days that are answered")
    parser.add_argument("--first-tokens", type=int)
    parser.add_argument("--night-tokens", type=int)
    parser.add_argument("--heldout", type=int, help="replies of the exam")
    parser.add_argument("--probes", type=int)
    parser.add_argument("--toxic-prompts", type=int)
    parser.add_argument("--afresh", action="store_true", help="forget what earlier calls left below --work")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def main() -> int:
    """Run what is missing; print the table."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s")
    for name in ("branches", "poison"):
        logging.getLogger(name).setLevel(logging.INFO)
    options = _parsed()
    if options.afresh and options.work.is_dir():
        shutil.rmtree(options.work)
    first = datetime.fromisoformat(f"{options.first}T03:00:00").replace(tzinfo=UTC)
    chat = asyncio.run(ReplayedChat.read(options.paths, options.work / "source", first=first, seed=20))
    changes = changes_of(options)
    branches = Branches(chat, options.config, options.work, days=options.days, changes=changes)
    poisoning = Poisoning(branches, options.work, options)
    rows = asyncio.run(poisoning.run(options.attacks or list(ATTACKS)))
    report = {
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs, {platform.python_version()}",
        "libraries": library_versions(),
        "from": options.first,
        "settings": changes,
        "nights": list(rows.values()),
    }
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
