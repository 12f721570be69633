"""The daily round: members who left are forgotten after their days, those who come back are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.keeping.housekeeping import BELIEVED, Housekeeping
from ledger.clock_watch import ClockWatch
from ledger.forgetting.deletion_path import Forgetting
from ledger.forgetting.retention import Retention, Swept
from ledger.records import Message
from ledger.store import Ledger
from tests.conftest import FakeClock


@pytest.fixture
async def house(ledger: Ledger) -> Ledger:
    await ledger.guilds.ensure(1, "Lantern Yard")
    await ledger.channels.ensure(100, 1, "lounge")
    for user in (7, 8):
        await ledger.people.ensure(1, user, f"member {user}")
        await ledger.consent.opt_in(1, user)
        await ledger.messages.add(Message(user, 1, 100, user, "", "words", 1_770_000_000_000))
    return ledger


def keeper(ledger: Ledger, tmp_path: Path, *, days: int) -> Housekeeping:
    forgetting = Forgetting(ledger, datasets_dir=tmp_path / "d", runs_dir=tmp_path / "r")
    retention = Retention(
        ledger,
        forgetting,
        datasets_dir=tmp_path / "d",
        runs_dir=tmp_path / "r",
        days=180,
        adapters_kept=2,
        adapter_days=365,
    )
    return Housekeeping(ledger, forgetting, retention, leavers_after_days=days)


class Here:
    """Who is in the guild; None for somebody that Discord cannot tell about."""

    def __init__(self) -> None:
        self.answers: dict[int, bool | None] = {7: True, 8: True}

    async def __call__(self, guild_id: int, user_id: int) -> bool | None:
        return self.answers[user_id]


async def test_somebody_who_left_is_forgotten_after_their_days(
    house: Ledger, tmp_path: Path, clock: FakeClock
) -> None:
    here, housekeeping = Here(), keeper(house, tmp_path, days=30)
    here.answers[7] = False
    assert await housekeeping.see_leavers(here) == []
    clock.advance(days=29)
    assert await housekeeping.see_leavers(here) == []
    clock.advance(days=1)
    assert await housekeeping.see_leavers(here) == [(1, 7)]
    assert [message.author_id for message in await house.messages.of_guild(1)] == [8]


async def test_somebody_who_comes_back_starts_anew(house: Ledger, tmp_path: Path, clock: FakeClock) -> None:
    here, housekeeping = Here(), keeper(house, tmp_path, days=30)
    for present in (False, True, False):
        here.answers[7] = present
        assert await housekeeping.see_leavers(here) == []
        clock.advance(days=20)
    assert await housekeeping.see_leavers(here) == []


async def test_nobody_is_forgotten_when_discord_cannot_be_asked_or_leavers_are_kept(
    house: Ledger, tmp_path: Path, clock: FakeClock
) -> None:
    here, housekeeping = Here(), keeper(house, tmp_path, days=1)
    here.answers[7] = None
    await housekeeping.see_leavers(here)
    clock.advance(days=9)
    assert await housekeeping.see_leavers(here) == []
    here.answers[7] = False
    kept = keeper(house, tmp_path, days=0)
    await kept.see_leavers(here)
    clock.advance(days=9)
    assert await kept.see_leavers(here) == []
    assert len(await house.messages.of_guild(1)) == 2


async def test_a_sweep_completes_what_was_cut_off(house: Ledger, tmp_path: Path) -> None:
    await house.deletions.begin(1, "person", [7], asked_by="member", keep_ms=0)
    await keeper(house, tmp_path, days=0).sweep()
    assert await house.deletions.unfinished() == []


async def test_the_daily_round_survives_a_fault_and_tells_each_guild_its_own_counts(
    house: Ledger, tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    housekeeping, told = keeper(house, tmp_path, days=0), list[tuple[int, str]]()
    housekeeping.tell_with(lambda guild, text: told.append((guild, text)))
    await house.guilds.ensure(2, "Second Home")
    await house.channels.ensure(200, 2, "hall")
    await house.messages.add(Message(9, 2, 200, 9, "", "words", 1_770_000_000_000))
    clock.advance(days=400)
    sweep, rounds = housekeeping.sweep, 0

    async def failing_once() -> Swept:
        nonlocal rounds
        rounds += 1
        if rounds == 1:
            raise OSError("the disk is away")
        return await sweep()

    monkeypatch.setattr(housekeeping, "sweep", failing_once)
    for _ in range(3):
        await housekeeping.daily(Here())
    assert told == [
        (1, "🧹 Deleted by age or date: 2 messages, 0 answers, versions: none."),
        (2, "🧹 Deleted by age or date: 1 messages, 0 answers, versions: none."),
    ]


async def test_somebody_who_opted_out_and_left_is_forgotten_too(
    house: Ledger, tmp_path: Path, clock: FakeClock
) -> None:
    here, housekeeping = Here(), keeper(house, tmp_path, days=1)
    await house.consent.opt_out(1, 7)
    here.answers[7] = False
    await housekeeping.see_leavers(here)
    clock.advance(days=1)
    assert await housekeeping.see_leavers(here) == [(1, 7)]
    assert await house.messages.of_author(1, 7) == []


async def test_a_deletion_that_could_not_be_completed_at_once_is_within_minutes(
    house: Ledger, tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    housekeeping = keeper(house, tmp_path, days=0)
    attempts = 0

    async def busy_twice() -> bool:
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            raise OSError("the disk is away")
        return attempts > 2

    await house.deletions.begin(1, "person", [7], asked_by="member", keep_ms=0)
    await housekeeping.what_is_due()
    assert len(await house.deletions.unfinished()) == 1, "whoever began it may still be at work"
    monkeypatch.setattr(house, "scour", busy_twice)
    clock.advance(seconds=61)
    for _ in range(4):
        await housekeeping.what_is_due()
    assert await house.deletions.unfinished() == []
    assert attempts == 3


async def test_a_version_goes_on_its_date_and_the_admins_are_told_with_the_next_round(
    house: Ledger, tmp_path: Path, clock: FakeClock
) -> None:
    housekeeping = keeper(house, tmp_path, days=0)
    run = await house.runs.create(1, "night")
    await house.runs.learned_from(run.id, [(7, 7)])
    adapter = await house.adapters.reserve(1, run.id, adapters_dir=str(tmp_path / "a"), base_model="tiny")
    await house.promotions.promote(1, adapter.version, by="test")
    forgetting = Forgetting(house, datasets_dir=tmp_path / "d", runs_dir=tmp_path / "r")
    await forgetting.person(1, 7, asked_by="member")
    clock.advance(days=30, minutes=-1)
    await housekeeping.what_is_due()
    assert await house.adapters.champion(1) is not None
    clock.advance(minutes=1)
    await housekeeping.what_is_due()
    assert await house.adapters.champion(1) is None
    assert (await housekeeping.sweep()).versions == (adapter.version,)
    assert (await housekeeping.sweep()).versions == ()


async def test_a_clock_that_jumps_ahead_by_ten_years_destroys_nothing_and_is_reported(
    house: Ledger, tmp_path: Path, clock: FakeClock
) -> None:
    housekeeping, told = keeper(house, tmp_path, days=1), list[tuple[int, str]]()
    watch = ClockWatch(house, seconds=lambda: 0.0)
    housekeeping._watch = watch
    housekeeping.tell_with(lambda guild, text: told.append((guild, text)))
    here = Here()
    here.answers[7] = False
    assert await housekeeping.see_leavers(here) == []
    clock.advance(days=3650)
    for _ in range(2):
        assert not await housekeeping.sweep()
        assert await housekeeping.see_leavers(here) == []
    assert len(await house.messages.of_guild(1)) == 2
    [(guild, text)] = told
    assert guild == 1
    assert "nothing is deleted by age or date" in text
    clock.advance(days=-3650)
    assert not await housekeeping.sweep()
    assert told[1:] == [(1, BELIEVED)]


async def test_what_is_asked_for_is_deleted_whatever_the_clock_shows(
    house: Ledger, tmp_path: Path, clock: FakeClock
) -> None:
    housekeeping = keeper(house, tmp_path, days=0)
    housekeeping._watch = ClockWatch(house, seconds=lambda: 0.0)
    await housekeeping.sweep()
    clock.advance(days=3650)
    await house.deletions.begin(1, "person", [7], asked_by="member", keep_ms=0)
    await housekeeping.sweep()
    assert await house.deletions.unfinished() == []
    assert [message.author_id for message in await house.messages.of_guild(1)] == [8]
