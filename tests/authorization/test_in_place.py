"""Scopes are added to a refresh token in place, and every wrong turn leaves it as it was."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests
from support.harness import CARLA, SCOPE, Harness, query_parameters
from support.records import raises_failure
from support.tokens import wait_for
from support.web_visitor import counted

from wizard.authorization import CompletedAttempt
from wizard.authorization.in_place import COOKIE_NAME, StartedAddition
from wizard.errors import WizardError, explain
from wizard.model import AttemptState, Grant, GrantState

BOOKS = "ZohoBooks.settings.READ"
WIDER_SCOPE = {*SCOPE, BOOKS}
SUCCESS = "?status=success&scope_enhanced=true"


@pytest.fixture
def grant(harness: Harness) -> Grant:
    return harness.add_verified_connection()


def begin(harness: Harness) -> StartedAddition:
    return harness.services.scope_addition.begin("crm", (BOOKS,))


def accept(harness: Harness, started: StartedAddition, email: str = "anna@zylker.example") -> str:
    return str(harness.controls.accept_extra_scopes(started.url, email))


def complete(harness: Harness, started: StartedAddition, callback: str) -> CompletedAttempt:
    cookies = {COOKIE_NAME: started.cookie_value}
    return harness.services.scope_addition.complete(query_parameters(callback), cookies)


def stored_scopes(harness: Harness) -> tuple[set[str], set[str]]:
    """Of the connection and of its grant."""
    stored = harness.services.store.grants.get("crm")
    assert stored is not None
    assert (stored.generation, stored.state) == (1, GrantState.VERIFIED)
    return {*harness.services.store.connections.get("crm").scope}, {*stored.scope}


def failure_code(completed: CompletedAttempt) -> str:
    return completed.failure.code if completed.failure else ""


def refresh_as_program(harness: Harness, grant: Grant) -> Any:
    """Refresh with the stored refresh token as a program does that knows nothing of the wizard."""
    data_center = harness.services.zoho.data_center(grant.location)
    form = {
        "client_id": harness.registered_client["client_id"],
        "client_secret": harness.registered_client["secrets"][grant.location],
        "grant_type": "refresh_token",
        "refresh_token": grant.refresh_token,
    }
    return requests.post(data_center.token_endpoint, data=form, timeout=10).json()


def test_a_program_with_the_same_refresh_token_works_before_during_and_after(
    harness: Harness, grant: Grant
) -> None:
    assert BOOKS not in refresh_as_program(harness, grant)["scope"]
    started = begin(harness)
    assert "access_token" in refresh_as_program(harness, grant)
    completed = complete(harness, started, accept(harness, started))
    assert (completed.failure, completed.generation) == (None, 1)
    assert BOOKS in refresh_as_program(harness, grant)["scope"]
    assert stored_scopes(harness) == (WIDER_SCOPE, WIDER_SCOPE)
    assert harness.services.store.grants.get("crm", 2) is None
    assert harness.controls.state()["active_refresh_tokens"] == 1
    token = harness.services.tokens.access_token("crm").value
    books = f"{harness.services.zoho.data_center('eu').api_domain}/books/v3/organizations"
    header = {"Authorization": f"Zoho-oauthtoken {token}"}
    assert requests.get(books, headers=header, timeout=10).ok, "the cached token has the scope"
    assert all(step.failure is None for step in harness.verify("crm", 1))


def test_a_rejected_consent_leaves_the_scopes(harness: Harness, grant: Grant) -> None:
    started = begin(harness)
    harness.controls.reject()
    completed = complete(harness, started, accept(harness, started))
    assert failure_code(completed) == "in-place-denied"
    assert stored_scopes(harness) == ({*SCOPE}, {*SCOPE})
    harness.advance(minutes=2)
    harness.services.tokens.access_token("crm", force_refresh=True)
    assert completed.attempt.state is AttemptState.OUTCOME_UNKNOWN
    assert harness.services.store.attempts.get(started.attempt.id).state is AttemptState.ABANDONED


@pytest.mark.parametrize("error", ["access_denied", "anything"])
def test_an_error_from_any_page_does_not_keep_a_consent_from_counting(
    harness: Harness, grant: Grant, error: str
) -> None:
    started = begin(harness)
    assert failure_code(complete(harness, started, f"?error={error}")).startswith("in-place-")
    with raises_failure("callback-repeated"):
        complete(harness, started, f"?error={error}")
    assert complete(harness, started, accept(harness, started)).failure is None
    assert stored_scopes(harness) == (WIDER_SCOPE, WIDER_SCOPE)


@pytest.mark.parametrize("has_expired", [False, True])
def test_after_an_error_a_consent_counts_for_the_newest_attempt_until_it_expires(
    harness: Harness, grant: Grant, has_expired: bool
) -> None:
    started = begin(harness)
    complete(harness, started, "?error=access_denied")
    if has_expired:
        harness.advance(hours=1)
    else:
        begin(harness)
    refreshes = len(harness.refresh_requests())
    with raises_failure("callback-repeated"):
        complete(harness, started, SUCCESS)
    assert len(harness.refresh_requests()) == refreshes


def test_a_success_from_any_page_is_checked_once_and_decided_by_the_next_refresh(
    harness: Harness, grant: Grant
) -> None:
    started = begin(harness)
    assert failure_code(complete(harness, started, SUCCESS)) == "scopes-not-added"
    accept(harness, started)
    with raises_failure("callback-repeated"):
        complete(harness, started, SUCCESS)
    harness.advance(minutes=11)
    harness.services.tokens.access_token("crm", force_refresh=True)
    assert stored_scopes(harness) == (WIDER_SCOPE, WIDER_SCOPE)


def test_of_callbacks_at_once_one_counts(harness: Harness, grant: Grant) -> None:
    started = begin(harness)
    callback = accept(harness, started)
    harness.controls.clear_journal()

    def come_back(_: int) -> str:
        try:
            return failure_code(complete(harness, started, callback))
        except WizardError as error:
            return error.failure.code

    with ThreadPoolExecutor(4) as browsers, counted() as statements:
        with harness.services.locks.exchange("crm"):
            coming = browsers.map(come_back, range(4))
            wait_for(lambda: sum("FROM attempts" in each for each in statements) >= 4)
        codes = sorted(coming)
    assert codes == ["", *["callback-repeated"] * 3]
    assert len(harness.refresh_requests()) == 1
    assert stored_scopes(harness) == (WIDER_SCOPE, WIDER_SCOPE)


def test_a_success_without_a_consent_adds_nothing(harness: Harness, grant: Grant) -> None:
    completed = complete(harness, begin(harness), SUCCESS)
    assert failure_code(completed) == "scopes-not-added"
    assert stored_scopes(harness) == ({*SCOPE}, {*SCOPE})


def test_a_different_user_sees_an_error_page_and_adds_nothing(
    harness: Harness, grant: Grant
) -> None:
    started = begin(harness)
    with pytest.raises(Exception, match="Invalid Token"):
        accept(harness, started, CARLA)
    assert stored_scopes(harness) == ({*SCOPE}, {*SCOPE})


def test_scopes_of_a_different_account_are_not_recorded(harness: Harness, grant: Grant) -> None:
    started = begin(harness)
    callback = accept(harness, started)
    account = {"ZUID": 999, "Email": CARLA, "Display_Name": "Carla"}
    harness.controls.stub_response("GET", "/oauth/user/info", host="accounts", body=account)
    completed = complete(harness, started, callback)
    assert failure_code(completed) == "added-scopes-mismatch"
    assert stored_scopes(harness) == ({*SCOPE}, {*SCOPE})


def test_scopes_of_a_different_organization_are_not_recorded(
    harness: Harness, grant: Grant
) -> None:
    started = begin(harness)
    callback = accept(harness, started)
    other = {"org": [{"id": "777", "zgid": "777", "company_name": "Else", "type": "production"}]}
    harness.controls.stub_response("GET", "/crm/v8/org", body=other)
    assert failure_code(complete(harness, started, callback)) == "added-scopes-mismatch"
    assert stored_scopes(harness) == ({*SCOPE}, {*SCOPE})


@pytest.mark.parametrize("callback", ["?status=other", "?anything=else", "?code=1000.a.b"])
def test_an_unknown_answer_is_decided_by_the_next_refresh(
    harness: Harness, grant: Grant, callback: str
) -> None:
    started = begin(harness)
    refreshes = len(harness.refresh_requests())
    completed = complete(harness, started, callback)
    assert failure_code(completed) == "added-scopes-unknown"
    assert completed.attempt.state is AttemptState.OUTCOME_UNKNOWN
    assert len(harness.refresh_requests()) == refreshes
    harness.advance(minutes=2)
    harness.services.tokens.access_token("crm", force_refresh=True)
    assert harness.services.store.attempts.get(started.attempt.id).state is AttemptState.ABANDONED
    assert stored_scopes(harness) == ({*SCOPE}, {*SCOPE})


@pytest.mark.parametrize("endpoint", ["/oauth/v2/token", "/oauth/user/info"])
def test_after_a_failed_check_the_scopes_are_unknown_until_the_next_refresh(
    harness: Harness, grant: Grant, endpoint: str
) -> None:
    started = begin(harness)
    callback = accept(harness, started)
    harness.controls.inject_fault("data-center-down", endpoint=endpoint, times=5)
    completed = complete(harness, started, callback)
    assert failure_code(completed) == "added-scopes-unknown"
    assert stored_scopes(harness) == ({*SCOPE}, {*SCOPE})

    harness.controls.clear_faults()
    harness.advance(minutes=11)
    harness.services.tokens.access_token("crm", force_refresh=True)
    assert harness.services.store.attempts.get(started.attempt.id).state is AttemptState.STORED
    assert stored_scopes(harness) == (WIDER_SCOPE, WIDER_SCOPE)


def test_a_consent_whose_browser_never_came_back_is_decided_by_the_next_refresh(
    harness: Harness, grant: Grant
) -> None:
    started = begin(harness)
    accept(harness, started)
    harness.advance(hours=2)
    harness.authorize("crm")  # closes what has waited too long
    attempt = harness.services.store.attempts.get(started.attempt.id)
    assert attempt.state is AttemptState.OUTCOME_UNKNOWN
    harness.services.tokens.access_token("crm", force_refresh=True)
    assert stored_scopes(harness) == (WIDER_SCOPE, WIDER_SCOPE)


def test_a_check_that_was_interrupted_is_decided_by_the_next_refresh(
    harness: Harness, grant: Grant
) -> None:
    started = begin(harness)
    accept(harness, started)
    attempts, attempt_id = harness.services.store.attempts, started.attempt.id
    attempts.advance(attempt_id, AttemptState.REDIRECTED, AttemptState.CALLBACK_RECEIVED)
    harness.services.authorization.close_interrupted()  # as after a crash
    assert attempts.get(attempt_id).state is AttemptState.OUTCOME_UNKNOWN
    harness.advance(minutes=2)
    harness.services.tokens.access_token("crm", force_refresh=True)
    assert stored_scopes(harness) == (WIDER_SCOPE, WIDER_SCOPE)


def test_only_the_last_attempt_of_a_browser_is_open(harness: Harness, grant: Grant) -> None:
    first, second = begin(harness), begin(harness)
    with raises_failure("callback-repeated"):
        complete(harness, first, SUCCESS)
    assert complete(harness, second, accept(harness, second)).failure is None


@pytest.mark.parametrize(
    ("cookie", "code"),
    [
        ("", "callback-without-state"),
        ("unknown.secret", "callback-without-state"),
        ("{id}.", "callback-wrong-browser"),
        ("{id}.wrong", "callback-wrong-browser"),
    ],
)
def test_a_callback_without_state_needs_the_cookie_of_an_open_attempt(
    harness: Harness, grant: Grant, cookie: str, code: str
) -> None:
    started = begin(harness)
    cookies = {COOKIE_NAME: cookie.format(id=started.attempt.id)}
    with raises_failure(code):
        harness.services.scope_addition.complete(query_parameters(SUCCESS), cookies)
    assert complete(harness, started, accept(harness, started)).failure is None


def test_the_secret_of_an_ordinary_attempt_does_not_open_the_callback_without_state(
    harness: Harness, grant: Grant
) -> None:
    ordinary = harness.services.authorization.begin("crm")
    cookies = {COOKIE_NAME: f"{ordinary.attempt.id}.{ordinary.cookie_value}"}
    with raises_failure("callback-wrong-browser"):
        harness.services.scope_addition.complete(query_parameters(SUCCESS), cookies)


def test_a_grant_that_was_replaced_meanwhile_is_left_alone(harness: Harness, grant: Grant) -> None:
    started = begin(harness)
    callback = accept(harness, started)
    done = harness.authorize("crm")
    assert done.generation == 2
    harness.verify("crm", 2)
    assert failure_code(complete(harness, started, callback)) == "in-place-unavailable"
    assert {*harness.services.store.connections.get("crm").scope} == {*SCOPE}


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ({"body": {"error": "invalid_code"}, "status": 400}, "in-place-refused"),
        ({"body": {"error": "something_new"}}, "in-place-refused"),
        ({"body": {"ok": True}}, "in-place-refused"),
        ({"body": "<html>Not found</html>", "status": 404}, "in-place-refused"),
    ],
)
def test_without_an_enhancement_token_nothing_begins(
    harness: Harness, grant: Grant, answer: dict[str, Any], code: str
) -> None:
    path = "/oauth/v2/token/scopeenhance"
    harness.controls.stub_response("POST", path, host="accounts", **answer)
    with raises_failure(code):
        begin(harness)
    assert stored_scopes(harness) == ({*SCOPE}, {*SCOPE})
    assert not harness.services.store.attempts.open()


def test_a_client_of_a_type_without_in_place_is_offered_the_usual_way(harness: Harness) -> None:
    harness.add_connection(client=harness.register_client(kind="mobile-based"))
    done = harness.authorize("crm")
    assert done.generation is not None
    harness.verify("crm", done.generation)
    with raises_failure("in-place-client") as refused:
        begin(harness)
    (usual,) = explain(refused.value.failure).next_steps
    assert f"connect crm --add --scope {BOOKS}" in usual.command
    assert stored_scopes(harness) == ({*SCOPE}, {*SCOPE})
    assert not harness.services.store.attempts.open()


def test_scopes_that_the_grant_has_are_not_requested(harness: Harness, grant: Grant) -> None:
    with raises_failure("scopes-already-granted"):
        harness.services.scope_addition.begin("crm", SCOPE[:2])


def test_a_connection_without_a_verified_grant_is_refused(harness: Harness) -> None:
    harness.add_connection()
    with raises_failure("in-place-unavailable"):
        begin(harness)
    assert not harness.services.scope_addition.can_begin("crm")


def test_the_enhancement_token_is_stored_nowhere(harness: Harness, grant: Grant) -> None:
    started = begin(harness)
    secret = started.url.partition("enhance_token=")[2].partition("&")[0]
    assert len(secret) > 20
    harness.services.store.database.checkpoint()
    files = [each for each in harness.directory.rglob("*") if each.is_file()]
    assert not [each for each in files if secret.encode() in each.read_bytes()]
    assert secret not in repr(started)
