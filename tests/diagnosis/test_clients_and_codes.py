"""Why a client, its secret, a code or a consent was rejected."""

from dataclasses import replace
from datetime import timedelta

from support.claims import over_rows
from support.diagnosis import (
    add_verified_connection,
    cause_codes,
    client_of,
    diagnose,
    exchange_by_other_program,
    readable_parts,
)
from support.failure_scenarios import FAILURE_SCENARIOS, explain
from support.harness import ANNA, Harness

from wizard.diagnosis.authorization_codes import redirect_uri_difference
from wizard.diagnosis.evidence import Evidence
from wizard.diagnosis.rendering import explain_evidence
from wizard.errors import message
from wizard.model import Confidence, Explanation, Failure
from wizard.serialization import commands_of

CERTAIN, LIKELY = Confidence.CONFIRMED, Confidence.LIKELY
POSSIBLE, RULED_OUT = Confidence.POSSIBLE, Confidence.RULED_OUT


def page_explanation(harness: Harness, name: str = "crm") -> Explanation:
    """The diagnosis on the connection's page."""
    found = harness.services.diagnosis.status_of(name).explanation
    assert found is not None
    return found


# --- the client -----------------------------------------------------------------------------------


def test_a_deleted_client_is_certain_when_its_data_center_does_not_know_it(
    harness: Harness,
) -> None:
    add_verified_connection(harness, "crm")
    harness.controls.delete_client(client_of(harness, "crm").client_id)
    harness.verify("crm", 1)
    step = page_explanation(harness)
    assert step.failure_class == "client-unknown"
    assert cause_codes(step, LIKELY) == {"client-deleted"}
    found = diagnose(harness, failure=step.failure)
    assert [each.code for each in found.causes] == ["client-deleted"]
    assert cause_codes(found, CERTAIN) == {"client-deleted"}
    assert found.next_steps[0].path == "/clients/new"


def test_a_deleted_client_is_searched_for_on_request(harness: Harness) -> None:
    add_verified_connection(harness, "crm")
    harness.controls.delete_client(client_of(harness, "crm").client_id)
    assert cause_codes(diagnose(harness), CERTAIN) == {"client-deleted"}
    harness.controls.clear_journal()
    found = harness.services.diagnosis.diagnose("crm", search=True)
    assert len({entry["location"] for entry in harness.logged_requests()}) > 5
    assert message("evidence", "known-nowhere") in found.causes[0].evidence_for


def test_a_disabled_data_center_is_certain_when_the_original_one_knows_the_client(
    harness: Harness,
) -> None:
    client = harness.register_client()
    harness.add_connection("crm", client)
    failure = Failure("multi-dc-off", "invalid_client", details={"location": "in"})
    found = diagnose(harness, failure=failure, max_requests=1)
    assert cause_codes(found, CERTAIN) == {"multi-dc-off"}
    assert "India" in found.title or "India" in found.fix
    assert f"{client.client_id} --data-center in" in found.next_steps[0].command


def test_the_search_through_data_centers_waits_for_confirmation_once_a_day(
    harness: Harness,
) -> None:
    add_verified_connection(harness, "crm")
    harness.controls.delete_client(client_of(harness, "crm").client_id)
    failure = Failure("invalid-client", "invalid_client", details={"location": "eu"})
    diagnose(harness, failure=failure, max_requests=1)
    harness.controls.clear_journal()
    found = harness.services.diagnosis.diagnose("crm", failure, search=True)
    asked = {entry["location"] for entry in harness.logged_requests()}
    assert len(asked) > 5
    assert message("evidence", "known-nowhere") in found.causes[0].evidence_for
    harness.controls.clear_journal()
    harness.advance(hours=20)
    harness.services.diagnosis.diagnose("crm", failure, search=True)
    assert {entry["location"] for entry in harness.logged_requests()} == {"eu"}


def test_an_unknown_client_that_is_not_stored_shows_all_its_causes() -> None:
    found = explain_evidence(Evidence(failure=Failure("invalid-client", "invalid_client")))
    assert cause_codes(found, POSSIBLE) == {
        "multi-dc-off",
        "client-of-other-data-center",
        "client-id-wrong",
        "client-id-with-blank",
        "client-deleted",
        "grant-type-wrong",
    }
    assert found.question


