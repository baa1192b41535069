"""A time that a server names is shown with a fix, and an impossible one is ignored."""

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

from support.claims import over_rows
from support.raw_server import RawServer, http_response

from wizard import zoho
from wizard.errors import explain
from wizard.model import Explanation, Failure, HttpExchange
from wizard.oauth import parse_token_response
from wizard.product_api import ProductApi
from wizard.transport import HttpResponse, Transport

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
EU = zoho.load().data_center("eu")
GOOD = {"access_token": "1000.a.b", "expires_in": 3600}


def answered(status: int, body: object, **headers: str) -> HttpResponse:
    exchange = HttpExchange("POST", EU.token_endpoint, {}, status, "", NOW)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return HttpResponse(status, named, json.dumps(body).encode(), exchange)


@over_rows(
    ("off", "is_believed"),
    [
        (timedelta(0), True),
        (timedelta(minutes=-5), True),
        (timedelta(hours=23), True),
        (timedelta(days=2), False),
        (timedelta(days=-2), False),
        (timedelta(days=365 * 7_973), False),
    ],
)
def test_a_date_off_by_days_says_nothing_about_the_clock_of_this_computer(
    off: timedelta, is_believed: bool
) -> None:
    date = format_datetime(NOW + off, usegmt=True)
    token = parse_token_response(answered(200, GOOD, date=date), EU, NOW)
    assert token.server_time == (NOW + off if is_believed else None)


def test_the_account_page_uses_the_same_bound() -> None:
    for date, is_believed in ((NOW + timedelta(hours=1), True), (NOW.replace(year=9999), False)):
        body = json.dumps({"ZUID": 7, "Email": "a@b.example"})
        header = format_datetime(date, usegmt=True)
        with RawServer(http_response(200, body, Date=header)) as server:
            table = zoho.load(server.url)
            _, found = ProductApi(Transport(table, lambda: NOW), table).account("1000.a.b", "eu")
        assert found == (date if is_believed else None)


def commands(explanation: Explanation) -> list[str]:
    return [each.command for each in explanation.next_steps]


def test_a_first_503_with_a_time_shows_it_and_the_override() -> None:
    until = NOW + timedelta(minutes=30)
    failure = Failure("data-center-down", details={"status": "503"}, retry_at=until)
    found = explain(failure, NOW, name="crm")
    assert f"after {until.astimezone():%H:%M}" in found.fix
    assert "a few minutes" not in found.fix
    assert commands(found) == ["zoho-wizard check crm --ignore-wait"]
    unnamed = explain(Failure("data-center-down", details={"status": "503"}), NOW, name="crm")
    assert "in a few minutes" in unnamed.fix
    assert unnamed.next_steps == ()


@over_rows("code", ["throttled", "zoho-paused", "token-budget", "refused-for-now"])
@over_rows(("minutes", "option"), [(1, "15m"), (14, "15m"), (30, "31m"), (60, "61m")])
def test_a_wait_is_offered_only_while_it_helps(code: str, minutes: int, option: str) -> None:
    failure = Failure(code, temporary=True, retry_at=NOW + timedelta(minutes=minutes))
    found = commands(explain(failure, NOW, name="crm"))
    assert [each.partition(" --wait ")[2] for each in found if "--wait" in each] == [option]
