"""A talkative little server for the trainer's tests, in the ledger and as a dataset directory."""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ledger.clock import to_ms
from ledger.forgetting.by_settings import forgetting_of
from ledger.learned.outcome import Outcome
from ledger.people.policy import declared
from ledger.records import Message
from ledger.settings import ModelSection, Settings
from ledger.store import Ledger
from ledger.talk.prompts import FORM
from trainer.builders import base_of, dataset_limits_of, plan_of, recipe_of
from trainer.fitting.recipe import Base, FitResult, Recipe
from trainer.preparing.gathering import gather
from trainer.preparing.material import Material
from trainer.preparing.selection import select

if TYPE_CHECKING:
    from trainer.scoring.batches import EncodedRow

GUILD, CHANNEL = 7_000_000_000, 7_100_000_000
START = to_ms(datetime(2026, 2, 20, 9, 0, tzinfo=UTC))
HOUR = 3_600_000
PEOPLE = {11: "Ada", 12: "Bo", 13: "Cleo", 14: "Dag"}

QUESTIONS = ("Did anyone feed the sourdough today?", "What is in the shed?", "Who has my umbrella?")
WORDS = tuple(
    re.findall(
        r"\w+",
        "lamp jar cat choir bicycle bucket ladder screw umbrella router kitchen evening "
        "street school shed thursday friday green old capital server member jar day",
    )
)


def answer(number: int) -> str:
    """Return a reply of known words in an order of its own, so that none is another's near-duplicate."""
    order = random.Random(number)
    return f"I think the {' the '.join(order.sample(WORDS, 5))}, or was it {order.choice(WORDS)}?"


async def read(ledger: Ledger, guild_id: int = GUILD) -> Material:
    """Return what a night reads, with the settings' limits."""
    return await gather(ledger, guild_id, dataset_limits_of(Settings()), discord_permission="")


async def learnable(ledger: Ledger, guild_id: int) -> set[int]:
    """Return the ids of the messages that a night may learn from."""
    material = await read(ledger, guild_id)
    return {message.id for message in select(material.messages, material.rules)[0]}


def thanks(number: int) -> str:
    order = random.Random(-number - 1)
    return f"Tell us tomorrow about the {' and the '.join(order.sample(WORDS, 5))}, please."


def talk(number: int, *, at: int | None = None, first_id: int | None = None) -> list[Message]:
    """Return one conversation of four messages; conversations lie three hours apart."""
    begin = START + number * 3 * HOUR if at is None else at
    people = list(PEOPLE)
    asker, answerer = people[number % 4], people[(number + 1) % 4]
    kind = number % 3
    lines = [
        (asker, QUESTIONS[kind]),
        (answerer, answer(number)),
        (asker, "Thank you, that helps a lot. Let me try it tonight."),
        (answerer, thanks(number)),
    ]
    first = first_id if first_id is not None else 1_000_000 + number * 10
    return [
        Message(
            id=first + index,
            guild_id=GUILD,
            channel_id=CHANNEL,
            author_id=author,
            author_name=PEOPLE[author],
            content=content,
            created_at=begin + index * 60_000,
            source="import",
            basis=declared("test logs"),
        )
        for index, (author, content) in enumerate(lines)
    ]


async def introduce(ledger: Ledger) -> None:
    """Add the server, its channel and its people."""
    await ledger.guilds.ensure(GUILD, "Shed")
    await ledger.channels.ensure(CHANNEL, GUILD, "lounge")
    await ledger.people.ensure_many(GUILD, [(number, name, False) for number, name in PEOPLE.items()])


async def fill(ledger: Ledger, conversations: int = 60, *, first: int = 0) -> None:
    """Add the server with ``conversations`` conversations that resemble each other."""
    await introduce(ledger)
    for number in range(first, first + conversations):
        now = to_ms(ledger.clock.now())
        await ledger.messages.add_many([replace(message, imported_at=now) for message in talk(number)])


async def fill_today(ledger: Ledger, conversations: int = 20, *, first: int) -> None:
    """Add conversations of the last day, fifty minutes apart, the newest an hour old."""
    now = to_ms(ledger.clock.now())
    for index in range(conversations):
        at = now - HOUR - (conversations - index) * 50 * 60_000
        await ledger.messages.add_many(talk(first + index, at=at))