# --- the secret -----------------------------------------------------------------------------------


def test_a_working_access_token_does_not_hide_a_rejected_secret(harness: Harness) -> None:
    add_verified_connection(harness, "crm")
    harness.services.tokens.access_token("crm")
    harness.controls.rotate_secret(client_of(harness, "crm").client_id)
    harness.verify("crm", 1)
    found = diagnose(harness)
    assert (found.code, cause_codes(found, LIKELY)) == ("invalid-client-secret", {"secret-renewed"})


# --- codes ----------------------------------------------------------------------------------------


def test_a_secret_that_its_data_center_accepts_now_was_not_regenerated(harness: Harness) -> None:
    client = harness.register_client()
    rejected = Evidence(failure=Failure("invalid-client-secret", "invalid_client_secret"))
    sent = replace(rejected.sent_request, location="eu")
    rejected = replace(rejected, client=client, sent_request=sent)
    accepted = replace(rejected, client_verdicts={"eu": "valid"})
    assert "secret-renewed" in cause_codes(explain_evidence(accepted), RULED_OUT)
    assert "secret-renewed" not in cause_codes(explain_evidence(rejected), RULED_OUT)


def test_an_expired_code_and_a_used_one_are_shown_alike(harness: Harness) -> None:
    said = []
    for spoil in ("late", "used"):
        harness.add_connection(spoil)
        begun = harness.services.authorization.begin(spoil)
        callback = harness.give_consent(begun)
        if spoil == "used":
            exchange_by_other_program(harness, spoil, callback, begun.attempt.code_verifier)
        harness.advance(minutes=3)
        harness.complete_authorization(begun, callback)
        said.append(page_explanation(harness, spoil))
    assert {each.failure_class for each in said} == {"code-refused"}
    assert cause_codes(said[0], POSSIBLE) == {"code-expired", "code-used"}
    assert readable_parts(said[0])["causes"] == readable_parts(said[1])["causes"]


def test_a_code_exchanged_at_once_is_not_expired(harness: Harness) -> None:
    harness.add_connection()
    begun = harness.services.authorization.begin("crm")
    callback = harness.give_consent(begun)
    harness.controls.revoke_app(ANNA, client_of(harness, "crm").client_id)
    harness.complete_authorization(begun, callback)
    found = page_explanation(harness)
    assert found.failure_class == "code-refused"
    assert "code-expired" in cause_codes(found, RULED_OUT)
    assert not cause_codes(found, CERTAIN)


def test_invalid_code_without_context_has_a_question_where_it_occurred() -> None:
    found = explain_evidence(Evidence(failure=Failure("invalid-code", "invalid_code")))
    assert found.failure_class == "code-or-refresh-token-refused"
    assert cause_codes(found, POSSIBLE) >= {"code-expired", "password-changed"}
    assert "later" in found.question


# --- redirect URIs, requests, consents ------------------------------------------------------------


@over_rows(
    ("sent", "part"),
    [
        ("https://localhost:8723/callback", "scheme"),
        ("http://127.0.0.1:8723/callback", "loopback-name"),
        ("http://localhost:8724/callback", "port"),
        ("http://localhost:8723/callback/", "trailing-slash"),
        ("http://localhost:8723/oauth", "path"),
        ("http://example.com:8723/callback", "host"),
        ("http://localhost:8723/callback?x=1", "query"),
    ],
)
def test_the_difference_between_redirect_uris_is_named(sent: str, part: str) -> None:
    assert redirect_uri_difference(sent, "http://localhost:8723/callback") == part


def test_a_paste_uses_the_data_center_of_its_request_not_of_the_connections(
    harness: Harness,
) -> None:
    world = next(each for each in FAILURE_SCENARIOS if each.name == "multi-DC off, pasted")
    found = explain(harness, world.produce(harness))
    assert "in the United States" in found.causes[0].title
    assert found.next_steps[0].command.endswith("--data-center us")


def test_a_rate_limited_client_check_suggests_only_commands_about_the_client(
    harness: Harness,
) -> None:
    client = harness.register_client("OAuth wizard")
    failure = Failure("throttled", temporary=True, retry_at=harness.now() + timedelta(minutes=9))
    found = harness.services.diagnosis.explain_client_failure(client, failure)
    assert commands_of(found) == (f"zoho-wizard client check {client.client_id}",)
