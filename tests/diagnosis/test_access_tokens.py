"""Why a product rejected an access token although the connection may work."""

import pytest
from support.claims import over_rows
from support.diagnosis import add_verified_connection, cause_codes, detect_rejection, diagnose
from support.harness import ANNA, Harness

from wizard.diagnosis.evidence import Evidence
from wizard.diagnosis.rendering import explain_evidence
from wizard.errors import WizardError
from wizard.model import Confidence, Failure
from wizard.zoho import error_codes

CERTAIN, LIKELY = Confidence.CONFIRMED, Confidence.LIKELY
POSSIBLE, RULED_OUT = Confidence.POSSIBLE, Confidence.RULED_OUT
REFUSED = Failure("token-invalid", "INVALID_OAUTHTOKEN", details={"product": "crm"})
FROM_THE_GRANT = {
    "password-changed",
    "app-removed",
    "refresh-token-evicted",
    "user-deactivated",
    "token-revoked-elsewhere",
}


def test_an_error_code_without_context_names_the_class_and_has_a_question(harness: Harness) -> None:
    found = explain_evidence(Evidence(failure=REFUSED))
    assert found.failure_class == "access-token-refused"
    assert cause_codes(found, POSSIBLE) >= {
        "access-token-of-other-data-center",
        "access-token-evicted",
        "access-token-expired",
        "client-credentials-token",
        "refresh-token-in-its-place",
        "token-truncated",
        *FROM_THE_GRANT,
    }
    assert not cause_codes(found, LIKELY) | cause_codes(found, CERTAIN)
    assert found.question


@over_rows("product", sorted(error_codes()))
def test_every_code_of_a_product_for_an_invalid_token_has_one_class(product: str) -> None:
    for word, code in error_codes()[product].items():
        found = explain_evidence(
            Evidence(failure=Failure(code, word, details={"product": product}))
        )
        expected = {
            "token-invalid": "access-token-refused",
            "not-authorized": "refused-without-a-reason",
            "scope-missing": "scope-refused",
            "no-permission": "permission-refused",
            "wrong-organization": "organization-refused",
            "wrong-path": "wrong-address",
            "no-organization": "no-organization-there",
        }
        assert found.failure_class == expected.get(code, "")


def test_the_request_log_shows_when_the_wizard_requested_too_many(harness: Harness) -> None:
    add_verified_connection(harness, "crm")
    for _ in range(9):  # its verification was the first
        harness.advance(minutes=4)
        harness.services.tokens.access_token("crm", force_refresh=True)
    assert cause_codes(diagnose(harness, failure=REFUSED), LIKELY) == set(), "Zoho keeps ten"
    harness.advance(minutes=4)
    harness.services.tokens.access_token("crm", force_refresh=True)
    found = diagnose(harness, failure=REFUSED)
    assert cause_codes(found, LIKELY) == {"access-token-evicted"}
    assert "within an hour" in found.causes[0].evidence_for[0]


def test_a_program_with_a_working_connection_used_its_token_wrongly(harness: Harness) -> None:
    add_verified_connection(harness, "crm")
    found = diagnose(harness, failure=REFUSED, max_requests=2)
    assert not harness.refresh_requests(), "a valid access token was enough"
    assert cause_codes(found, RULED_OUT) == FROM_THE_GRANT
    assert [each.code for each in found.causes][:2] == [
        "access-token-of-other-data-center",
        "access-token-expired",
    ]
    assert "sent it elsewhere" in found.causes[0].evidence_for[0]
    assert not cause_codes(found, CERTAIN) | cause_codes(found, LIKELY)


def test_a_token_rejected_during_a_diagnosis_is_no_longer_served(
    harness: Harness,
) -> None:
    add_verified_connection(harness, "crm")
    harness.controls.change_password(ANNA)
    harness.controls.inject_fault("rate-limit", endpoint="oauth/v2/token")
    diagnose(harness)
    assert harness.services.token_cache.get("crm") is None
    with pytest.raises(WizardError, match="throttled"):
        harness.services.tokens.access_token("crm")


def test_the_token_of_a_related_grant_rejected_during_a_diagnosis_is_no_longer_served(
    harness: Harness,
) -> None:
    add_verified_connection(harness, "crm")
    add_verified_connection(harness, "books")
    harness.controls.change_password(ANNA)
    detect_rejection(harness, "crm")
    harness.controls.inject_fault("rate-limit", endpoint="oauth/v2/token")
    diagnose(harness)
    assert harness.services.token_cache.get("books") is None


def test_after_a_password_change_the_diagnosis_is_about_the_grant(harness: Harness) -> None:
    add_verified_connection(harness, "crm")
    add_verified_connection(harness, "books")
    harness.controls.change_password(ANNA)
    found = diagnose(harness, failure=REFUSED)
    assert found.code == "refresh-token-rejected"
    assert found.failure_class == "refresh-token-refused"
    assert found.next_steps[0].command == "zoho-wizard reauthorize crm"
