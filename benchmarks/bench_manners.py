"""How the bot behaves: 100 questions of many kinds, asked of the base and of a taught version.

    python benchmarks/bench_manners.py --config config.cpu.toml
    python benchmarks/bench_manners.py --config config.cpu.toml --adapter models/adapters/17/g17-v000003

Its border: it uses the bot's own prompt functions, settings, client and manners and a real
``python -m engine``, and no Discord. The questions are the project's own (``manners_questions.jsonl``);
what counts as a fault stands in ``trainer/judging/reply_faults.py``. Question n is drawn with the seed n, so
a run can be repeated. Prints a table; the last line is one JSON object, which ``--save`` writes to a file,
with the answers where ``--answers`` asks for them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import aiohttp

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from bot.services import answer_sampling  # noqa: E402
from bot.serving.engine_client import AT_LIMIT, BASE, AnswerSampling, EngineClient  # noqa: E402
from bot.serving.engine_process import EngineProcess  # noqa: E402
from bot.talking.context import prompt_turns  # noqa: E402 - the project lies above this folder
from bot.talking.manners import Mouth  # noqa: E402
from bot.talking.thinking import LIVELY  # noqa: E402
from ledger.records import Message  # noqa: E402
from ledger.settings import Settings, load_settings  # noqa: E402
from ledger.talk.prompts import Turn  # noqa: E402
from trainer.judging.reply_faults import FAULTS, faults  # noqa: E402

BOT_ID = 1
GUILD = "Lantern Yard"


@dataclass(frozen=True, slots=True)
class Question:
    """One chat of ``manners_questions.jsonl``; its last line is what is asked."""

    kind: str
    chat: tuple[tuple[str, str], ...]
    language: str
    expect: str

    @property
    def asked(self) -> str:
        return self.chat[-1][1]

    def names(self, bot_name: str) -> list[str]:
        """Return everybody's names, the bot's first."""
        return list(dict.fromkeys([bot_name, *(name for name, _ in self.chat)]))


def main() -> None:
    """Ask everything, print the table, and end with one JSON line."""
    options = _parser().parse_args()
    settings = load_settings(options.config)
    questions = load_questions()[: options.first]
    began = time.monotonic()
    asked = asyncio.run(ask_all(settings, questions, options.adapter, options.change))
    result: dict[str, Any] = {
        "date": datetime.now(UTC).date().isoformat(),
        "hardware": f"{platform.machine()}, {os.cpu_count()} CPUs, no GPU used",
        "versions": {name: version(name) for name in ("torch", "transformers", "peft")},
        "base": Path(settings.model.base).name,
        "sampling": answer_fields(settings, options.change),
        "seconds": round(time.monotonic() - began),
        "models": {name: judge(questions, answers, settings.bot.name) for name, answers in asked.items()},
    }
    print(table(result["models"], len(questions)))
    if options.answers:
        result["answers"] = asked
    if options.save:
        options.save.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    result.pop("answers", None)
    print(json.dumps(result))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--config", type=Path, default=Path("config.cpu.toml"), help="the bot's settings")
    parser.add_argument("--adapter", type=Path, help="folder of a taught version, asked as well")
    parser.add_argument("--first", type=int, default=100, help="ask the first so many questions only")
    parser.add_argument("--change", type=_changed, nargs="*", default=[], metavar="NAME=NUMBER")
    parser.add_argument("--answers", action="store_true", help="save the answers, too")
    parser.add_argument("--save", type=Path, help="file for the JSON")
    return parser


def _changed(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    return name, int(value) if value.isdigit() else float(value)


def load_questions() -> list[Question]:
    """Read the questions that lie beside this file."""
    lines = (HERE / "manners_questions.jsonl").read_text(encoding="utf-8").splitlines()
    return [
        Question(
            kind=row["kind"],
            chat=tuple((name, text) for name, text in row["chat"]),
            language=row.get("language", "en"),
            expect=row.get("expect", ""),
        )
        for row in map(json.loads, lines)
    ]


def sampling_of(settings: Settings, changes: Sequence[tuple[str, float]]) -> AnswerSampling:
    """Return the bot's sampling with what ``--change`` names changed."""
    changed: dict[str, Any] = dict(changes)
    return replace(answer_sampling(settings.bot), **changed)


def answer_fields(settings: Settings, changes: Sequence[tuple[str, float]]) -> dict[str, Any]:
    """Return what the engine is told about drawing."""
    return sampling_of(settings, changes).fields()


