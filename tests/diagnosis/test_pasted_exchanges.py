"""Details parsed from a real exchange: whose it is, what differs, what is missing.

The scenarios in `failure_scenarios` cover the causes.
"""

import pytest
from support.claims import over_rows
from support.diagnosis import cause_codes
from support.harness import ANNA, Harness
from support.third_party_program import ThirdPartyProgram

from wizard.diagnosis.judgment import reported_causes
from wizard.diagnosis.pasted_text import DiagnosisResult
from wizard.model import Confidence


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


TOKEN = "1000." + "a1b2c3d4" * 4 + "." + "0f1e2d3c" * 4
REFRESH = f"POST /oauth/v2/token grant_type=refresh_token&refresh_token={TOKEN}"
REJECTED = '{"error":"invalid_code"}'
CALLBACK_AND_EXCHANGE = (
    "https://app.example/cb?code=x&location=eu&accounts-server=https://accounts.zoho.eu\n"
    f"POST https://accounts.zoho.com/oauth/v2/token code={TOKEN}\n"
    '{"error":"invalid_client"}'
)
CONFIRMED, LIKELY = Confidence.CONFIRMED, Confidence.LIKELY


@over_rows(
    ("text", "confidence", "cause"),
    [
        (f"?code={TOKEN}&location=eu\n{REFRESH}\n{REJECTED}", CONFIRMED, "code-in-its-place"),
        (f"GRANT_TOKEN={TOKEN}\n{REFRESH}\n{REJECTED}", CONFIRMED, "code-in-its-place"),
        (f"POST /oauth/v2/token/revoke\n{REFRESH}\n{REJECTED}", LIKELY, "access-token-revoked"),
        (f"{REFRESH}&scope=ZohoCRM.modules.ALL\n{REJECTED}", LIKELY, "scope-sent-on-refresh"),
        (
            f"{{'scope': 'a.b.ALL', 'grant_type': 'refresh_token'}}\n{REJECTED}",
            LIKELY,
            "scope-sent-on-refresh",
        ),
        (CALLBACK_AND_EXCHANGE, LIKELY, "client-of-other-data-center"),
    ],
)
def test_what_two_parts_of_a_paste_show_together_decides(
    harness: Harness, text: str, confidence: Confidence, cause: str
) -> None:
    assert cause in cause_codes(read(harness, text).explanation, confidence)


@over_rows(
    ("text", "cause"),
    [
        (f"{REFRESH}\n{REJECTED}", "code-in-its-place"),
        (f"{REFRESH}\n{REJECTED}", "account-migrated"),
        ('HTTP/1.1 403 {"code":"NO_PERMISSION"}', "edition-without-api"),
        (f"{REFRESH}\n{REJECTED}\nscope: ZohoCRM.modules.ALL", "password-changed"),
    ],
)
def test_causes_without_a_sign_in_the_text_stay_possible(
    harness: Harness, text: str, cause: str
) -> None:
    found = read(harness, text).explanation
    assert cause in cause_codes(found, Confidence.POSSIBLE)
    assert not cause_codes(found, CONFIRMED) | cause_codes(found, LIKELY)


def test_a_word_of_scopes_in_a_refresh_is_explained_by_the_refresh(harness: Harness) -> None:
    word = '{"error":"invalid_scope"}'
    assert read(harness, f"{REFRESH}&scope=a\n{word}").explanation.code == "scope-sent-on-refresh"
    assert read(harness, f"{REFRESH}\n{word}").explanation.code == "invalid-scope"


def test_the_organization_that_was_sent_is_shown_if_zoho_misses_one(harness: Harness) -> None:
    text = 'grant_type=client_credentials&soid=Desk.77001 {"error":"missing_org_info"}'
    assert "Desk.77001" in read(harness, text).explanation.cause
    assert "had none" in read(harness, '{"error":"missing_org_info"}').explanation.cause


def test_if_nothing_decides_the_cause_of_most_reports_is_first_and_says_so(
    harness: Harness,
) -> None:
    [first, *others] = read(harness, "INVALID_TOKEN").explanation.causes
    reports = reported_causes()["access-token-refused"]
    assert first.code == max(reports, key=lambda each: len(reports[each]))
    assert str(len(reports[first.code])) in first.evidence_for[0]
    assert not [each for each in others if each.evidence_for and each.code not in reports]


def test_a_message_is_compared_with_the_named_connection(
    harness: Harness, program: ThirdPartyProgram
) -> None:
    explain = harness.services.reader.explain_text
    elsewhere = f"POST https://accounts.zoho.in/oauth/v2/token grant_type=refresh_token {REJECTED}"
    reading = explain(elsewhere, (), "crm")
    assert reading.connection == "crm"
    assert cause_codes(reading.explanation, LIKELY) == {"token-of-other-data-center"}
    other_client = f"grant_type=refresh_token&client_id=1000.{'A1' * 15} {REJECTED}"
    found = explain(other_client, (), "crm").explanation
    assert cause_codes(found, LIKELY) == {"token-of-other-client"}
    unscoped = "GET https://www.zohoapis.eu/crm/v8/Contacts HTTP/1.1 401 OAUTH_SCOPE_MISMATCH"
    assert cause_codes(explain(unscoped, (), "crm").explanation, CONFIRMED) == {"scope-not-granted"}
    assert not cause_codes(explain(unscoped).explanation, CONFIRMED)
