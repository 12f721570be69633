"""Clocks: time in milliseconds and back, and a clock that can be set."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from ledger.clock import OffsetClock, SystemClock, from_ms, to_ms


@given(st.integers(min_value=0, max_value=4_102_444_800_000))
def test_milliseconds_survive_the_way_to_a_date_and_back(milliseconds: int) -> None:
    assert to_ms(from_ms(milliseconds)) == milliseconds
    assert from_ms(milliseconds).tzinfo is UTC


def test_the_same_moment_in_another_zone_is_the_same_number() -> None:
    noon = datetime(2026, 3, 2, 12, tzinfo=UTC)
    assert to_ms(noon.astimezone(timezone(timedelta(hours=9)))) == to_ms(noon)


def test_the_systems_clock_tells_utc() -> None:
    assert SystemClock().now().utcoffset() == timedelta(0)


def test_a_clock_that_was_set_runs_on_from_there() -> None:
    clock = OffsetClock(datetime(2026, 3, 2, 12, tzinfo=UTC))
    first = clock.now()
    assert first <= clock.now() < first + timedelta(seconds=5)
    clock.set(datetime(2026, 3, 3, 3, tzinfo=UTC))
    assert timedelta(0) <= clock.now() - datetime(2026, 3, 3, 3, tzinfo=UTC) < timedelta(seconds=5)