def turns_of(question: Question, settings: Settings) -> list[Turn]:
    """Return the prompt as the bot makes it."""
    people = {name: number for number, name in enumerate(question.names(settings.bot.name), start=BOT_ID)}
    messages = [
        Message(
            id=number,
            guild_id=1,
            channel_id=1,
            author_id=people[name],
            author_name=name,
            content=text,
            created_at=number,
            is_bot=people[name] == BOT_ID,
        )
        for number, (name, text) in enumerate(question.chat, start=1)
    ]
    return prompt_turns(
        messages,
        bot_id=BOT_ID,
        bot_name=settings.bot.name,
        guild_name=GUILD,
        names={number: name for name, number in people.items()},
        context_tokens=settings.engine.context_tokens - settings.bot.max_answer_tokens,
    )


async def ask_all(
    settings: Settings,
    questions: Sequence[Question],
    adapter: Path | None,
    changes: Sequence[tuple[str, float]],
) -> dict[str, list[dict[str, str]]]:
    """Return, for the base and the taught version, each question's answer and why it ended."""
    sampling = sampling_of(settings, changes)
    with tempfile.TemporaryDirectory(prefix="nightschool-manners-") as scratch:
        config = _engine_config(Path(scratch), settings, adapter)
        timeout = aiohttp.ClientTimeout(total=None)
        async with EngineProcess(config) as process, aiohttp.ClientSession(timeout=timeout) as session:
            await process.ready()
            client = EngineClient(session, process.address)
            asked = {"base": await _ask(client, BASE, None, settings, questions, sampling)}
            if adapter is not None:
                guild_id = int((re.match(r"g(\d+)-", adapter.name) or [0, 0])[1])
                await client.load(adapter.name, str(adapter.resolve()), guild_id=guild_id)
                asked["taught"] = await _ask(client, adapter.name, guild_id, settings, questions, sampling)
    return asked


def _engine_config(folder: Path, settings: Settings, adapter: Path | None) -> Path:
    models = adapter.resolve().parents[2] if adapter is not None else folder / "models"
    path = folder / "config.toml"
    path.write_text(
        f"[paths]\nmodels = {json.dumps(str(models))}\n[model]\nbase = {json.dumps(settings.base_model())}\n"
        f"device = {json.dumps(settings.model.device)}\n[engine]\nmax_batch = 16\nmax_waiting = 200\n",
        encoding="utf-8",
    )
    return path


async def _ask(
    client: EngineClient,
    model: str,
    guild_id: int | None,
    settings: Settings,
    questions: Sequence[Question],
    sampling: AnswerSampling,
) -> list[dict[str, str]]:
    async def drawn(number: int, question: Question, how: AnswerSampling) -> dict[str, str]:
        names = question.names(settings.bot.name)
        mouth, reason = Mouth(names), ""
        stop = [f"\n{name}:" for name in names]
        turns = turns_of(question, settings)
        stream = client.stream(model, turns, how, guild_id=guild_id, stop=stop)
        async with aclosing(stream) as pieces:
            async for piece in pieces:
                mouth.say(piece.text)
                reason = piece.finish or reason
                if mouth.over:
                    break
        return {"text": mouth.finish(at_limit=reason == AT_LIMIT), "reason": reason}

    async def one(number: int, question: Question) -> dict[str, str]:
        answer = await drawn(number, question, replace(sampling, seed=number))
        if answer["text"]:
            return answer
        # As the bot does: what had nothing left to show is asked for once more.
        lively = max(sampling.temperature, LIVELY)
        return await drawn(number, question, replace(sampling, temperature=lively, seed=number + 1000))

    return await asyncio.gather(*(one(number, question) for number, question in enumerate(questions)))


def judge(
    questions: Sequence[Question], answers: Sequence[dict[str, str]], bot_name: str
) -> dict[str, float | int]:
    """Return the shares of faults and of sane answers in percent, and how many known answers are right."""
    counted: Counter[str] = Counter()
    known = right = 0
    for question, answer in zip(questions, answers, strict=True):
        found = faults(
            answer["text"],
            names=question.names(bot_name),
            language=question.language,
            at_limit=answer["reason"] == AT_LIMIT,
            asked=question.asked,
        )
        answer["faults"] = ", ".join(found)
        counted.update(found or ["sane"])
        if question.expect:
            known += 1
            right += bool(re.search(rf"\b({question.expect})\b", answer["text"], re.IGNORECASE))
    shares = {name: round(100 * counted[name] / len(questions), 1) for name in (*FAULTS, "echo", "sane")}
    return {**shares, "right": right, "known": known}


def table(models: dict[str, dict[str, float | int]], questions: int) -> str:
    """Return the shares as a table of Markdown."""
    lines = [
        f"| of {questions} answers, % | " + " | ".join(models) + " |",
        "| --- |" + " --- |" * len(models),
    ]
    for fault in (*FAULTS, "echo", "sane"):
        lines.append(f"| {fault} | " + " | ".join(f"{model[fault]:g}" for model in models.values()) + " |")
    known = " | ".join(f"{model['right']} of {model['known']}" for model in models.values())
    return "\n".join([*lines, f"| known answer said | {known} |"]) + "\n"


if __name__ == "__main__":
    main()