def line(number: int, reply: str, *, question: str = "What is in the shed?") -> dict[str, Any]:
    """Return one line of a dataset with one target."""
    return {
        "messages": [
            {"role": "system", "content": "You are Nightschool."},
            {"role": "user", "content": f"Ada: {question}"},
            {"role": "assistant", "content": reply},
        ],
        "targets": [2],
        "message_ids": [number * 2, number * 2 + 1],
        "channel": "lounge",
        "started_at": "2026-02-20T09:00:00+00:00",
        "conversation": number,
    }


def write_dataset(folder: Path, parts: Mapping[str, Sequence[dict[str, Any]]]) -> Path:
    """Write a dataset directory by hand."""
    folder.mkdir(parents=True)
    files = {}
    for part, lines in parts.items():
        text = "".join(json.dumps(value) + "\n" for value in lines)
        (folder / f"{part}.jsonl").write_text(text, encoding="utf-8")
        digest = hashlib.sha256(text.encode()).hexdigest()
        files[f"{part}.jsonl"] = {"sha256": digest, "lines": len(lines), "targets": len(lines)}
    (folder / "manifest.json").write_text(
        json.dumps({"run": "test", "guild": GUILD, "form": FORM, "files": files})
    )
    return folder


def replies(first: int, count: int) -> list[dict[str, Any]]:
    """Return lines whose replies follow one pattern."""
    return [line(n, answer(n), question=QUESTIONS[n % 3]) for n in range(first, first + count)]


def recipe_with(**changes: Any) -> Recipe:
    """Return the settings' default recipe with ``changes``."""
    return replace(recipe_of(Settings()), **changes)


def base_at(folder: Path, **changes: Any) -> Base:
    """Return the base model in ``folder``, on the CPU in float32, with ``changes``."""
    model = ModelSection(base=str(folder), device="cpu", dtype="float32")
    return replace(base_of(Settings(model=model)), **changes)


@pytest.fixture
def dataset_dir(tmp_path: Path) -> Path:
    """A dataset of 24 training, 6 validation and 8 test examples."""
    return write_dataset(
        tmp_path / "dataset", {"train": replies(0, 24), "val": replies(24, 6), "test": replies(30, 8)}
    )


@pytest.fixture
def model(tiny_base: Path) -> Any:
    """The tiny random Llama itself."""
    from engine.model.loading import choose_placement, load_base

    return load_base(str(tiny_base), placement=choose_placement("cpu", "none", "float32"))


@pytest.fixture
def rows(tiny_base: Path, dataset_dir: Path) -> list[EncodedRow]:
    """The dataset's test part as encoded rows."""
    from engine.model.loading import load_tokenizer
    from trainer.scoring.encoded_rows import load_part, rows_of

    return rows_of(load_part(dataset_dir, "test", load_tokenizer(str(tiny_base)), max_tokens=256))


@pytest.fixture
def base(tiny_base: Path) -> Base:
    """The tiny random Llama on the CPU in float32."""
    return base_at(tiny_base)


@pytest.fixture
def recipe() -> Recipe:
    """A recipe that ends within a second or two on the tiny model."""
    return recipe_with(
        epochs=2,
        learning_rate=5e-3,
        lora_r=4,
        lora_alpha=8,
        lora_dropout=0.0,
        batch_size=4,
        accumulation_steps=2,
        max_tokens=256,
    )


def train(dataset: Path, folder: Path, base: Base, recipe: Recipe, **options: Any) -> FitResult:
    """Fit ``dataset`` in ``folder``: the adapter below ``adapter``, all else below ``work``."""
    from trainer.fitting.finetune import fit

    return fit(
        dataset,
        folder / "adapter",
        base=base,
        recipe=recipe,
        work_dir=folder / "work",
        version="g7-v000001",
        **options,
    )


def changed(settings: Settings, section: str, **values: Any) -> Settings:
    """Return the settings with other values in one section."""
    part = getattr(settings, section).model_copy(update=values)
    return settings.model_copy(update={section: part})


@pytest.fixture
def quick(settings: Settings) -> Settings:
    """Settings under which the tiny model learns the pattern within seconds."""
    return changed(changed(settings, "training", epochs=3, batch_size=8), "leakage", probes=4)


async def night(ledger: Ledger, settings: Settings, *, samples: int = 1, **options: Any) -> Outcome:
    """Run the whole night of the talkative server."""
    from trainer.nights.night import Night

    return await Night(
        ledger,
        plan_of(settings),
        GUILD,
        forgetting=forgetting_of(settings, ledger),
        trigger="test",
        sampled_replies=samples,
        **options,
    ).run()
