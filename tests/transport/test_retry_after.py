"""How long a server's headers can make the wizard wait."""

from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.claims import over_rows

from wizard.errors import WizardError, explain
from wizard.model import Failure, HttpExchange, RequestKind, TokenRequest, VerificationReport
from wizard.oauth import parse_token_response
from wizard.reauthorization.plan import retry_time
from wizard.tokens.budgets import paused_until, rate_limited_until
from wizard.transport import HttpResponse, bounded, retry_at
from wizard.zoho import load

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
FAR = datetime(2999, 1, 1, tzinfo=UTC)


def answered(body: bytes = b"", status: int = 503, **headers: str) -> HttpResponse:
    exchange = HttpExchange("POST", "https://accounts.zoho.eu/oauth/v2/token", {}, status, "", NOW)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return HttpResponse(status, named, body, exchange)


def http(at: datetime) -> str:
    return format_datetime(at, usegmt=True)


@over_rows(
    ("named", "seconds"),
    [
        ("30", 30),
        ("0030", 30),
        ("3600", 3600),
        ("3601", 3600),
        ("86400", 3600),
        ("9" * 9, 3600),
        ("9" * 5000, 3600),
        (http(NOW + timedelta(seconds=30)), 30),
        (http(FAR), 3600),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 3600),
        ("0", None),
        ("-30", None),
        ("", None),
        ("soon", None),
        ("1e3", None),
        ("²", None),
        ("٣٠", None),
        (http(NOW), None),
        (http(NOW - timedelta(days=1)), None),
        ("Mon, 01 Jan 0001 00:00:00 GMT", None),
        ("Fri, 31 Dec 9999 23:59:59 -2359", None),
    ],
)
def test_a_wait_is_at_most_an_hour_and_none_without_a_future_time(
    named: str, seconds: int | None
) -> None:
    found = retry_at(answered(retry_after=named), NOW)
    assert found == (None if seconds is None else NOW + timedelta(seconds=seconds))


@over_rows(
    ("date", "seconds"),
    [
        (http(NOW), 90),
        (http(NOW + timedelta(minutes=1)), 30),
        (http(NOW - timedelta(hours=23)), 3600),
        (http(FAR), 90),
        ("Mon, 01 Jan 0001 00:00:00 GMT", 90),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 90),
        (http(NOW - timedelta(days=365)), 90),
        ("yesterday", 90),
    ],
)
def test_a_date_uses_the_server_clock_unless_that_is_years_off(date: str, seconds: int) -> None:
    named = http(NOW + timedelta(seconds=90))
    found = retry_at(answered(retry_after=named, date=date), NOW)
    assert found == NOW + timedelta(seconds=seconds)


TIMES = st.datetimes(timezones=st.just(UTC)).map(http) | st.builds(
    lambda at, minutes: format_datetime(at.replace(tzinfo=timezone(timedelta(minutes=minutes)))),
    st.datetimes(),
    st.integers(-1439, 1439),
)
HEADERS = TIMES | st.integers().map(str) | st.text(max_size=60)


@given(HEADERS, HEADERS, st.sampled_from([503, 429, 200, 400]))
def test_no_header_extends_the_wait_or_changes_the_failure(
    named: str, date: str, status: int
) -> None:
    answer = answered(b"{}", status, retry_after=named, date=date)
    found = retry_at(answer, NOW)
    assert found is None or NOW < found <= NOW + HOUR
    with pytest.raises(WizardError) as raised:
        parse_token_response(answer, load().data_center("eu"), NOW)
    until = raised.value.failure.retry_at
    assert until is None or NOW < until <= NOW + HOUR


@given(st.datetimes(timezones=st.just(UTC)))
def test_a_stored_wait_is_bounded_when_it_is_read(stored: datetime) -> None:
    found = bounded(stored, NOW)
    assert found == (min(stored, NOW + HOUR) if stored > NOW else None)


def ask(outcome: str, until: datetime | None, ago: timedelta = timedelta(0)) -> TokenRequest:
    return TokenRequest(
        RequestKind.REFRESH, NOW - ago, "eu", "1000.X", "crm", 1, "", outcome, until
    )


def test_a_distant_wait_of_an_old_database_ends_an_hour_after_it_was_named() -> None:
    assert rate_limited_until([ask("throttled", FAR)], NOW) == NOW + HOUR
    assert rate_limited_until([ask("throttled", FAR, HOUR)], NOW) is None
    assert paused_until([ask("data-center-down", FAR)], NOW) == NOW + HOUR
    assert paused_until([ask("data-center-down", FAR, HOUR)], NOW) is None
    report = VerificationReport("crm", 1, (), NOW, NOW)
    assert retry_time(Failure("throttled", temporary=True, retry_at=FAR), report) == NOW + HOUR


def test_only_a_response_to_the_same_grant_ends_a_rate_limit() -> None:
    rate_limited = ask("throttled", NOW + HOUR, timedelta(minutes=5))
    for outcome in ("ok", "invalid-code"):
        assert rate_limited_until([ask(outcome, None), rate_limited], NOW) is None
    for outcome in ("pending", "not-sent", "network-timeout", "data-center-down"):
        assert rate_limited_until([ask(outcome, None), rate_limited], NOW) == NOW + timedelta(
            minutes=55
        )
    other = TokenRequest(RequestKind.REFRESH, NOW, "eu", "1000.X", "books", 1, "", "ok")
    assert rate_limited_until([other, rate_limited], NOW) == NOW + timedelta(minutes=55)


def test_a_time_on_another_day_is_shown_with_its_date() -> None:
    here = NOW.astimezone().replace(hour=23, minute=40)
    failure = Failure("throttled", temporary=True, retry_at=here + HOUR)
    assert "Wait until Nov 24, 00:40." in explain(failure, here).fix
    assert "Wait until 00:40." in explain(failure, here + HOUR).fix
    assert "Wait until Nov 24, 2026, 00:40." in explain(failure).fix
