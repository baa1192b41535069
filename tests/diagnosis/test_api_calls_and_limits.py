"""Failures unrelated to tokens: scopes, permissions, organizations, limits, URLs, networks."""

import pytest
from support.diagnosis import (
    add_verified_connection,
    cause_codes,
    client_of,
    detect_rejection,
    diagnose,
    refresh_by_other_program,
)
from support.harness import ANNA, CARLA, FIRST_ORGANIZATION, Harness

from wizard.diagnosis.evidence import Evidence
from wizard.diagnosis.rendering import explain_evidence, explain_failure
from wizard.errors import WizardError, message
from wizard.model import Confidence, Explanation, Failure

CERTAIN, LIKELY = Confidence.CONFIRMED, Confidence.LIKELY
POSSIBLE, RULED_OUT = Confidence.POSSIBLE, Confidence.RULED_OUT
BOOKS = ("AaaServer.profile.READ", "ZohoBooks.settings.READ")


def unverified_explanation(harness: Harness, name: str = "crm") -> Explanation:
    found = harness.services.diagnosis.status_of(name).explanation
    assert found is not None
    return found


# --- scope, permission, organization --------------------------------------------------------------


def test_a_role_without_permission_is_distinguished_from_the_token(harness: Harness) -> None:
    add_verified_connection(harness, "crm")
    harness.controls.remove_api_access(ANNA, "crm")
    found = diagnose(harness)
    assert found.failure_class == "permission-refused"
    assert found.causes[0].code == "role-without-right"
    assert found.causes[0].evidence_for == (message("evidence", "token-taken"),)
    assert not cause_codes(found, CERTAIN)


def test_books_code_57_has_three_causes_and_none_is_the_token(harness: Harness) -> None:
    harness.add_connection("books", harness.register_client("books"), BOOKS)
    harness.authorize("books")
    harness.controls.remove_api_access(ANNA, "books")
    harness.verify("books", 1)
    found = unverified_explanation(harness, "books")
    assert found.failure_class == "refused-without-a-reason"
    assert cause_codes(found, POSSIBLE) == {"scope-not-granted", "role-without-right"}
    alone = explain_failure(Failure("not-authorized", "57", details={"product": "books"}))
    assert cause_codes(alone, POSSIBLE) > cause_codes(found, POSSIBLE)


def test_an_environment_is_named_with_the_one_the_consent_reaches(harness: Harness) -> None:
    add_verified_connection(harness, "crm", email=CARLA, organization=FIRST_ORGANIZATION)
    failure = Failure("wrong-organization", "OAUTH_ORG_MISMATCH", details={"product": "crm"})
    found = diagnose(harness, failure=failure)
    assert cause_codes(found, POSSIBLE) == {"organization-not-reached", "environment-differs"}
    reached = harness.services.store.grants.get("crm")
    assert reached is not None
    assert reached.organizations[0].name in " ".join(found.causes[0].evidence_for)


# --- limits ---------------------------------------------------------------------------------------


def rate_limited_explanation(harness: Harness, name: str) -> Explanation:
    with pytest.raises(WizardError) as met:
        harness.services.tokens.access_token(name, force_refresh=True, min_ttl=3600)
    assert met.value.failure.code == "throttled"
    return harness.services.diagnosis.explain(name, met.value.failure)


def test_a_rate_limit_the_request_log_does_not_explain_comes_from_someone_else(
    harness: Harness,
) -> None:
    grant = add_verified_connection(harness, "crm")
    harness.advance(minutes=58)
    for _ in range(10):
        refresh_by_other_program(harness, grant)
    found = rate_limited_explanation(harness, "crm")
    assert found.failure_class == "too-many-requests"
    assert cause_codes(found, LIKELY) == {"throttled-by-others"}
    assert "throttled-by-ourselves" in cause_codes(found, RULED_OUT)
    assert ":" in found.fix.partition("until")[2], "it says when it works again"
    assert "Your tokens still work" in found.cause + found.fix


def test_a_rate_limit_of_the_product_says_that_the_token_works() -> None:
    found = explain_failure(Failure("product-throttled", "TOO_MANY_REQUESTS", temporary=True))
    assert "Your tokens still work" in found.cause
    assert found.exit_code == 4


@pytest.mark.parametrize("word", ["INVALID_URL_PATTERN", "404"])
def test_no_cause_of_a_wrong_url_calls_for_reauthorization(word: str) -> None:
    found = explain_failure(Failure("wrong-path", word, details={"status": "404"}))
    assert found.failure_class == "wrong-address"
    assert cause_codes(found, POSSIBLE) == {"wrong-host", "wrong-version"}


# --- the network ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "failure_class"), [("html-page", "not-zohos-answer"), ("data-center-down", "")]
)
def test_a_network_failure_says_nothing_about_the_token(
    harness: Harness, fault: str, failure_class: str
) -> None:
    add_verified_connection(harness, "crm")
    harness.controls.inject_fault(fault, endpoint="oauth/", times=9)
    found = diagnose(harness)
    assert found.failure_class == failure_class
    assert found.exit_code == 4
    assert not cause_codes(found, CERTAIN) | cause_codes(found, LIKELY)
    harness.controls.clear_faults()
    assert diagnose(harness).code == "nothing-wrong"


def test_an_expired_certificate_may_come_from_a_wrong_clock() -> None:
    details = {"host": "accounts.zoho.eu", "reason": "certificate is not yet valid"}
    found = explain_evidence(Evidence(failure=Failure("network-tls", details=details)))
    assert cause_codes(found, LIKELY) == {"clock-against-certificate"}
    other = {"host": "accounts.zoho.eu", "reason": "self-signed certificate"}
    assert cause_codes(
        explain_evidence(Evidence(failure=Failure("network-tls", details=other))), POSSIBLE
    ) == {
        "tls-inspected",
        "clock-against-certificate",
    }


def test_a_connection_never_authorized_is_reported_without_requests(harness: Harness) -> None:
    harness.add_connection()
    assert diagnose(harness, max_requests=0).code == "no-grant"


def test_a_working_connection_is_reported_with_two_requests(harness: Harness) -> None:
    add_verified_connection(harness, "crm")
    found = diagnose(harness, max_requests=2)
    assert found.code == "nothing-wrong"
    assert not harness.refresh_requests()


def test_repeated_diagnoses_stay_within_the_budgets(harness: Harness) -> None:
    add_verified_connection(harness, "crm")
    harness.controls.change_password(ANNA)
    detect_rejection(harness, "crm")
    harness.controls.clear_journal()
    for _ in range(20):
        harness.services.diagnosis.diagnose("crm")
    assert not harness.refresh_requests()


def test_a_diagnosis_limited_by_the_client_budget_says_so(
    harness: Harness,
) -> None:
    add_verified_connection(harness, "crm")
    add_verified_connection(harness, "leads", client_of(harness, "crm"))
    grant = harness.services.store.grants.get("leads")
    assert grant is not None
    for _ in range(3):
        harness.services.tokens.refresh_grant(grant)
    harness.services.token_cache.remove("crm")
    left = harness.services.request_log.view("crm")
    assert left.token_requests_left > left.deferrable_requests_left == 0
    assert diagnose(harness, max_requests=0).code == "client-budget"
    assert harness.services.tokens.access_token("crm").value, "a program gets its token"
