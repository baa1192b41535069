"""Times, ages and durations, for people and for machines."""

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wizard.timefmt import (
    format_age,
    format_date,
    format_duration,
    format_duration_option,
    format_iso,
    format_time,
    parse_duration,
    parse_iso,
)

NOW = datetime(2026, 11, 28, 14, 5, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)


def test_a_time_has_its_day_unless_it_is_today_and_its_year_unless_it_is_this_year() -> None:
    assert format_time(NOW, NOW, UTC) == "14:05"
    assert format_time(NOW, NOW, UTC, seconds=True) == "14:05:09"
    assert format_time(NOW + 10 * HOUR, NOW, UTC) == "Nov 29, 00:05"
    assert format_time(NOW - 24 * HOUR, NOW, UTC, seconds=True) == "Nov 27, 14:05:09"
    assert format_time(NOW + timedelta(days=40), NOW, UTC) == "Jan 7, 2027, 14:05"
    assert format_time(NOW, None, UTC) == "Nov 28, 2026, 14:05"


def test_today_depends_on_the_time_zone_of_the_reader() -> None:
    kolkata, midnight = timezone(timedelta(hours=5, minutes=30)), NOW.replace(hour=18, minute=30)
    assert format_time(midnight, NOW, UTC) == "18:30"
    assert format_time(midnight, NOW, kolkata) == "Nov 29, 00:00"
    assert format_date(midnight, kolkata) == "Nov 29, 2026"


def test_the_default_time_zone_is_that_of_this_machine() -> None:
    program = (
        "from datetime import *; from wizard.timefmt import *; at = datetime(2026, 11, 28, "
        "22, tzinfo=UTC); print(format_time(at, at), format_date(at), sep='; ')"
    )
    environment = {**os.environ, "TZ": "Asia/Tokyo"}
    said = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=True
    ).stdout
    assert said == "07:00; Nov 29, 2026\n"


@pytest.mark.parametrize(
    ("age", "text"),
    [
        (timedelta(seconds=-5), "just now"),
        (timedelta(seconds=59), "just now"),
        (timedelta(minutes=1), "1 minute ago"),
        (timedelta(minutes=59), "59 minutes ago"),
        (timedelta(minutes=119), "1 hour ago"),
        (timedelta(hours=47), "47 hours ago"),
        (timedelta(hours=48), "2 days ago"),
    ],
)
def test_an_age_has_one_unit(age: timedelta, text: str) -> None:
    assert format_age(NOW - age, NOW) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-3, "0 s"),
        (0.4, "0 s"),
        (45, "45 s"),
        (60, "1 min"),
        (75, "1 min 15 s"),
        (7_500, "2 h 5 min"),
        (7_501, "2 h 5 min"),
        (3_601, "1 h"),
        (3 * 86_400, "3 d"),
        (3 * 86_400 + 4 * 3_600, "3 d 4 h"),
    ],
)
def test_a_duration_has_two_units_at_most(seconds: float, text: str) -> None:
    assert format_duration(timedelta(seconds=seconds)) == text


@given(st.integers(0, 99_999))
def test_a_duration_is_parsed_from_an_option_as_it_was_written(seconds: int) -> None:
    span = timedelta(seconds=seconds)
    assert parse_duration(format_duration_option(span)) == span


def test_a_duration_option_uses_seconds_minutes_or_hours() -> None:
    assert parse_duration("90") == parse_duration("90s") == timedelta(seconds=90)
    assert (parse_duration("15m"), parse_duration("2h")) == (timedelta(minutes=15), 2 * HOUR)
    for text in ("", "m", "1d", "-1s", "1.5h", "100000", "1 h", "١m", "1h5m"):
        with pytest.raises(ValueError, match="not a duration"):
            parse_duration(text)


@given(st.datetimes(timezones=st.just(UTC)), st.datetimes(timezones=st.just(UTC)))
def test_iso_times_read_back_and_sort_like_times(one: datetime, other: datetime) -> None:
    assert parse_iso(format_iso(one)) == one
    assert (format_iso(one) < format_iso(other)) == (one < other)


def test_a_time_without_a_zone_is_neither_written_nor_read() -> None:
    with pytest.raises(ValueError, match="zone"):
        format_iso(NOW.replace(tzinfo=None))
    with pytest.raises(ValueError, match="zone"):
        parse_iso("2026-11-28T14:05:09")
