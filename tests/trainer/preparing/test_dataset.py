"""Preparing: whose words, which replies, which part; and a directory that is whole or not there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ledger.errors import DatasetError
from ledger.records import OPT_IN
from ledger.settings import Settings
from ledger.store import Ledger
from tests.trainer.conftest import GUILD, PEOPLE, fill, introduce, talk
from trainer.builders import dataset_limits_of
from trainer.preparing import selection
from trainer.preparing.dataset import DatasetLimits, Prepared, TooFewNew, prepare
from trainer.preparing.dataset_files import PARTS, read_lines, read_manifest

LIMITS = replace(dataset_limits_of(Settings()), max_messages=8, overlap_messages=2)


async def prepared(ledger: Ledger, folder: Path, limits: DatasetLimits = LIMITS, **options: Any) -> Prepared:
    return await prepare(ledger, GUILD, folder, limits, bot_name="Nightschool", **options)


def lines(folder: Path) -> dict[str, list[dict[str, Any]]]:
    return {part: list(read_lines(folder, part)) for part in PARTS}


async def test_the_newest_conversations_test_and_none_stands_on_two_sides(
    ledger: Ledger, tmp_path: Path
) -> None:
    await fill(ledger, 60)
    done = await prepared(ledger, tmp_path / "set")
    parts = lines(tmp_path / "set")
    conversations = {part: {value["conversation"] for value in found} for part, found in parts.items()}
    assert sum(map(len, conversations.values())) == len(set().union(*conversations.values()))
    times = {part: [value["started_at"] for value in found] for part, found in parts.items()}
    assert max(times["train"]) < min(times["val"]) <= max(times["val"]) < min(times["test"])
    assert len(conversations["test"]) <= 6
    assert done.counts["train_replies"] == sum(len(value["targets"]) for value in parts["train"])
    assert done.counts["messages"] == 240
    assert read_manifest(tmp_path / "set")["guild_name"] == "Shed"


@pytest.mark.parametrize("at", [253_402_387_139_999, -62_135_596_800_000])
async def test_one_bad_row_stops_no_night(ledger: Ledger, tmp_path: Path, at: int) -> None:
    await fill(ledger, 60)
    await ledger.writer.execute(
        "UPDATE messages SET created_at = ? WHERE id IN (SELECT max(id) FROM messages)", (at,)
    )
    done = await prepared(ledger, tmp_path / "set")
    assert done.counts["messages"] == 239


async def test_consent_decides_about_live_messages_and_opting_out_about_all(
    ledger: Ledger, tmp_path: Path
) -> None:
    await fill(ledger, 40)
    for number in range(40, 60):
        live = [replace(message, source="discord", basis=OPT_IN) for message in talk(number)]
        await ledger.messages.add_many(live)
    for person in (11, 12):
        await ledger.consent.opt_in(GUILD, person)
    await ledger.consent.opt_out(GUILD, 14)
    done = await prepared(ledger, tmp_path / "set", discord_permission="granted by letter")
    left_out = done.counts["left_out"]
    assert left_out[selection.NO_CONSENT] == 20  # of Cleo, who never answered, live
    assert left_out[selection.OPTED_OUT] == 60  # of Dag, live and imported
    assert 14 not in dict(done.learned_from).values()
    assert "Dag" not in (tmp_path / "set" / "train.jsonl").read_text()


async def test_what_came_through_discord_is_locked_until_the_policy_permits_it(
    ledger: Ledger, tmp_path: Path
) -> None:
    await introduce(ledger)
    for number in range(40):
        await ledger.messages.add_many([replace(m, source="discord", basis=OPT_IN) for m in talk(number)])
    for person in PEOPLE:
        await ledger.consent.opt_in(GUILD, person)
    with pytest.raises(DatasetError, match=r"locked: write Discord's permission to \[policy\]"):
        await prepared(ledger, tmp_path / "set")
    assert not (tmp_path / "set").exists()
    done = await prepared(ledger, tmp_path / "set", discord_permission="granted by letter")
    assert done.counts["train_replies"] > 0


async def test_the_limits_keep_the_newest_and_count_what_is_older(ledger: Ledger, tmp_path: Path) -> None:
    await fill(ledger, 60)
    limits = replace(LIMITS, first_night_tokens=1000, max_heldout_replies=8)
    done = await prepared(ledger, tmp_path / "set", limits)
    assert done.counts["train_replies"] <= 20
    assert 0 < done.counts["test_replies"] <= 4
    parts = lines(tmp_path / "set")
    assert min(value["started_at"] for value in parts["train"]) > "2026-02-22"
    assert sum(done.counts["left_out"].values()) > 0


async def test_too_few_new_replies_are_told_with_their_number(ledger: Ledger, tmp_path: Path) -> None:
    await fill(ledger, 30)
    done = await prepared(ledger, tmp_path / "set")
    run = await ledger.runs.create(GUILD, "test")
    await ledger.runs.learned_from(run.id, done.learned_from)
    await ledger.runs.advance(run.id, "kept")
    with pytest.raises(TooFewNew, match="Only 0 replies are new since the last night, and a night needs 5"):
        await prepared(ledger, tmp_path / "next", min_new_replies=5)
    await fill(ledger, 3, first=30)
    with pytest.raises(TooFewNew, match=r"Only [1-9] replies"):
        await prepared(ledger, tmp_path / "next", min_new_replies=10)
    assert not (tmp_path / "next").exists()


async def test_a_server_in_which_nobody_answers_anybody_cannot_be_learned_from(
    ledger: Ledger, tmp_path: Path
) -> None:
    await introduce(ledger)
    await ledger.messages.add_many([replace(m, author_id=11) for n in range(20) for m in talk(n)])
    with pytest.raises(DatasetError, match="Shed has 0 usable conversations, too few to train"):
        await prepared(ledger, tmp_path / "set")
