"""The state of a connection is read from the store, in any process."""

import pytest
from support.harness import ANNA, BOB, CARLA, FIRST_ORGANIZATION, Harness

from wizard.authorization import StartedAttempt
from wizard.diagnosis.service import ExplainedStatus
from wizard.errors import WizardError
from wizard.model import Failure
from wizard.model.failure import codes_with
from wizard.services import Services


def connection_status(harness: Harness, name: str = "crm") -> ExplainedStatus:
    """The status as these services and those of another process read it."""
    seen = harness.services.diagnosis.status_of(name)
    with Services.open(harness.services.settings, harness.services.clock) as reopened:
        assert reopened.diagnosis.status_of(name).status == seen.status
    return seen


def receive_callback(harness: Harness, started: StartedAttempt, **params: str) -> None:
    answer = [*params.items(), ("state", started.attempt.oauth_state)]
    harness.services.authorization.complete(answer, {started.cookie_name: started.cookie_value})


def code_of(explained: ExplainedStatus) -> str:
    assert explained.explanation is not None
    return explained.explanation.code


def shown(explained: ExplainedStatus) -> str:
    """The codes of what is shown."""
    return " ".join(explained.status.shown)


def test_a_connection_goes_from_consent_to_verified_step_by_step(harness: Harness) -> None:
    harness.add_connection()
    assert shown(connection_status(harness)) == "not_authorized"
    begun = harness.services.authorization.begin("crm")
    assert shown(connection_status(harness)) == "waiting_for_consent"
    harness.complete_authorization(begun, harness.give_consent(begun))
    assert shown(connection_status(harness)) == "not_verified"
    harness.verify("crm", 1)
    verified = connection_status(harness)
    assert shown(verified) == "verified"
    assert verified.explanation is None
    assert verified.report is not None
    assert verified.report.is_verified


def test_an_abandoned_consent_leaves_the_connection_as_it_was(harness: Harness) -> None:
    harness.add_connection()
    begun = harness.services.authorization.begin("crm")
    harness.services.authorization.abandon(begun.attempt.id)
    assert shown(connection_status(harness)) == "not_authorized"
    harness.add_verified_connection("books")
    begun = harness.services.authorization.begin("books")
    assert shown(connection_status(harness, "books")) == "verified waiting_for_consent"
    harness.services.authorization.abandon(begun.attempt.id)
    assert shown(connection_status(harness, "books")) == "verified"


def test_an_open_consent_expires_after_an_hour(
    harness: Harness,
) -> None:
    harness.add_connection()
    harness.services.authorization.begin("crm")
    harness.advance(minutes=59)
    assert shown(connection_status(harness)) == "waiting_for_consent"
    harness.advance(minutes=1)
    assert shown(connection_status(harness)) == "not_authorized"


@pytest.mark.parametrize(
    ("error", "code", "state"),
    [
        ("access_denied", "access-denied", "access_denied"),
        ("no_org", "no-organization", "not_authorized"),
    ],
)
def test_a_refused_consent_shows_why_and_offers_a_retry(
    harness: Harness, error: str, code: str, state: str
) -> None:
    harness.add_connection()
    receive_callback(harness, harness.services.authorization.begin("crm"), error=error)
    refused = connection_status(harness)
    assert shown(refused) == state
    assert code_of(refused) == code
    assert refused.explanation is not None
    assert refused.explanation.next_steps[0].path == "/connections/crm"
    harness.authorize("crm")
    assert shown(connection_status(harness)) == "not_verified"


def test_a_refused_reauthorization_keeps_a_verified_connection_verified(harness: Harness) -> None:
    harness.add_verified_connection()
    receive_callback(harness, harness.services.authorization.begin("crm"), error="access_denied")
    seen = connection_status(harness)
    assert shown(seen) == "verified"
    assert code_of(seen) == "access-denied"


def test_a_missing_secret_names_the_data_center_and_the_page_that_takes_it(
    harness: Harness,
) -> None:
    client = harness.register_client()
    harness.controls.enable_data_center(client.client_id, "in")
    harness.add_connection("crm", client)
    harness.authorize("crm", BOB)
    finding = connection_status(harness).explanation
    assert finding is not None
    assert finding.title == "No client secret for India"
    assert finding.next_steps[0].path.startswith(f"/clients/{client.client_id}")
    assert finding.next_steps[0].command.endswith(f"{client.client_id} --data-center in")


