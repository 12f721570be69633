"""Runs: every step written as it happens, an end that is final, and what a night learned from."""

from __future__ import annotations

import pytest

from ledger.clock import to_ms
from ledger.errors import LedgerError
from ledger.records import FINAL_STAGES, BotAnswer
from ledger.store import Ledger


async def test_a_run_begins_planned_and_writes_each_step_with_its_time(house: Ledger) -> None:
    run = await house.runs.create(1, "schedule")
    assert (run.stage, run.trigger, run.finished) == ("planned", "schedule", False)
    for stage in ("prepared", "fitted", "evaluated", "promoted"):
        house.clock.advance(minutes=1)  # type: ignore[attr-defined]
        await house.runs.advance(run.id, stage)
    steps = await house.runs.steps(run.id)
    assert [stage for stage, _ in steps] == ["planned", "prepared", "fitted", "evaluated", "promoted"]
    assert [at - run.created_at for _, at in steps] == [0, 60_000, 120_000, 180_000, 240_000]
    ended = await house.runs.require(run.id)
    assert ended.finished
    assert ended.finished_at == run.created_at + 240_000


async def test_what_is_known_of_a_run_is_kept_through_later_steps(house: Ledger) -> None:
    run = await house.runs.create(1, "admin")
    await house.runs.advance(run.id, "prepared", counts={"messages": 3, "left_out": {"short": 1}})
    await house.runs.advance(
        run.id,
        "promoted",
        candidate="g1-v000001",
        verdict="promote",
        reasons=["better by 0.4 nats"],
        metrics={"nll": {"base": 4.3, "candidate": 3.9}},
    )
    kept = await house.runs.require(run.id)
    assert kept.counts == {"messages": 3, "left_out": {"short": 1}}
    assert kept.reasons == ("better by 0.4 nats",)
    assert kept.metrics["nll"]["candidate"] == 3.9
    assert (kept.candidate, kept.champion, kept.verdict, kept.error) == ("g1-v000001", None, "promote", None)


@pytest.mark.parametrize("stage", sorted(FINAL_STAGES))
async def test_a_finished_run_cannot_go_on(house: Ledger, stage: str) -> None:
    run = await house.runs.create(1, "schedule")
    await house.runs.advance(run.id, stage)  # type: ignore[arg-type]
    with pytest.raises(LedgerError, match="unknown or finished; it cannot become failed"):
        await house.runs.advance(run.id, "failed", error="too late")
    assert (await house.runs.require(run.id)).error is None
    assert len(await house.runs.steps(run.id)) == 2


async def test_an_unknown_run_or_field_is_refused(house: Ledger) -> None:
    with pytest.raises(LedgerError, match="unknown or finished"):
        await house.runs.advance("nothing", "failed")
    with pytest.raises(LedgerError, match="no run 'nothing'"):
        await house.runs.require("nothing")
    run = await house.runs.create(1, "schedule")
    with pytest.raises(ValueError, match="guild_id"):
        await house.runs.advance(run.id, "failed", guild_id=11)


async def test_runs_of_the_same_second_have_names_of_their_own(house: Ledger) -> None:
    names = [(await house.runs.create(guild, "twice")).id for guild in (1, 1, 11, 1)]
    assert names == [
        "g1-20260302T120000",
        "g1-20260302T120000-2",
        "g11-20260302T120000",
        "g1-20260302T120000-3",
    ]


async def test_runs_are_listed_newest_first_and_by_guild(house: Ledger) -> None:
    first = await house.runs.create(1, "one")
    house.clock.advance(days=1)  # type: ignore[attr-defined]
    second = await house.runs.create(1, "two")
    await house.runs.create(11, "elsewhere")
    assert [run.id for run in await house.runs.of_guild(1)] == [second.id, first.id]
    assert [run.id for run in await house.runs.of_guild(1, limit=1)] == [second.id]


async def test_runs_that_were_cut_off_are_found_oldest_first(house: Ledger) -> None:
    ended, first, second = [await house.runs.create(1, "night") for _ in range(3)]
    await house.runs.advance(ended.id, "skipped")
    await house.runs.advance(second.id, "prepared")
    assert [run.id for run in await house.runs.unfinished(1)] == [first.id, second.id]
    assert await house.runs.unfinished(11) == []


async def test_messages_count_as_seen_once_a_night_has_reached_its_verdict(house: Ledger) -> None:
    for stage, ids in (("promoted", (1, 2)), ("kept", (2, 3)), ("failed", (4,)), ("prepared", (5,))):
        run = await house.runs.create(1, "night")
        await house.runs.learned_from(run.id, [(number, 7) for number in ids])
        await house.runs.advance(run.id, stage)  # type: ignore[arg-type]
    assert set(await house.lineage.roles(1, [1, 2, 3, 4])) == {1, 2, 3}
    assert await house.lineage.roles(11, [1, 2, 3, 4]) == {}


