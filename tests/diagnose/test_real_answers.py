"""What is read of a real exchange beside its cause: whose it is, what differs, what it lacks.

The causes themselves, each made to happen and pasted, stand in the table of worlds.
"""

import pytest
from core import ANNA, Core
from program import Program

from wizard.diagnosis.reading import Reading


@pytest.fixture
def program(core: Core) -> Program:
    core.proved("crm")
    return Program(core)


def read(core: Core, text: str) -> Reading:
    """The reading of a paste, which asks nobody."""
    core.admin.clear_journal()
    reading = core.house.reader.read(text)
    assert core.admin.journal() == []
    return reading


def test_a_connection_is_known_by_the_refresh_token_in_the_paste(
    core: Core, program: Program
) -> None:
    core.admin.change_password(ANNA, "another one 1!")
    reading = read(core, program.refresh().text)
    assert reading.connection == "crm"
    assert [each.command for each in reading.finding.steps] == ["zoho-wizard reauthorize crm"]
    assert reading.secrets


def test_a_log_and_a_curl_command_of_the_same_request_are_read_alike(
    core: Core, program: Program
) -> None:
    told = program.refresh("us")
    assert read(core, told.text).finding == read(core, told.as_curl).finding


def test_the_scope_that_is_missing_is_named_with_the_command_that_adds_it(
    core: Core, program: Program
) -> None:
    found = read(core, program.read(path="Contacts").as_curl).finding
    wanted = "ZohoCRM.modules.contacts.READ"
    assert wanted in found.cause
    assert found.steps[0].command == f"zoho-wizard connect crm --add --scope {wanted}"
    assert found.steps[0].path.startswith(f"/connections/new?scope={wanted}&client=1000.")


def test_an_address_that_does_not_exist_is_no_reason_to_authorize_again(
    core: Core, program: Program
) -> None:
    found = read(core, program.read(path="no/such/call").text).finding
    assert "do not authorize again" in found.class_title
    assert not any("reauthorize" in step.command for step in found.steps)


def test_a_refused_secret_names_the_client_of_the_paste_and_the_command_that_stores_it(
    core: Core, program: Program
) -> None:
    core.client("Another")
    told = program.refresh(client_secret="x")
    client_id = program.credentials["client_id"]
    found = read(core, told.as_curl).finding
    assert f"zoho-wizard client secret {client_id} --data-centre eu" in [
        step.command for cause in found.causes for step in cause.steps
    ]
    answer = read(core, told.answer.text).finding
    assert [each.command for each in answer.steps] == ["zoho-wizard client list"], "which one?"


def test_the_answer_alone_is_about_the_only_client_there_is(core: Core, program: Program) -> None:
    found = read(core, program.refresh(client_secret="x").answer.text).finding
    client_id = program.credentials["client_id"]
    assert found.steps[0].command.startswith(f"zoho-wizard client secret {client_id} ")
    assert found.steps[0].path.startswith(f"/clients/{client_id}?")


def test_a_strangers_client_is_offered_no_command_that_would_fail(
    core: Core, program: Program
) -> None:
    stranger = core.admin.register_client(ANNA, ["http://localhost:9/"])
    values = {"client_id": stranger["client_id"], "client_secret": "x"}
    told = program.refresh(refresh_token="1000.of.a.stranger", **values)
    reading = read(core, told.as_curl)
    commands = [s.command for c in (reading.finding, *reading.finding.causes) for s in c.steps]
    assert stranger["client_id"] not in " ".join(commands)
    assert any(stranger["client_id"] in sentence for sentence in reading.understood)


@pytest.mark.parametrize(
    ("right", "wrong", "part"),
    [
        ("/callback", "/callback/", "slash at the end"),
        ("/callback", "/oauth/callback", "path"),
        (":8733", ":8732", "port"),
        ("http://", "https://", "scheme"),
        ("localhost", "127.0.0.1", "loopback name"),
        ("localhost", "example.com", "host"),
    ],
)
def test_redirect_uris_are_compared_character_by_character(
    core: Core, right: str, wrong: str, part: str
) -> None:
    registered = core.house.store.client(core.connection("crm").client_id).redirect_uri
    sent = registered.replace(right, wrong)
    text = f"redirect_uri={sent}&client_id=x\n" + '{"error":"invalid_redirect_uri"}'
    reading = read(core, text)
    assert part in reading.finding.causes[0].evidence_for[0]
    compared = reading.comparison
    assert compared is not None
    assert (compared.sent, compared.registered) == (sent, registered)
    assert compared.before + compared.odd + compared.after == sent
    assert compared.before + compared.right + compared.after == registered


def test_a_bare_address_is_compared_with_the_clients(core: Core) -> None:
    uri = core.house.store.client(core.connection("crm").client_id).redirect_uri
    assert core.house.reader.read(uri).finding.code == "redirect-uri-same"
    slip = core.house.reader.read(uri.replace("localhost", "127.0.0.1"))
    assert slip.finding.causes[0].code == "redirect-uri-differs"
    assert slip.comparison is not None
    assert (slip.comparison.odd, slip.comparison.right) == ("127.0.0.1", "localhost")
