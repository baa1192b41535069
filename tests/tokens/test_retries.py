"""How a refresh or a revocation is retried, and when requests to a data center pause."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from support.claims import over_rows
from support.harness import ANNA, Harness
from support.tokens import current_grant, seconds_left, token_failure

from wizard.model import GrantState, RequestKind, TokenRequest
from wizard.tokens.budgets import paused_until
from wizard.transport import TOTAL_TIMEOUT_SECONDS

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
TOKEN = "oauth/v2/token"
NETWORK_FAULTS = {
    "connection-closed": "network-reset",
    "slow": "network-timeout",
    "data-center-down": "data-center-down",
    "server-error": "data-center-down",
}
"""Faults in transit or of the server that may be retried."""
NOT_ZOHO = {
    "html-page": "not-json",
    "truncated-json": "not-json",
    "unexpected-json": "malformed-answer",
    "oversize": "answer-too-large",
    "redirect": "unexpected-redirect",
}
"""Responses that don't come from Zoho."""


def lay(
    harness: Harness, kind: str, times: int, *, endpoint: str = TOKEN, processed: bool = False
) -> None:
    """Add a fault.

    The transport has a short timeout only where a response is delayed, so that a busy machine turns
    no other fault into a timeout.
    """
    harness.services.transport.total_timeout_seconds = (
        2.0 if kind == "slow" else TOTAL_TIMEOUT_SECONDS
    )
    harness.controls.inject_fault(
        kind, endpoint=endpoint, times=times, seconds=60, processed=processed
    )


@pytest.fixture
def without_cached_token(harness: Harness) -> Harness:
    """A verified connection without its cached token."""
    harness.add_verified_connection()
    harness.services.token_cache.remove("crm")
    harness.controls.clear_journal()
    return harness


@pytest.mark.parametrize("kind", NETWORK_FAULTS)
def test_a_refresh_that_fails_in_transit_is_sent_again(
    without_cached_token: Harness, kind: str
) -> None:
    lay(without_cached_token, kind, times=2)
    assert without_cached_token.services.tokens.access_token("crm").value
    outcomes = [
        ask.outcome for ask in without_cached_token.services.request_log.view("crm").requests
    ]
    assert outcomes[:3] == ["ok", NETWORK_FAULTS[kind], NETWORK_FAULTS[kind]]


def test_with_a_usable_token_a_failing_refresh_is_sent_once(harness: Harness) -> None:
    harness.add_verified_connection()
    first = harness.services.tokens.access_token("crm")
    harness.controls.clear_journal()
    harness.advance(seconds=seconds_left(harness, first) - 200)
    harness.controls.inject_fault("data-center-down", endpoint=TOKEN)
    assert harness.services.tokens.access_token("crm").stale
    assert len(harness.refresh_requests()) == 1


@pytest.mark.parametrize("dated", [False, True])
def test_a_server_that_names_a_time_gets_no_earlier_request(
    without_cached_token: Harness, dated: bool
) -> None:
    until = without_cached_token.now() + timedelta(seconds=120)
    named = format_datetime(until, usegmt=True) if dated else "120"
    without_cached_token.controls.inject_fault(
        "data-center-down", endpoint=TOKEN, retry_after=named
    )
    for _ in range(3):
        failure = token_failure(without_cached_token)
        assert failure.retry_at is not None
        assert abs((failure.retry_at - until).total_seconds()) < 3
    assert len(without_cached_token.refresh_requests()) == 1
    without_cached_token.advance(seconds=122)
    assert without_cached_token.services.tokens.access_token("crm").value


def test_a_short_wait_named_by_the_server_is_waited_out(without_cached_token: Harness) -> None:
    begun = without_cached_token.now()
    without_cached_token.controls.inject_fault("data-center-down", endpoint=TOKEN, retry_after="7")
    assert without_cached_token.services.tokens.access_token("crm").value
    assert (without_cached_token.now() - begun).total_seconds() >= 7


@pytest.mark.parametrize(("named", "seconds"), [("", 600), ("90", 90), ("1200", 1200)])
def test_a_rate_limit_lasts_as_long_as_it_says_or_ten_minutes(
    without_cached_token: Harness, named: str, seconds: int
) -> None:
    without_cached_token.controls.inject_fault("rate-limit", endpoint=TOKEN, retry_after=named)
    for _ in range(3):
        rate_limited = token_failure(without_cached_token)
        assert rate_limited.code == "throttled"
        assert rate_limited.retry_at is not None
    assert len(without_cached_token.refresh_requests()) == 1
    without_cached_token.advance(seconds=seconds - 5)
    assert token_failure(without_cached_token).code == "throttled"
    without_cached_token.advance(seconds=6)
    assert without_cached_token.services.tokens.access_token("crm").value


def test_a_rate_limit_is_recognized_in_any_language(without_cached_token: Harness) -> None:
    without_cached_token.controls.change_settings(localized_rate_limit=True)
    without_cached_token.controls.inject_fault("rate-limit", endpoint="oauth/v2/token")
    assert token_failure(without_cached_token).code == "throttled"


