"""Cron lines on wall clocks, across both changes of the year."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.cron import WallClockCron

BERLIN = ZoneInfo("Europe/Berlin")
START = datetime(2026, 1, 1, tzinfo=UTC)


def dues(line: str, start: datetime, count: int, zone: ZoneInfo = BERLIN) -> list[str]:
    """Return the next due times as the zone's clock shows them."""
    cron, found = WallClockCron(line, zone), []
    for _ in range(count):
        due = cron.due(start)
        assert due is not None
        found.append(due.astimezone(zone).isoformat(timespec="minutes"))
        start = due + timedelta(seconds=1)
    return found


def test_three_o_clock_stays_three_o_clock_when_summer_time_begins_and_ends() -> None:
    assert dues("0 3 * * *", datetime(2026, 3, 28, 1, tzinfo=UTC), 3) == [
        "2026-03-28T03:00+01:00",
        "2026-03-29T03:00+02:00",
        "2026-03-30T03:00+02:00",
    ]
    assert dues("0 3 * * *", datetime(2026, 10, 24, 1, tzinfo=UTC), 3) == [
        "2026-10-24T03:00+02:00",
        "2026-10-25T03:00+01:00",
        "2026-10-26T03:00+01:00",
    ]


def test_a_time_that_the_clock_shows_twice_is_due_once() -> None:
    assert dues("30 2 * * *", datetime(2026, 10, 24, 12, tzinfo=UTC), 2) == [
        "2026-10-25T02:30+02:00",
        "2026-10-26T02:30+01:00",
    ]


def test_a_time_that_the_clock_leaves_out_is_due_an_hour_later() -> None:
    assert dues("30 2 * * *", datetime(2026, 3, 28, 12, tzinfo=UTC), 2) == [
        "2026-03-29T03:30+02:00",
        "2026-03-30T02:30+02:00",
    ]


@pytest.mark.parametrize(
    ("field", "days"),
    [
        ("0", "Sun"),
        ("7", "Sun"),
        ("1", "Mon"),
        ("sat", "Sat"),
        ("1-5", "Mon Tue Wed Thu Fri"),
        ("0-2", "Sun Mon Tue"),
        ("5-7", "Fri Sat Sun"),
        ("0,3", "Sun Wed"),
        ("1-7/2", "Mon Wed Fri Sun"),
    ],
)
def test_weekdays_count_from_sunday_as_in_cron(field: str, days: str) -> None:
    cron = WallClockCron(f"0 3 * * {field}", BERLIN)
    seen, moment = set(), START
    for _ in range(7):
        due = cron.due(moment)
        assert due is not None
        seen.add(f"{due:%a}")
        moment = due + timedelta(seconds=1)
    assert seen == set(days.split())


def test_a_date_that_never_comes_is_never_due() -> None:
    assert WallClockCron("0 3 30 2 *", BERLIN).due(START) is None


@given(
    st.integers(0, 59),
    st.integers(0, 23),
    st.integers(0, 365 * 24 * 60),
    st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "UTC"]),
)
def test_every_day_has_one_due_time_and_none_is_passed_over(
    minute: int, hour: int, later: int, zone: str
) -> None:
    cron, moment = WallClockCron(f"{minute} {hour} * * *", ZoneInfo(zone)), START + timedelta(minutes=later)
    first = cron.due(moment)
    assert first is not None
    assert moment <= first <= moment + timedelta(hours=26)
    second = cron.due(first + timedelta(seconds=1))
    assert second is not None
    assert timedelta(hours=22) <= second - first <= timedelta(hours=26)
    # Asked at any time up to it, the answer is the same.
    assert cron.due(first) == first
    assert cron.due(moment + (first - moment) / 2) == first


def test_the_scheduler_is_told_each_time_once() -> None:
    cron = WallClockCron("30 2 * * *", BERLIN)
    now = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    assert cron.get_next_fire_time(None, now) == now
    assert cron.get_next_fire_time(now, now) == datetime(2026, 10, 26, 1, 30, tzinfo=UTC)
