"""The states that users see, the same for pages, terminal and JSON."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import combinations
from typing import Any

import pytest

from wizard.errors import describe_status, status_labels
from wizard.model import (
    Account,
    Attempt,
    AttemptMode,
    AttemptState,
    Failure,
    Grant,
    GrantState,
    Identifier,
    Organization,
    RequestKind,
    TokenRequest,
)
from wizard.model.states import (
    Activity,
    ActivityKind,
    ConnectionState,
    ConnectionStatus,
    LastCheck,
    connection_status,
)
from wizard.timefmt import format_time

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
ZYLKER = Organization("crm", Identifier("1"), "Zylker", "Production")
GRANT = Grant(
    connection="crm",
    generation=1,
    client_id="1000.X",
    refresh_token="1000.refresh",
    scope=("ZohoCRM.org.READ",),
    location="eu",
    state=GrantState.VERIFIED,
    granted_at=NOW - timedelta(days=1),
    account=Account(Identifier("20"), "anna@zylker.example"),
    organizations=(ZYLKER,),
)
UNANSWERED = TokenRequest(
    RequestKind.REFRESH, NOW - timedelta(hours=1), "eu", "1000.X", outcome="network-timeout"
)


def mismatch(code: str, *organizations: Organization) -> Grant:
    """A newer grant that waits for a decision."""
    return replace(
        GRANT,
        generation=2,
        state=GrantState.MISMATCH,
        failure=Failure(code),
        organizations=organizations,
    )


def attempt(state: AttemptState, code: str = "") -> Attempt:
    return Attempt(
        id="1",
        connection="crm",
        client_id="1000.X",
        mode=AttemptMode.BROWSER,
        state=state,
        location="eu",
        authorization_endpoint="",
        token_endpoint="",
        redirect_uri="",
        scope=(),
        created_at=NOW - timedelta(minutes=1),
        oauth_state="",
        code_verifier="",
        binding="",
        failure=Failure(code) if code else None,
    )


def check(*failures: Failure) -> LastCheck:
    return LastCheck(NOW, failures)


def test_a_connection_without_a_grant_is_not_authorized() -> None:
    assert connection_status(current=None, now=NOW).state is ConnectionState.NOT_AUTHORIZED


@pytest.mark.parametrize("failure", [None, Failure("network-dns"), Failure("x", temporary=True)])
def test_a_check_that_could_not_reach_zoho_changes_no_state(failure: Failure | None) -> None:
    last_check = check(failure) if failure else check()
    status = connection_status(current=GRANT, last_check=last_check, now=NOW)
    assert status.state is ConnectionState.VERIFIED
    assert status.last_check is last_check
    assert last_check.outcome == (failure.code if failure else "ok")


@pytest.mark.parametrize(
    ("code", "state"),
    [
        ("invalid-client", ConnectionState.CLIENT_REJECTED),
        ("no-permission", ConnectionState.ACCESS_DENIED),
        ("wrong-path", ConnectionState.NOT_VERIFIED),
    ],
)
def test_a_permanent_failure_of_a_check_is_shown(code: str, state: ConnectionState) -> None:
    assert connection_status(current=GRANT, last_check=check(Failure(code)), now=NOW).state is state


def test_a_rejected_access_token_is_shown_even_if_the_refresh_token_could_not_be_tested() -> None:
    last_check = check(Failure("refused-for-now", temporary=True))
    status = connection_status(current=GRANT, last_check=last_check, now=NOW)
    assert status.state is ConnectionState.NOT_VERIFIED


@pytest.mark.parametrize(
    ("candidate", "state"),
    [
        (mismatch("other-account", ZYLKER), ConnectionState.DIFFERENT_ACCOUNT),
        (mismatch("account-moved", ZYLKER), ConnectionState.DIFFERENT_ACCOUNT),
        (
            mismatch("other-organization", replace(ZYLKER, id=Identifier("2"))),
            ConnectionState.DIFFERENT_ORGANIZATION,
        ),
        (
            mismatch("other-organization", replace(ZYLKER, environment="Sandbox")),
            ConnectionState.DIFFERENT_ENVIRONMENT,
        ),
        (mismatch("scopes-lost", ZYLKER), ConnectionState.FEWER_SCOPES),
    ],
)
def test_a_grant_that_waits_for_a_decision_shows_its_difference(
    candidate: Grant, state: ConnectionState
) -> None:
    assert connection_status(current=GRANT, candidate=candidate, now=NOW).state is state


def test_the_first_state_of_the_table_that_applies_is_shown() -> None:
    """Every pair that can apply at once: of a grant, a newer grant, the last check, and a
    refresh without a response."""
    rejected = replace(GRANT, state=GrantState.NEEDS_REAUTHORIZATION)
    revoked = replace(GRANT, state=GrantState.REVOKED)
    parts: dict[ConnectionState, dict[str, Any]] = {
        ConnectionState.DIFFERENT_ACCOUNT: {"candidate": mismatch("other-account")},
        ConnectionState.FEWER_SCOPES: {"candidate": mismatch("scopes-lost")},
        ConnectionState.NEEDS_REAUTHORIZATION: {"current": rejected},
        ConnectionState.CLIENT_REJECTED: {"last_check": check(Failure("invalid-client"))},
        ConnectionState.ACCESS_DENIED: {"last_check": check(Failure("no-permission"))},
        ConnectionState.OUTCOME_UNKNOWN: {"unanswered_refresh": UNANSWERED},
        ConnectionState.REVOKED: {"current": revoked},
    }
    compared = 0
    for first, second in combinations(parts, 2):
        together: dict[str, Any] = {"current": GRANT, **parts[second], **parts[first]}
        if parts[first].keys() & parts[second].keys():
            continue  # these exclude each other
        if ConnectionState.OUTCOME_UNKNOWN in (first, second) and together["current"] is not GRANT:
            continue  # only of a grant in use
        assert connection_status(**together, now=NOW).state is first, (first, second)
        compared += 1
    assert compared == 16
    both = check(Failure("no-permission"), Failure("invalid-client"))
    status = connection_status(current=GRANT, last_check=both, now=NOW)
    assert status.state is ConnectionState.CLIENT_REJECTED


def test_the_order_of_the_states_is_that_of_the_table() -> None:
    assert [each.value for each in ConnectionState] == [
        *("not_authorized", "verified", "not_verified", "different_account"),
        *("different_organization", "different_environment", "fewer_scopes"),
        *("needs_reauthorization", "client_rejected", "access_denied", "outcome_unknown"),
        "revoked",
    ]


def test_an_authorization_whose_outcome_is_unknown_is_shown_until_a_grant_is_verified() -> None:
    lost = attempt(AttemptState.OUTCOME_UNKNOWN)
    unknown = connection_status(current=None, attempt=lost, now=NOW)
    assert unknown.state is ConnectionState.OUTCOME_UNKNOWN
    verified = connection_status(current=GRANT, attempt=lost, now=NOW)
    assert verified.state is ConnectionState.VERIFIED


def test_an_open_authorization_is_an_activity_until_it_expires() -> None:
    waiting = attempt(AttemptState.REDIRECTED)
    status = connection_status(current=None, attempt=waiting, now=NOW)
    assert status.activity == Activity(ActivityKind.WAITING_FOR_CONSENT)
    assert status.shown == (ActivityKind.WAITING_FOR_CONSENT,)
    beside = connection_status(current=GRANT, attempt=waiting, now=NOW)
    assert beside.shown == (ConnectionState.VERIFIED, ActivityKind.WAITING_FOR_CONSENT)
    later = connection_status(current=None, attempt=waiting, now=NOW + timedelta(hours=1))
    assert later.activity is None


def test_a_rate_limit_shows_its_end_with_the_date_if_it_is_not_today() -> None:
    for until in (NOW + timedelta(minutes=5), NOW + timedelta(days=1)):
        limited = check(Failure("throttled", temporary=True, retry_at=until))
        status = connection_status(current=GRANT, last_check=limited, now=NOW)
        assert status.activity == Activity(ActivityKind.RATE_LIMITED, until)
        assert status_labels(status, NOW)[1].endswith(format_time(until, NOW))
    over = connection_status(current=GRANT, last_check=limited, now=NOW + timedelta(days=2))
    assert over.activity is None


def test_a_table_cell_shows_the_state_and_then_the_activity() -> None:
    status = ConnectionStatus(ConnectionState.VERIFIED, Activity(ActivityKind.CHECKING))
    state, activity = status_labels(status, NOW)
    assert describe_status(status, NOW) == f"✓ {state} · {activity}"