# --- Requests to a data center that doesn't respond pause ----------------------------------------


def test_after_five_consecutive_failures_requests_pause_for_half_a_minute(
    without_cached_token: Harness,
) -> None:
    harness = without_cached_token
    harness.controls.inject_fault("data-center-down", endpoint=TOKEN, times=99)
    assert token_failure(harness).code == "data-center-down"
    resting = token_failure(harness)
    assert resting.code == "zoho-paused"
    assert resting.retry_at is not None
    assert len(harness.refresh_requests()) == 5
    assert 0 < (resting.retry_at - harness.now()).total_seconds() <= 30
    assert token_failure(harness).code == "zoho-paused"
    assert len(harness.refresh_requests()) == 5


def test_after_the_pause_one_request_is_tried_and_a_response_ends_it(
    without_cached_token: Harness,
) -> None:
    harness = without_cached_token
    harness.controls.inject_fault("data-center-down", endpoint=TOKEN, times=6)
    token_failure(harness), token_failure(harness)
    harness.advance(minutes=11)  # its own budget is unused again, too
    resting = token_failure(harness)
    assert resting.code == "zoho-paused"
    assert len(harness.refresh_requests()) == 6
    assert resting.retry_at is not None
    harness.advance(seconds=(resting.retry_at - harness.now()).total_seconds() + 1)
    assert harness.services.tokens.access_token("crm").value
    harness.services.token_cache.remove("crm")
    assert harness.services.tokens.access_token("crm").value


def token_requests(*outcomes: str, minutes_between: int = 1) -> list[TokenRequest]:
    """Refreshes with these outcomes, newest first and at `NOW`."""
    spans = [timedelta(seconds=minutes_between * number) for number in range(len(outcomes))]
    return [
        TokenRequest(RequestKind.REFRESH, NOW - span, "eu", "1000.X", "crm", 1, outcome=outcome)
        for span, outcome in zip(spans, outcomes, strict=True)
    ]


@over_rows(("failures", "seconds"), [(5, 30), (6, 60), (7, 120), (8, 240), (9, 300), (50, 300)])
def test_each_further_failure_doubles_the_pause_up_to_five_minutes(
    failures: int, seconds: int
) -> None:
    requests = token_requests(*["network-timeout"] * failures)
    assert paused_until(requests, NOW) == NOW + timedelta(seconds=seconds)
    assert paused_until(requests, NOW + timedelta(seconds=seconds)) is None


def test_while_one_process_tries_the_others_wait_unless_it_was_killed() -> None:
    failed = token_requests(*["data-center-down"] * 5)
    after = NOW + timedelta(seconds=31)
    probe = replace(token_requests("pending")[0], at=after)
    assert paused_until([probe, *failed], after) == after + timedelta(seconds=30)
    assert paused_until([probe, *failed], after + timedelta(seconds=30)) is None


@over_rows("answer", ["ok", "invalid-code", "throttled", "invalid-client"])
def test_any_response_from_zoho_resets_the_count(answer: str) -> None:
    failed = ["data-center-down"] * 4
    assert paused_until(token_requests(*failed, answer, *failed), NOW) is None


def test_a_request_never_sent_neither_counts_nor_resets_the_count() -> None:
    assert paused_until(token_requests(*["not-sent"] * 9), NOW) is None
    failed = ["data-center-down", "not-sent"] * 5
    assert paused_until(token_requests(*failed), NOW) == NOW + timedelta(seconds=30)


# --- A network failure is inconclusive -----------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("processed", [pytest.param(False, marks=pytest.mark.slow), True])
def test_no_series_of_faults_rejects_a_valid_grant_and_a_revocation_is_detected(
    harness: Harness, processed: bool
) -> None:
    harness.add_verified_connection()
    for kind in (*NETWORK_FAULTS, *NOT_ZOHO, "rate-limit"):
        harness.services.token_cache.remove("crm")
        harness.controls.clear_faults()
        lay(harness, kind, times=9, processed=processed)
        assert token_failure(harness).code != "refresh-token-rejected"
        assert current_grant(harness).state is GrantState.VERIFIED
        harness.advance(minutes=11)
    harness.controls.clear_faults()
    harness.controls.change_password(ANNA)
    harness.controls.clear_journal()
    assert token_failure(harness).code == "refresh-token-rejected"
    assert [each["outcome"] for each in harness.refresh_requests()] == ["invalid_code"] * 2


# --- Revocation ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", NETWORK_FAULTS)
def test_a_revocation_with_a_lost_response_is_sent_again(
    without_cached_token: Harness, kind: str
) -> None:
    lay(without_cached_token, kind, times=2, endpoint="revoke", processed=True)
    without_cached_token.services.tokens.revoke(current_grant(without_cached_token))
    assert current_grant(without_cached_token).state is GrantState.REVOKED
