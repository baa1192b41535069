"""Details parsed from a real exchange: whose it is, what differs, what is missing.

The scenarios in `failure_scenarios` cover the causes.
"""

import pytest
from support.harness import ANNA, Harness
from support.third_party_program import ThirdPartyProgram

from wizard.diagnosis.pasted_text import DiagnosisResult


@pytest.fixture
def program(harness: Harness) -> ThirdPartyProgram:
    harness.add_verified_connection("crm")
    return ThirdPartyProgram(harness)


def read(harness: Harness, text: str) -> DiagnosisResult:
    """The diagnosis of a paste, which sends no requests."""
    harness.controls.clear_journal()
    reading = harness.services.reader.explain_text(text)
    assert harness.controls.journal() == []
    return reading


def test_a_connection_is_recognized_by_the_refresh_token_in_the_paste(
    harness: Harness, program: ThirdPartyProgram
) -> None:
    harness.controls.change_password(ANNA, "another one 1!")
    reading = read(harness, program.refresh().as_log)
    assert reading.connection == "crm"
    assert [each.command for each in reading.explanation.next_steps] == [
        "zoho-wizard reauthorize crm"
    ]
    assert reading.has_secrets


def test_a_log_and_a_curl_command_of_the_same_request_are_parsed_alike(
    harness: Harness, program: ThirdPartyProgram
) -> None:
    exchange = program.refresh("us")
    assert read(harness, exchange.as_log).explanation == read(harness, exchange.as_curl).explanation


def test_the_missing_scope_is_named_with_the_command_that_adds_it(
    harness: Harness, program: ThirdPartyProgram
) -> None:
    found = read(harness, program.read_crm(path="Contacts").as_curl).explanation
    wanted = "ZohoCRM.modules.contacts.READ"
    assert wanted in found.cause
    assert found.next_steps[0].command == f"zoho-wizard connect crm --add --scope {wanted}"
    assert found.next_steps[0].path.startswith(f"/connections/new?scope={wanted}&client=1000.")


def test_a_wrong_path_is_no_reason_to_reauthorize(
    harness: Harness, program: ThirdPartyProgram
) -> None:
    found = read(harness, program.read_crm(path="no/such/call").as_log).explanation
    assert not any("reauthorize" in step.command for step in found.next_steps)


def test_a_rejected_secret_names_the_pasted_client_and_the_command_that_stores_it(
    harness: Harness, program: ThirdPartyProgram
) -> None:
    harness.register_client("Another")
    exchange = program.refresh(client_secret="x")
    client_id = program.credentials["client_id"]
    found = read(harness, exchange.as_curl).explanation
    assert f"zoho-wizard client set-secret {client_id} --data-center eu" in [
        step.command for cause in found.causes for step in cause.next_steps
    ]
    answer = read(harness, exchange.response.text).explanation
    assert [each.command for each in answer.next_steps] == ["zoho-wizard client list"], "which one?"


def test_a_response_without_its_request_is_about_the_only_client(
    harness: Harness, program: ThirdPartyProgram
) -> None:
    found = read(harness, program.refresh(client_secret="x").response.text).explanation
    client_id = program.credentials["client_id"]
    assert found.next_steps[0].command.startswith(f"zoho-wizard client set-secret {client_id} ")
    assert found.next_steps[0].path.startswith(f"/clients/{client_id}?")


def test_a_client_that_is_not_stored_gets_no_command_that_would_fail(
    harness: Harness, program: ThirdPartyProgram
) -> None:
    unknown = harness.controls.register_client(ANNA, ["http://localhost:9/"])
    values = {"client_id": unknown["client_id"], "client_secret": "x"}
    exchange = program.refresh(refresh_token="1000.of.a.stranger", **values)
    reading = read(harness, exchange.as_curl)
    explanation = reading.explanation
    steps = [*explanation.next_steps, *(s for each in explanation.causes for s in each.next_steps)]
    commands = [each.command for each in steps]
    assert unknown["client_id"] not in " ".join(commands)
    assert any(unknown["client_id"] in sentence for sentence in reading.understood)


@pytest.mark.parametrize(
    ("right", "wrong", "part"),
    [
        ("/callback", "/callback/", "trailing slash"),
        ("/callback", "/oauth/callback", "path"),
        (":8733", ":8732", "port"),
        ("http://", "https://", "scheme"),
        ("localhost", "127.0.0.1", "loopback name"),
        ("localhost", "example.com", "host"),
    ],
)
def test_redirect_uris_are_compared_character_by_character(
    harness: Harness, right: str, wrong: str, part: str
) -> None:
    registered = harness.services.store.clients.get(
        harness.add_connection("crm").client_id
    ).redirect_uri
    sent = registered.replace(right, wrong)
    text = f"redirect_uri={sent}&client_id=x\n" + '{"error":"invalid_redirect_uri"}'
    reading = read(harness, text)
    assert part in reading.explanation.causes[0].evidence_for[0]
    compared = reading.comparison
    assert compared is not None
    assert (compared.sent, compared.registered) == (sent, registered)
    assert compared.common_prefix + compared.sent_difference + compared.common_suffix == sent
    assert (
        compared.common_prefix + compared.registered_difference + compared.common_suffix
        == registered
    )


def test_a_pasted_redirect_uri_is_compared_with_those_of_the_clients(harness: Harness) -> None:
    uri = harness.services.store.clients.get(harness.add_connection("crm").client_id).redirect_uri
    assert harness.services.reader.explain_text(uri).explanation.code == "redirect-uri-same"
    slip = harness.services.reader.explain_text(uri.replace("localhost", "127.0.0.1"))
    assert slip.explanation.causes[0].code == "redirect-uri-differs"
    assert slip.comparison is not None
    assert (slip.comparison.sent_difference, slip.comparison.registered_difference) == (
        "127.0.0.1",
        "localhost",
    )