def test_an_unknown_outcome_remains_until_the_consent_is_repeated(harness: Harness) -> None:
    harness.add_connection()
    begun = harness.services.authorization.begin("crm")
    callback = harness.give_consent(begun)
    harness.controls.inject_fault("connection-closed", endpoint="oauth/v2/token", processed=True)
    harness.complete_authorization(begun, callback)
    unknown = connection_status(harness)
    assert shown(unknown) == "outcome_unknown"
    assert code_of(unknown) == "outcome-unknown"
    harness.authorize("crm")
    assert shown(connection_status(harness)) == "not_verified"


def test_a_failed_step_is_the_diagnosis_of_an_unverified_grant(harness: Harness) -> None:
    harness.add_connection()
    harness.authorize("crm")
    harness.controls.remove_api_access(ANNA, "crm")
    harness.verify("crm", 1)
    assert shown(connection_status(harness)) == "access_denied"
    assert code_of(connection_status(harness)) == "no-permission"


def test_a_verified_grant_whose_last_verification_failed_says_so(harness: Harness) -> None:
    harness.add_verified_connection()
    harness.controls.remove_api_access(ANNA, "crm")
    harness.verify("crm", 1)
    assert shown(connection_status(harness)) == "access_denied"
    assert code_of(connection_status(harness)) == "no-permission"


def test_a_rejected_grant_shows_the_likely_cause_and_who_must_sign_in(harness: Harness) -> None:
    harness.add_verified_connection()
    harness.controls.change_password(ANNA)
    harness.verify("crm", 1)
    rejected = connection_status(harness)
    assert shown(rejected) == "needs_reauthorization"
    assert rejected.explanation is not None
    assert rejected.explanation.causes[0].code == "password-changed"
    assert "change the password" in rejected.explanation.question
    assert ANNA in rejected.explanation.fix
    assert rejected.explanation.exit_code == 3
    harness.authorize("crm")
    harness.verify("crm", 2)
    assert shown(connection_status(harness)) == "verified"


def test_a_new_grant_rejected_before_verification_is_rejected(harness: Harness) -> None:
    harness.add_connection()
    harness.authorize("crm")
    harness.controls.change_password(ANNA)
    harness.verify("crm", 1)
    assert shown(connection_status(harness)) == "needs_reauthorization"


def test_a_mismatch_names_both_accounts(harness: Harness) -> None:
    harness.add_verified_connection()
    harness.authorize("crm", CARLA, FIRST_ORGANIZATION)
    harness.verify("crm", 2)
    waiting = connection_status(harness)
    assert shown(waiting) == "different_account"
    assert waiting.explanation is not None
    assert ANNA in waiting.explanation.cause
    assert CARLA in waiting.explanation.cause
    harness.services.authorization.discard("crm", 2)
    assert shown(connection_status(harness)) == "verified"


def test_a_revoked_connection_can_be_authorized_again(harness: Harness) -> None:
    harness.services.tokens.revoke(harness.add_verified_connection())
    assert shown(connection_status(harness)) == "revoked"
    harness.authorize("crm")
    harness.verify("crm", 2)
    assert shown(connection_status(harness)) == "verified"


def test_zoho_error_pages_that_end_a_consent_are_named_with_their_fix(harness: Harness) -> None:
    connection = harness.add_connection()
    pages = harness.services.diagnosis.possible_zoho_pages("crm")
    assert [page.code for page in pages] == list(codes_with("zoho_page"))
    said = " ".join(page.cause + page.fix for page in pages)
    assert harness.services.settings.redirect_uri in said
    assert connection.client_id in said
    assert "…" not in said


def test_details_of_the_failure_override_those_of_the_connection(harness: Harness) -> None:
    harness.add_connection()
    failure = Failure("multi-dc-off", "invalid_client", details={"data_center": "India"})
    assert "India" in harness.services.diagnosis.explain("crm", failure).title


def test_an_unknown_name_has_its_own_diagnosis(harness: Harness) -> None:
    harness.add_connection()
    with pytest.raises(WizardError) as error:
        harness.services.diagnosis.status_of("crn")
    assert error.value.failure.details["nearest"] == "crm"


def test_of_two_attempts_the_newer_failed_one_is_shown(harness: Harness) -> None:
    harness.add_connection()
    older = harness.services.authorization.begin("crm")
    receive_callback(harness, harness.services.authorization.begin("crm"), error="access_denied")
    assert shown(connection_status(harness)) == "access_denied"
    harness.complete_authorization(older, harness.give_consent(older))
    assert shown(connection_status(harness)) == "not_verified"
