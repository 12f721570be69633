"""A clock that jumps: doubted, within a process and across restarts, and believed again for a reason."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from ledger.clock_watch import ClockWatch, since_boot
from ledger.store import Ledger
from tests.conftest import FakeClock

START = datetime(2026, 3, 2, 12, tzinfo=UTC)


class Boot:
    """Seconds since the machine was started."""

    def __init__(self) -> None:
        self.passed = 0.0

    def __call__(self) -> float:
        return self.passed


@pytest.fixture
def boot() -> Boot:
    return Boot()


def go_on(clock: FakeClock, boot: Boot, **parts: float) -> None:
    """Let time pass on both clocks."""
    passed = timedelta(**parts)
    clock.advance(passed)
    boot.passed += passed.total_seconds()


async def test_time_that_passes_is_believed(ledger: Ledger, clock: FakeClock, boot: Boot) -> None:
    watch = ClockWatch(ledger, seconds=boot)
    for days in (0, 1, 30, 400):  # asleep, too
        go_on(clock, boot, days=days)
        assert await watch.look()
        assert watch.problem == ""


@pytest.mark.parametrize("jump", [timedelta(days=8), timedelta(days=3650), -timedelta(days=8)])
async def test_a_jump_is_doubted_until_the_clock_is_set_right(
    jump: timedelta, ledger: Ledger, clock: FakeClock, boot: Boot
) -> None:
    watch = ClockWatch(ledger, seconds=boot)
    assert await watch.look()
    clock.advance(jump)
    for _ in range(3):
        go_on(clock, boot, minutes=1)
        assert not await watch.look()
    assert f"<t:{int(clock.now().timestamp())}:F>" in watch.problem
    clock.advance(-jump)
    assert await watch.look()
    assert watch.problem == ""


async def test_a_jump_is_believed_when_discords_time_agrees(
    ledger: Ledger, clock: FakeClock, boot: Boot
) -> None:
    watch = ClockWatch(ledger, seconds=boot)
    await watch.look()
    clock.advance(days=8)
    assert not await watch.look()
    watch.heard(START)
    assert not await watch.look()
    watch.heard(clock.now() - timedelta(seconds=20))
    assert await watch.look()
    go_on(clock, boot, days=1)
    assert await watch.look()


async def test_a_jump_while_the_bot_was_off_is_noticed_at_its_start(
    ledger: Ledger, clock: FakeClock, boot: Boot
) -> None:
    assert await ClockWatch(ledger, seconds=boot).look()
    for later, believed in (
        (timedelta(days=6), True),
        (timedelta(days=-2), False),
        (timedelta(days=9), False),
    ):
        before = clock.now()
        clock.advance(later)
        assert await ClockWatch(ledger, seconds=boot).look() == believed
        if not believed:
            clock.set(before)
    assert await ClockWatch(ledger, seconds=boot).look()


async def test_a_clock_in_doubt_is_not_what_the_next_start_compares_with(
    ledger: Ledger, clock: FakeClock, boot: Boot
) -> None:
    watch = ClockWatch(ledger, seconds=boot)
    await watch.look()
    clock.advance(days=3650)
    await watch.look()
    assert not await ClockWatch(ledger, seconds=boot).look()
    clock.set(START)
    assert await ClockWatch(ledger, seconds=boot).look()


def test_the_machines_own_time_goes_on() -> None:
    assert since_boot() <= since_boot()
