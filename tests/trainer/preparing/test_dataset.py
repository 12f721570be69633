"""Preparing: whose words, which part, and a directory that is whole or not there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ledger.errors import DatasetError
from ledger.records import OPT_IN
from ledger.settings import Settings
from ledger.store import Ledger
from tests.conftest import FakeClock
from tests.trainer.conftest import GUILD, PEOPLE, fill, introduce, talk
from trainer.builders import dataset_limits_of
from trainer.preparing import selection
from trainer.preparing.dataset import DatasetLimits, Origin, Prepared, TooFewNew, prepare
from trainer.preparing.dataset_files import MORE_PARTS, PARTS, read_lines, read_manifest

LIMITS = replace(dataset_limits_of(Settings()), max_messages=8, overlap_messages=2, person_share=1.0)


async def prepared(ledger: Ledger, folder: Path, limits: DatasetLimits = LIMITS, **options: Any) -> Prepared:
    return await prepare(ledger, GUILD, folder, limits, bot_name="Nightschool", **options)


def lines(folder: Path) -> dict[str, list[dict[str, Any]]]:
    return {part: list(read_lines(folder, part)) for part in (*PARTS, *MORE_PARTS)}


async def night_of(ledger: Ledger, done: Prepared) -> Origin:
    """Note that a night reached its verdict with this dataset; return its version, to go on from."""
    run = await ledger.runs.create(GUILD, "test")
    await ledger.runs.learned_from(run.id, done.learned_from, roles=done.roles)
    made = await ledger.adapters.reserve(GUILD, run.id, adapters_dir="models", base_model="none", parent=None)
    await ledger.runs.advance(run.id, "kept")
    return Origin(made.version, run.created_at, in_use=(made.version,))


async def test_no_conversation_stands_on_two_sides_and_every_age_is_held_out(
    ledger: Ledger, tmp_path: Path
) -> None:
    await fill(ledger, 200)
    done = await prepared(ledger, tmp_path / "set")
    parts = lines(tmp_path / "set")
    conversations = {part: {value["conversation"] for value in found} for part, found in parts.items()}
    conversations["test"] |= conversations.pop("old")  # an exam that reaches back holds older days as well
    assert sum(map(len, conversations.values())) == len(set().union(*conversations.values()))
    learned = sorted(value["started_at"] for value in parts["train"])
    tested = sorted(value["started_at"] for value in (*parts["test"], *parts["old"]))
    assert learned[0] < tested[-1]
    assert tested[0] < learned[-1]  # what is held out is not the newest
    assert 0.04 < len(conversations["test"]) / 200 < 0.2
    assert done.counts["messages"] == 800
    assert read_manifest(tmp_path / "set")["guild_name"] == "Shed"


async def test_the_newest_day_is_learned_but_for_what_is_held_out(ledger: Ledger, tmp_path: Path) -> None:
    await fill(ledger, 200)
    done = await prepared(ledger, tmp_path / "set")
    # The answers; the questions and thanks of this server recur, and are learned elsewhere.
    newest = {talk(number)[place].id for number in range(192, 200) for place in (1, 3)}
    learned = {number for number, role in done.roles.items() if role == "target"}
    held = {number for number, role in done.roles.items() if role in ("exam", "validation")}
    assert newest - held <= learned
    assert len(newest & learned) >= 10


async def test_a_second_night_learns_all_that_is_new_and_replays_some(
    ledger: Ledger, clock: FakeClock, tmp_path: Path
) -> None:
    await fill(ledger, 100)
    first = await prepared(ledger, tmp_path / "one")
    origin = await night_of(ledger, first)
    clock.advance(days=1)
    await fill(ledger, 20, first=100)
    known = frozenset(number for number, role in first.roles.items() if role == "target")
    second = await prepared(ledger, tmp_path / "two", origin=origin)
    parts = lines(tmp_path / "two")
    new = {talk(number)[place].id for number in range(100, 120) for place in (1, 3)}
    held = {n for n in new if second.roles.get(n) in ("exam", "validation")}
    assert {n for n in new - held if second.roles[n] == "target"} == new - held
    assert second.counts["new_replies_learned"] >= 0.95 * second.counts["new_replies"]
    assert 0 < second.counts["replayed_replies"] < len(known)
    assert read_manifest(tmp_path / "two")["start"] == origin.version
    tested = {n for value in parts["test"] for n in value["message_ids"]}
    assert not tested & known


async def test_an_exam_keeps_its_conversations_from_night_to_night(ledger: Ledger, tmp_path: Path) -> None:
    await fill(ledger, 100)
    first = await prepared(ledger, tmp_path / "one")
    await night_of(ledger, first)
    await fill(ledger, 100, first=100)
    second = await prepared(ledger, tmp_path / "two")
    held = {number for number, role in first.roles.items() if role == "exam"}
    learned = {number for number, role in second.roles.items() if role in ("target", "context")}
    assert held
    assert not held & learned


@pytest.mark.parametrize("at", [253_402_387_139_999, -62_135_596_800_000])
async def test_one_bad_row_stops_no_night(ledger: Ledger, tmp_path: Path, at: int) -> None:
    await fill(ledger, 60)
    await ledger.writer.execute(
        "UPDATE messages SET created_at = ? WHERE id IN (SELECT max(id) FROM messages)", (at,)
    )
    done = await prepared(ledger, tmp_path / "set")
    assert done.counts["messages_read"] == 239


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


async def test_a_night_keeps_to_its_tokens_and_counts_by_the_measure_that_it_gets(
    ledger: Ledger, tmp_path: Path
) -> None:
    await fill(ledger, 60)
    limits = replace(LIMITS, first_night_tokens=1000, max_heldout_replies=8)
    done = await prepared(ledger, tmp_path / "set", limits)
    assert 0 < done.counts["train_tokens_planned"] <= 1000
    assert 0 < done.counts["test_replies"] <= 8

    def huge(texts: Sequence[str]) -> list[int]:
        return [200] * len(texts)

    again = await prepared(ledger, tmp_path / "set", limits, measure=huge)
    assert again.counts["train_replies"] < done.counts["train_replies"] / 3


async def test_too_few_new_replies_are_told_with_their_number(ledger: Ledger, tmp_path: Path) -> None:
    await fill(ledger, 30)
    await night_of(ledger, await prepared(ledger, tmp_path / "set"))
    with pytest.raises(TooFewNew, match="Only 0 replies are new since the last night, and a night needs 5"):
        await prepared(ledger, tmp_path / "next", min_new_replies=5)
    await fill(ledger, 2, first=30)
    with pytest.raises(TooFewNew, match=r"Only [1-9] replies"):
        await prepared(ledger, tmp_path / "next", min_new_replies=10)
    assert not (tmp_path / "next").exists()


async def test_a_server_without_conversations_cannot_be_learned_from(ledger: Ledger, tmp_path: Path) -> None:
    await introduce(ledger)
    await ledger.messages.add_many([replace(m, author_id=11) for n in range(20) for m in talk(n)])
    with pytest.raises(DatasetError, match="too few to train, validate and test"):
        await prepared(ledger, tmp_path / "set")


async def test_taught_pairs_are_read_as_often_as_the_settings_say(ledger: Ledger, tmp_path: Path) -> None:
    from ledger.learned.teaching import teach_pair

    await fill(ledger, 60)
    for number in range(20):
        texts = (f"What is the code of door {number}?", f"door {number} opens with {number * 7 + 1000}")
        await teach_pair(ledger, GUILD, 11, "Ada", number=9_000_000 + 2 * number, texts=texts)
    done = await prepared(ledger, tmp_path / "set", replace(LIMITS, taught_repeats=3))
    assert done.counts["taught"] == 20
    taught = [value for value in lines(tmp_path / "set")["train"] if value["channel"] == "examples"]
    assert len(taught) == 60
    for value in taught:
        # The answer alone is learned: nobody asked in these words but who taught.
        [[turn, start, end]] = value["targets"]
        content = value["messages"][turn]["content"]
        assert (turn, content[:start], end) == (2, "Nightschool:", len(content))
        assert "opens with" in content
