"""From conversations to examples: every reply is learned once, with its writer in the assistant's chair."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from ledger.settings import Settings
from ledger.store import Ledger
from tests.trainer.conftest import GUILD, PEOPLE, START, fill, introduce, talk
from trainer.builders import dataset_limits_of
from trainer.preparing.dataset import DatasetLimits, Prepared, prepare
from trainer.preparing.dataset_files import PARTS, read_lines

LIMITS = replace(dataset_limits_of(Settings()), max_messages=8, overlap_messages=2)


async def prepared(ledger: Ledger, folder: Path, limits: DatasetLimits = LIMITS, **options: Any) -> Prepared:
    return await prepare(ledger, GUILD, folder, limits, bot_name="Nightschool", **options)


def lines(folder: Path) -> dict[str, list[dict[str, Any]]]:
    return {part: list(read_lines(folder, part)) for part in PARTS}


async def test_every_message_is_a_target_at_most_once(ledger: Ledger, tmp_path: Path) -> None:
    await introduce(ledger)
    people = [11, 12, 13]
    long = [
        replace(
            talk(0)[0],
            id=500 + n,
            author_id=people[(n // 2) % 3],
            content=f"line {n} of a long chat",
            created_at=START + n * 60_000,
        )
        for n in range(70)
    ]
    await ledger.messages.add_many(long)
    for number in range(1, 25):
        await ledger.messages.add_many(talk(number))
    await prepared(ledger, tmp_path / "set", replace(LIMITS, first_night_tokens=50_000))
    found: Counter[str] = Counter()
    for value in lines(tmp_path / "set")["train"]:
        for target in value["targets"]:
            found.update(text for text in value["messages"][target]["content"].split("\n") if "long" in text)
    assert set(found.values()) == {1}
    assert len(found) >= 60


async def test_the_assistant_is_the_speaker_whose_replies_are_learned(ledger: Ledger, tmp_path: Path) -> None:
    await fill(ledger, 30)
    await prepared(ledger, tmp_path / "set")
    for value in lines(tmp_path / "set")["train"]:
        roles = [turn["role"] for turn in value["messages"]]
        assert roles[0] == "system"
        assert all(roles[target] == "assistant" for target in value["targets"])
        for turn in value["messages"]:
            named = any(turn["content"].startswith(f"{name}: ") for name in PEOPLE.values())
            assert not named or turn["role"] == "user"
