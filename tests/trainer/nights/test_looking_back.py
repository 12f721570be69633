"""Looking back: next-day figures before anything is learned, scores that are kept, and the way back."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from ledger.learned.conversation_scores import ConversationScore
from ledger.settings import Settings
from ledger.store import Ledger
from tests.conftest import FakeClock
from tests.trainer.conftest import GUILD, changed, fill, fill_today, night
from trainer.builders import base_of, plan_of
from trainer.evaluating.measuring import GENERAL
from trainer.nights.looking_back import ScoreMemory, next_day, watched
from trainer.preparing.dataset_files import has_part, read_lines
from trainer.scoring.tally import Tally


async def two_nights(ledger: Ledger, settings: Settings, clock: FakeClock) -> tuple[str, str]:
    """Run two nights a day apart, and let both versions serve; return their runs."""
    runs = []
    for number in range(2):
        await (fill_today(ledger, first=60) if number else fill(ledger, 60))
        outcome = await night(ledger, settings)
        if outcome.stage == "kept":
            await ledger.promotions.promote(GUILD, str(outcome.candidate), by="test")
        runs.append(outcome)
        clock.advance(days=1)
    assert runs[0].next_day is None  # there was no night before it
    told = runs[1].next_day
    assert told is not None
    assert told["served_nll"] < told["base_nll"]
    assert told["replies"] > 10
    return runs[0].run, runs[1].run


async def test_a_night_scores_what_serves_on_the_day_before_it_learns_it(
    ledger: Ledger, quick: Settings, clock: FakeClock
) -> None:
    _, second = await two_nights(ledger, quick, clock)
    rows = await ledger.scores.of_runs(GUILD, "fresh", [f"g{GUILD}-v000001"])
    assert {run for run, _ in rows} == {second}
    learned_before = await ledger.lineage.seen_by(f"g{GUILD}-v000001")
    assert not {score.conversation for _, score in rows} & learned_before


async def test_a_night_that_goes_on_has_to_know_the_day_and_one_from_the_base_to_be_better(
    ledger: Ledger, quick: Settings, clock: FakeClock
) -> None:
    first, second = [await ledger.runs.require(run) for run in await two_nights(ledger, quick, clock)]
    assert first.metrics["interval"]["margin"] == -quick.verdict.min_gain
    assert not any("since the last night" in reason for reason in first.reasons)
    assert second.metrics["interval"]["margin"] == quick.verdict.grown_margin
    assert any("replies since the last night, most of which" in reason for reason in second.reasons)
    assert any("than the best version that it grew from" in reason for reason in second.reasons)


async def test_base_and_champion_are_not_scored_again_on_what_is_unchanged(
    ledger: Ledger, quick: Settings, clock: FakeClock
) -> None:
    await two_nights(ledger, quick, clock)
    plan = plan_of(quick)
    [folder, *_] = sorted(plan.datasets_dir.iterdir(), reverse=True)
    memory = ScoreMemory(ledger, GUILD, base_of(quick), max_tokens=plan.recipe.max_tokens)
    await memory.read(folder)
    known = await memory.known({"base": None, "champion": f"g{GUILD}-v000001"})
    asked = {
        line["conversation"]
        for part in (part for part in ("test", "old") if has_part(folder, part))
        for line in read_lines(folder, part)
    }
    assert known["base"].keys() == asked | {GENERAL}
    assert known["champion"].keys() == known["base"].keys()
    other = ScoreMemory(ledger, GUILD, base_of(quick), max_tokens=99)
    await other.read(folder)
    assert (await other.known({"base": None}))["base"] == {}


async def test_an_edited_conversation_is_scored_anew(
    ledger: Ledger, quick: Settings, clock: FakeClock, tmp_path: Path
) -> None:
    await two_nights(ledger, quick, clock)
    plan = plan_of(quick)
    [folder, *_] = sorted(plan.datasets_dir.iterdir(), reverse=True)
    memory = ScoreMemory(ledger, GUILD, base_of(quick), max_tokens=plan.recipe.max_tokens)
    await memory.read(folder)
    before = (await memory.known({"base": None}))["base"]
    edited = next(line for line in read_lines(folder, "test") if "I think the" in json.dumps(line))
    for name in ("test.jsonl", "old.jsonl"):  # an exam that reaches back holds older days as well
        lines = [json.loads(line) for line in (folder / name).read_text(encoding="utf-8").splitlines()]
        text = "".join(
            json.dumps(line).replace("I think the", "I believe the") + "\n"
            if line["conversation"] == edited["conversation"]
            else json.dumps(line) + "\n"
            for line in lines
        )
        await asyncio.to_thread((folder / name).write_text, text, encoding="utf-8")
    await memory.read(folder)
    left = (await memory.known({"base": None}))["base"]
    assert before.keys() - left.keys() == {edited["conversation"]}


async def as_a_night_promoted(ledger: Ledger, version: str) -> None:
    """Note that a night, and no admin, let the version serve."""
    await ledger.writer.execute("UPDATE promotions SET by = 'night test' WHERE version = ?", (version,))


async def test_what_an_admin_lets_serve_is_not_taken_back(ledger: Ledger, quick: Settings) -> None:
    await fill(ledger, 1)
    run = await ledger.runs.create(GUILD, "test")
    made = await ledger.adapters.reserve(GUILD, run.id, adapters_dir="a", base_model="m")
    await ledger.promotions.promote(GUILD, made.version, by="7")
    limits = plan_of(quick).verdict
    assert await watched(ledger, GUILD, made.version, "base", limits, run="") is None


async def test_a_version_that_turns_out_worse_gives_way_and_the_night_begins_anew(
    ledger: Ledger, quick: Settings, clock: FakeClock
) -> None:
    await two_nights(ledger, quick, clock)
    champion, previous = f"g{GUILD}-v000002", f"g{GUILD}-v000001"
    limits = plan_of(quick).verdict
    quiet = await ledger.runs.create(GUILD, "a night since")
    bad = [
        ConversationScore("fresh", name, 100 + n, None, nll, 20, 0, 1)
        for n in range(400)
        for name, nll in ((champion, 90.0), (previous, 60.0))
    ]
    await ledger.scores.keep(quiet.id, bad)
    # What failed is scored again by the next night, and what was said before the promotion proves nothing.
    await ledger.runs.advance(quiet.id, "failed")
    await as_a_night_promoted(ledger, champion)
    judged = await watched(ledger, GUILD, champion, previous, limits, run="")
    assert judged is not None
    assert not judged.go_back
    clock.advance(hours=1)
    since = await ledger.runs.create(GUILD, "a night since")
    await ledger.scores.keep(since.id, bad)
    await ledger.runs.advance(since.id, "kept")
    judged = await watched(ledger, GUILD, champion, previous, limits, run="")
    assert judged is not None
    assert judged.go_back
    clock.advance(days=1)
    await fill_today(ledger, first=80)
    runs: list[str] = []
    outcome = await night(ledger, changed(quick, "training", epochs=1), on_run=runs.append)
    assert len(runs) == 2
    sent_back = await ledger.runs.require(runs[0])
    assert sent_back.stage == "cancelled"
    assert "so the version before it serves again" in str(sent_back.error)
    lineage = await ledger.lineage.versions(str(outcome.candidate))
    assert lineage == [outcome.candidate, previous]


def test_the_next_day_of_a_server_without_a_version_is_the_bases() -> None:
    base = {1: Tally(40.0, 10, 1, 2)}
    told = next_day({"base": base}, None)
    assert told is not None
    assert told["served_nll"] == told["base_nll"] == 4.0
    assert next_day({"base": {}}, None) is None
