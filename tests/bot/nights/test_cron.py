"""Cron lines on wall clocks, across both changes of the year."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.nights.cron import WallClockCron
from ledger.settings import Settings
from tests.timing import cpu_seconds

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


FIELDS = [
    # Minute, hour, day of month, month, day of week; the first times from Thursday, 1 January 2026 on, UTC.
    ("*/20 4 * * *", ["01-01T04:00", "01-01T04:20", "01-01T04:40", "01-02T04:00"]),
    ("5-9/2 4 * * *", ["01-01T04:05", "01-01T04:07", "01-01T04:09", "01-02T04:05"]),
    ("50,10 4 * * *", ["01-01T04:10", "01-01T04:50", "01-02T04:10"]),
    ("1-2,10-11 4 * * *", ["01-01T04:01", "01-01T04:02", "01-01T04:10", "01-01T04:11"]),
    ("0 */8 * * *", ["01-01T00:00", "01-01T08:00", "01-01T16:00", "01-02T00:00"]),
    ("0 22-23 * * *", ["01-01T22:00", "01-01T23:00", "01-02T22:00"]),
    ("0 3 */10 * *", ["01-01T03:00", "01-11T03:00", "01-21T03:00", "01-31T03:00", "02-01T03:00"]),
    ("0 3 31 * *", ["01-31T03:00", "03-31T03:00", "05-31T03:00"]),
    ("0 3 1 */6 *", ["01-01T03:00", "07-01T03:00"]),
    ("0 3 1 feb,apr *", ["02-01T03:00", "04-01T03:00"]),
    ("0 3 1 JAN-MAR *", ["01-01T03:00", "02-01T03:00", "03-01T03:00"]),
    ("0 3 * * mon-fri", ["01-01T03:00", "01-02T03:00", "01-05T03:00"]),
    ("0 3 * * 5-7", ["01-02T03:00", "01-03T03:00", "01-04T03:00", "01-09T03:00"]),
    ("0 3 * * */3", ["01-03T03:00", "01-04T03:00", "01-07T03:00"]),
    # Where both days are named, either is enough; where one begins with a star, both have to agree.
    ("0 3 13 * 5", ["01-02T03:00", "01-09T03:00", "01-13T03:00", "01-16T03:00"]),
    ("0 3 */2 * 1", ["01-05T03:00", "01-19T03:00", "02-09T03:00"]),
    ("0  3   *\t* *", ["01-01T03:00", "01-02T03:00"]),
]


@pytest.mark.parametrize(("line", "times"), FIELDS)
def test_each_field_is_read_as_cron_reads_it(line: str, times: list[str]) -> None:
    Settings.model_validate({"schedule": {"cron": line}})
    found = [due.removeprefix("2026-")[:11] for due in dues(line, START, len(times), ZoneInfo("UTC"))]
    assert found == times


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("0 3 30 2 *", "Bad day-of-month"),
        ("0 3 31 4,6,9,11 *", "Bad day-of-month"),
        ("0 3 31 4 */2", "Bad day-of-month"),
        ("0 3 29 2#3 *", "Bad month"),
        ("60 3 * * *", "Bad minute"),
        ("0 24 * * *", "Bad hour"),
        ("0 3 0 * *", "Bad day-of-month"),
        ("0 3 * 13 *", "Bad month"),
        ("0 3 * * 8", "Bad day-of-week"),
        ("0 3 * * fri-mon", "Bad day-of-week"),
        ("0 3 * * */0", "Bad day-of-week"),
        ("0 3 * * l", "Bad day-of-week"),
        ("0 3 , * *", "Bad day-of-month"),
        ("0 3 * *", "five fields"),
        ("0 0 3 * * *", "five fields"),
        ("@daily", "five fields"),
        ("", "five fields"),
    ],
)
def test_what_is_no_cron_line_or_never_comes_is_refused_by_the_settings(line: str, told: str) -> None:
    with pytest.raises(ValueError, match=r"write e\.g\. '0 3 \* \* \*'") as refused:
        Settings.model_validate({"schedule": {"cron": line}})
    assert told in str(refused.value)


def test_a_star_runs_through_both_changes_of_the_clocks_without_a_gap() -> None:
    for change in (datetime(2026, 3, 28, 23, tzinfo=UTC), datetime(2026, 10, 24, 23, tzinfo=UTC)):
        cron, moment = WallClockCron("*/30 * * * *", BERLIN), change
        for _ in range(10):
            due = cron.due(moment + timedelta(seconds=1))
            assert due == moment + timedelta(minutes=30)
            moment = due


@pytest.mark.parametrize(
    "line", ["* * * * *", "*/5 * * * *", "0 3 * * *", "0 3 1 * *", "0 3 29 2 *", "0 3 29 2 */7"]
)
def test_a_look_back_and_ahead_costs_milliseconds_for_every_line(line: str) -> None:
    cron, now = WallClockCron(line, BERLIN), datetime(2026, 10, 12, 9, tzinfo=UTC)
    last, following = cron.last_due(now), cron.due(now + timedelta(seconds=1))
    assert cpu_seconds(lambda: (cron.last_due(now), cron.due(now + timedelta(seconds=1)))) < 0.2
    assert last is not None
    assert following is not None
    assert last <= now < following


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
    # And looked at from behind, it is the last one until the next.
    assert cron.last_due(first) == first
    assert cron.last_due(second - timedelta(seconds=1)) == first


def test_the_scheduler_gets_each_time_once() -> None:
    cron = WallClockCron("30 2 * * *", BERLIN)
    now = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    assert cron.get_next_fire_time(None, now) == now
    assert cron.get_next_fire_time(now, now) == datetime(2026, 10, 26, 1, 30, tzinfo=UTC)
