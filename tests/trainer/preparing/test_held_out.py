"""What is scored: an exam of the newest, older days, and replies since the last night, drawn evenly."""

from __future__ import annotations

from dataclasses import replace

from ledger.clock import to_ms
from ledger.records import Role
from ledger.settings import Settings
from ledger.store import Ledger
from tests.trainer.conftest import GUILD, HOUR, START, fill, read, talk
from trainer.builders import dataset_limits_of
from trainer.preparing.conversation_parts import assign, conversations_of
from trainer.preparing.held_out import HeldOut, evenly
from trainer.preparing.material import DAY_MS, DatasetLimits, Material, Start
from trainer.preparing.windows import Frame

LIMITS = replace(dataset_limits_of(Settings()), max_heldout_replies=24, max_fresh_replies=10)
GAP = 15 * 60_000


async def material_of(ledger: Ledger, **changes: object) -> Material:
    found = await read(ledger)
    return replace(found, **changes)  # type: ignore[arg-type]


def held_out(material: Material, start: Start | None = None, limits: DatasetLimits = LIMITS) -> HeldOut:
    talks = conversations_of(material.messages, material.channels, gap_ms=GAP)
    parts = assign(
        talks,
        guild_id=GUILD,
        key=b"k",
        roles=material.roles,
        validation_share=0.1,
        test_share=0.3,
        now=material.now,
        gap_ms=GAP,
    )
    return HeldOut(parts, material, limits, Frame("N", "Shed", material.names), start or Start())


async def test_the_exam_is_the_newest_and_older_days_are_others(ledger: Ledger) -> None:
    await fill(ledger, 400)  # fifty days
    found = held_out(await material_of(ledger, now=to_ms(ledger.clock.now())))
    newest = max(talk.ended_at for talk in found.test)
    found = held_out(await material_of(ledger, now=newest + HOUR))
    assert 0 < sum(talk.replies for talk in found.test) <= 24
    assert not {t.conversation for t in found.test} & {t.conversation for t in found.old}
    ages = sorted((newest + HOUR - talk.ended_at) / DAY_MS for talk in found.old)
    assert 7 < ages[0] < 12
    assert any(30 < age < 40 for age in ages)
    assert max(talk.ended_at for talk in found.old) < min(talk.started_at for talk in found.test)


async def test_an_exam_that_reaches_back_holds_the_older_days_as_well(ledger: Ledger) -> None:
    await fill(ledger, 100)
    material = await material_of(ledger)
    limits = replace(LIMITS, max_heldout_replies=1000)
    found = held_out(replace(material, now=material.now + 8 * 24 * HOUR), limits=limits)
    assert found.old
    assert all(talk in found.test for talk in found.old)


async def test_what_a_version_has_seen_tests_nothing(ledger: Ledger) -> None:
    await fill(ledger, 100)
    material = await material_of(ledger)
    tested = held_out(material).test
    seen = frozenset([tested[-1].conversation])
    again = held_out(material, Start(seen=seen))
    assert tested[-1].conversation not in {t.conversation for t in (*again.test, *again.old)}


async def test_fresh_is_what_was_said_since_the_last_night_and_nobody_learned(ledger: Ledger) -> None:
    await fill(ledger, 100)
    material = await material_of(ledger)
    assert held_out(material).fresh == ()  # there was no night yet
    border = sorted(m.created_at for m in material.messages)[-40]
    # What was still going on then, or came in late, was in no night yet; all else was.
    used: dict[int, Role] = {m.id: "context" for m in material.messages if m.created_at <= border}
    late = max(used)
    del used[late]
    material = replace(material, last_night=border, roles=used)
    fresh = held_out(material).fresh
    scored = {n for talk in fresh for w in talk.windows for n in w.target_messages}
    times = {m.id: m.created_at for m in material.messages}
    assert scored
    assert all(times[number] > border or number == late for number in scored)
    assert sum(talk.replies for talk in fresh) <= 10
    learned = held_out(material, Start(seen=frozenset(scored))).fresh
    assert not scored & {n for talk in learned for w in talk.windows for n in w.target_messages}


async def test_a_sample_is_spread_over_the_whole_day(ledger: Ledger) -> None:
    await fill(ledger, 60)
    material = await material_of(ledger)
    talks = held_out(replace(material, last_night=1)).fresh
    assert sum(talk.replies for talk in talks) == 10
    hours = [talk.started_at for talk in talks]
    everything = [m.created_at for m in material.messages]
    assert max(hours) - min(hours) > 0.7 * (max(everything) - min(everything))
    assert evenly(talks, 1000) == talks


async def test_one_long_conversation_is_not_the_whole_exam(ledger: Ledger) -> None:
    await fill(ledger, 100)
    newest = START + 400 * HOUR
    long = [
        replace(
            talk(0)[0],
            id=9_000_000 + n,
            author_id=11 + n % 2,
            content=f"line {n}",
            created_at=newest + n,
        )
        for n in range(400)
    ]
    await ledger.messages.add_many(long)
    roles: dict[int, Role] = {message.id: "exam" for message in long}
    exam = held_out(await material_of(ledger, roles=roles)).test
    assert any(each.conversation >= 9_000_000 for each in exam)
    assert max(each.replies for each in exam) <= LIMITS.max_heldout_replies // 8
    assert len(exam) > 4
