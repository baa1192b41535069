"""The result of each event during a request to the accounts server.

A code is posted at most once, a refresh and a revocation are repeated where that can help, and no
network failure counts as a rejection.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from email.utils import format_datetime

import pytest
from support.harness import ANNA, Harness, query_parameters
from support.tokens import current_grant

from wizard.authorization.callback import classify_exchange_failure
from wizard.errors import WizardError
from wizard.model import AttemptState, Failure, GrantState, RequestKind
from wizard.tokens.refresh import retry_delay
from wizard.zoho import load

TOKEN, REVOKE = "oauth/v2/token", "oauth/v2/revoke"
SUCCESS = ""
"""The request succeeded: there is no grant anymore."""

Event = Callable[[Harness, str], object]
"""Makes it happen from now on to requests at an endpoint."""


def inject_fault(kind: str, status: int = 400) -> Event:
    """A fault of the simulator that lasts longer than any retry."""

    def inject(harness: Harness, endpoint: str) -> None:
        harness.controls.change_settings(rate_limit_status=status)
        harness.controls.inject_fault(kind, endpoint=endpoint, times=99, seconds=60)
        if kind == "slow":  # a busy machine turns no other fault into a timeout
            harness.services.transport.total_timeout_seconds = 1.0

    return inject


def unreachable(harness: Harness, _endpoint: str) -> None:
    harness.simulator.stop()


def rotate_secret(harness: Harness, _endpoint: str) -> None:
    harness.controls.rotate_secret(harness.registered_client["client_id"])


def expire_credential(harness: Harness, endpoint: str) -> None:
    """The code is too old; the refresh token was revoked by a password change."""
    harness.controls.change_password(ANNA)
    harness.advance(seconds=121)


@dataclass(frozen=True)
class Row:
    """The result of an event: the code of the failure, and the number of requests."""

    event: Event
    exchange: tuple[str, int] | None
    refresh: tuple[str, int]
    revoke: tuple[str, int] | None


UNKNOWN = ("outcome-unknown", 1)
MATRIX = {
    "certainly not sent": Row(unreachable, *[("network-refused", 3)] * 3),
    "sent, then a timeout": Row(inject_fault("slow"), UNKNOWN, *[("network-timeout", 3)] * 2),
    "sent, then a reset": Row(
        inject_fault("connection-closed"), UNKNOWN, *[("network-reset", 3)] * 2
    ),
    "maintenance": Row(inject_fault("data-center-down"), UNKNOWN, *[("data-center-down", 3)] * 2),
    "a server error": Row(inject_fault("server-error"), UNKNOWN, *[("data-center-down", 3)] * 2),
    "rate limit, 200": Row(inject_fault("rate-limit", 200), *[("throttled", 1)] * 3),
    "rate limit, 400": Row(inject_fault("rate-limit", 400), *[("throttled", 1)] * 3),
    "rate limit, 429": Row(inject_fault("rate-limit", 429), *[("throttled", 1)] * 3),
    # The older form of revocation needs no client, so the token is revoked.
    "an error that names the client": Row(
        rotate_secret, ("invalid-client-secret", 1), ("invalid-client-secret", 1), (SUCCESS, 1)
    ),
    "invalid_code": Row(
        expire_credential, ("code-refused", 1), ("refresh-token-rejected", 2), (SUCCESS, 1)
    ),
    "a redirect": Row(inject_fault("redirect"), *[("unexpected-redirect", 1)] * 3),
    "no JSON": Row(inject_fault("html-page"), UNKNOWN, *[("not-json", 1)] * 2),
    "truncated JSON": Row(inject_fault("truncated-json"), UNKNOWN, *[("not-json", 1)] * 2),
    "JSON without a token": Row(
        inject_fault("unexpected-json"), UNKNOWN, ("malformed-answer", 1), None
    ),
    "a megabyte": Row(inject_fault("oversize"), UNKNOWN, *[("answer-too-large", 1)] * 2),
}


def cases(request: str) -> list[object]:
    """The cells of one column."""
    rows = ((name, row.event, getattr(row, request)) for name, row in MATRIX.items())
    return [pytest.param(event, *cell, id=name) for name, event, cell in rows if cell is not None]


@pytest.fixture
def without_cached_token(harness: Harness) -> Harness:
    """A verified connection without its cached token."""
    harness.add_verified_connection()
    harness.services.token_cache.remove("crm")
    harness.advance(minutes=11)
    return harness


def count_requests(harness: Harness, kind: RequestKind) -> int:
    """The number of requests within the last ten minutes."""
    since = harness.now() - timedelta(minutes=10)
    return sum(ask.kind is kind for ask in harness.services.store.request_log.requests(since=since))


def outcome(request: Callable[[], object]) -> str:
    try:
        request()
    except WizardError as error:
        return error.failure.code
    return SUCCESS


@pytest.mark.parametrize(("event", "code", "times"), cases("exchange"))
def test_a_code_that_was_sent_is_never_sent_again(
    harness: Harness, event: Event, code: str, times: int
) -> None:
    harness.add_connection()
    begun = harness.services.authorization.begin("crm")
    callback = query_parameters(harness.give_consent(begun))
    event(harness, TOKEN)
    done = harness.services.authorization.complete(
        callback, {begun.cookie_name: begun.cookie_value}
    )
    assert done.failure is not None
    assert done.failure.code == code
    assert count_requests(harness, RequestKind.CODE_EXCHANGE) == times
    unknown = code == "outcome-unknown"
    ended = AttemptState.OUTCOME_UNKNOWN if unknown else AttemptState.FAILED
    assert done.attempt.state is ended
    assert bool(done.failure.retry_at) is (code == "throttled")
    assert harness.services.store.grants.of_connection("crm") == ()


@pytest.mark.parametrize(("event", "code", "times"), cases("refresh"))
def test_a_refresh_is_repeated_only_where_that_can_help(
    without_cached_token: Harness, event: Event, code: str, times: int
) -> None:
    event(without_cached_token, TOKEN)
    assert outcome(lambda: without_cached_token.services.tokens.access_token("crm")) == code
    assert count_requests(without_cached_token, RequestKind.REFRESH) == times
    is_rejected = code == "refresh-token-rejected"
    assert current_grant(without_cached_token).state is (
        GrantState.NEEDS_REAUTHORIZATION if is_rejected else GrantState.VERIFIED
    )


@pytest.mark.parametrize(("event", "code", "times"), cases("revoke"))
def test_a_revocation_is_repeated_like_a_refresh_and_never_assumed(
    without_cached_token: Harness, event: Event, code: str, times: int
) -> None:
    grant = current_grant(without_cached_token)
    event(without_cached_token, REVOKE)
    assert outcome(lambda: without_cached_token.services.tokens.revoke(grant)) == code
    assert count_requests(without_cached_token, RequestKind.REVOCATION) == times
    at_zoho = without_cached_token.simulator.world.grants.refresh_tokens[grant.refresh_token]
    assert bool(at_zoho.invalidation_reason) is (code == SUCCESS)
    gone = GrantState.REVOKED if code == SUCCESS else GrantState.VERIFIED
    assert current_grant(without_cached_token).state is gone


def test_an_untrusted_certificate_stops_everything_with_the_reason(harness: Harness) -> None:
    untrusted = Failure("network-tls", temporary=True, sent=False)
    now = harness.now()
    assert retry_delay(untrusted, 1, timedelta(0), now) is None
    state, failure = classify_exchange_failure(
        untrusted, harness.register_client(), load().data_center("eu"), {}
    )
    assert (state, failure.code) == (AttemptState.FAILED, "network-tls")


@pytest.mark.parametrize("is_date", [False, True])
@pytest.mark.parametrize("kind", ["rate-limit", "data-center-down"])
def test_the_time_that_a_server_names_is_kept_by_every_request(
    without_cached_token: Harness, kind: str, is_date: bool
) -> None:
    harness = without_cached_token
    begun = harness.services.authorization.begin("crm")
    callback = query_parameters(harness.give_consent(begun))
    until = harness.now() + timedelta(seconds=1200)
    named = format_datetime(until, usegmt=True) if is_date else "1200"
    harness.controls.inject_fault(kind, times=99, retry_after=named)
    done = harness.services.authorization.complete(
        callback, {begun.cookie_name: begun.cookie_value}
    )
    failures = [done.failure] if kind == "rate-limit" else []  # else its outcome is unknown
    for request in (
        lambda: harness.services.tokens.revoke(current_grant(harness)),
        lambda: harness.services.tokens.access_token("crm"),
    ):
        with pytest.raises(WizardError) as caught:
            request()
        failures.append(caught.value.failure)
    for failure in failures:
        assert failure is not None
        assert failure.retry_at is not None, failure.code
        assert abs((failure.retry_at - until).total_seconds()) < 10
    assert count_requests(harness, RequestKind.REVOCATION) == 1
    assert count_requests(harness, RequestKind.CODE_EXCHANGE) == 1