async def test_preparing_again_replaces_what_a_run_learns_from(house: Ledger) -> None:
    run = await house.runs.create(1, "night")
    await house.runs.learned_from(run.id, [(1, 7), (2, 8)])
    await house.runs.learned_from(run.id, [(2, 8), (2, 8), (3, 9)])
    assert await house.runs.runs_with_author(1, 7) == []
    assert await house.runs.runs_with_author(1, 8) == [run.id]
    assert await house.runs.runs_with_author(11, 8) == []


async def test_attempts_count_beginnings_and_takings_up_that_came_to_no_good_end(ledger: Ledger) -> None:
    await ledger.guilds.ensure(1, "Lantern Yard")
    since = to_ms(ledger.clock.now())
    assert await ledger.runs.attempts(1, since) == 0
    done = await ledger.runs.create(1, "schedule")
    await ledger.runs.advance(done.id, "kept")
    stopped = await ledger.runs.create(1, "schedule")
    await ledger.runs.advance(stopped.id, "cancelled")
    failed = await ledger.runs.create(1, "schedule")
    await ledger.runs.advance(failed.id, "failed")
    assert await ledger.runs.attempts(1, since) == 1
    cut_off = await ledger.runs.create(1, "schedule")
    await ledger.runs.take_up(cut_off.id)
    assert await ledger.runs.attempts(1, since) == 3
    assert await ledger.runs.attempts(1, since + 1) == 0
    assert await ledger.runs.attempts(2, since) == 0


async def test_those_who_refuse_by_now_are_found_among_whom_a_run_learned_from(ledger: Ledger) -> None:
    await ledger.guilds.ensure(1, "Lantern Yard")
    run = await ledger.runs.create(1, "schedule")
    await ledger.runs.learned_from(run.id, [(100, 11), (101, 12), (102, 11)])
    assert await ledger.runs.authors_of(run.id) == {100: 11, 101: 12, 102: 11}
    assert await ledger.runs.refusing(run.id) == frozenset()
    await ledger.consent.opt_in(1, 12)
    await ledger.consent.opt_out(1, 11)
    assert await ledger.runs.refusing(run.id) == {11}


async def test_whether_a_run_was_begun_is_asked_of_a_span_of_time(ledger: Ledger) -> None:
    await ledger.guilds.ensure(1, "Lantern Yard")
    run = await ledger.runs.create(1, "schedule")
    at = run.created_at
    assert await ledger.runs.begun_between(1, at, at)
    assert not await ledger.runs.begun_between(1, at + 1, at + 2)
    assert not await ledger.runs.begun_between(1, at - 2, at - 1)
    assert not await ledger.runs.begun_between(2, at, at)


async def test_a_run_is_reported_once_and_one_that_began_again_not_at_all(
    house: Ledger,
) -> None:
    first = await house.runs.create(1, "schedule")
    await house.runs.advance(first.id, "cancelled", error="Somebody took words back; it begins again.")
    house.clock.advance(seconds=5)  # type: ignore[attr-defined]
    second = await house.runs.create(1, "schedule")
    await house.runs.advance(second.id, "kept")

    async def owed() -> list[str]:
        return [run.id for run in await house.runs.unreported(since=0, until=2**62)]

    assert await owed() == [second.id]
    await house.runs.reported(second.id)
    assert await owed() == []
    house.clock.advance(days=1)  # type: ignore[attr-defined]
    third = await house.runs.create(1, "schedule")
    await house.runs.advance(third.id, "cancelled", error="Cancelled by an admin.")
    assert await owed() == [third.id]


async def test_an_answer_that_a_run_learns_is_stored_like_a_message_until_it_loses_its_text(
    house: Ledger,
) -> None:
    await house.consent.opt_in(1, 7)
    await house.answers.add(BotAnswer(50, 1, 100, 7, None, "hoo", None, 50))
    await house.answers.add(BotAnswer(51, 1, 100, 7, None, "", None, 51, part_of=50))
    run = await house.runs.create(1, "night")
    assert await house.runs.learned_from(run.id, [(50, 7), (51, 7)]) == 0
    await house.runs.advance(run.id, "kept")
    assert await house.deletions.datasets_beyond_the_ledger() == []
    assert not await house.messages.lacks([50, 51])
    receipt = await house.deletions.begin(1, "channel", [100], asked_by="Discord", keep_ms=0)
    assert await house.deletions.runs_touched(receipt.id) == [run.id], "where it was said is listed, too"
    assert await house.deletions.datasets_beyond_the_ledger() == [run.id]
    assert await house.messages.lacks([50])
    assert await house.runs.learned_from(run.id, [(50, 7), (51, 7)]) == 2
