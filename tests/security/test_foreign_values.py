"""Values in responses go only where they belong: tokens and ids have an alphabet."""

import ast
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.claims import over_rows
from support.harness import Harness, query_parameters, settings_for
from support.raw_server import RawServer, http_response

from wizard import zoho
from wizard.delivery.profiles import profiles
from wizard.errors import WizardError
from wizard.importing import FoundCredentials
from wizard.model import (
    Account,
    Failure,
    HttpExchange,
    Identifier,
    Organization,
    RequestKind,
    Token,
)
from wizard.oauth import parse_token_response
from wizard.product_api import parse_account, parse_organizations
from wizard.services import Services
from wizard.store import Destination, StoreContents
from wizard.transport import HttpResponse

PACKAGE = Path(__file__).parents[2] / "wizard"
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
EU = zoho.load().data_center("eu")
COMMAND = "x'$(touch pwned)'"
HOSTILE = [
    COMMAND,
    "'; touch pwned; '",
    "$(touch pwned)",
    "`touch pwned`",
    "a\nZOHO_DC=us",
    "a\r\nX-Evil: 1",
    "a\x00b",
    "a\x1b[2Jb",
    "a\x9bb",
    "a b",
    "a,b",
    'a"b',
    "a\\b",
    "ä",
    "１２３",
    "²",
    "\ud800",
    "-rf",
    "../x",
    "",
]
"""Characters in no token, identifier, option or path."""
ALSO_TOKENS = ("-rf", "../x")
"""Those of them that RFC 6750 allows in a token."""


def answered(body: object, status: int = 200) -> HttpResponse:
    exchange = HttpExchange("POST", EU.token_endpoint, {}, status, "", NOW)
    return HttpResponse(status, {}, json.dumps(body).encode(), exchange)


def failure_of(act: Callable[[], object]) -> Failure:
    with pytest.raises(WizardError) as raised:
        act()
    return raised.value.failure


# --- The types ------------------------------------------------------------------------------------


@over_rows("text", ["1000.0a.b1", "1004.X", "eyJ.h-_~+/9==", "t", "-rf", "../x"])
def test_a_token_uses_the_alphabet_of_rfc_6750(text: str) -> None:
    assert Token.of(text) == text
    assert text not in repr(Token(text))


@over_rows("text", ["600000001", "10234695", "4150868000000225013", "1000.AB1_2-3"])
def test_an_identifier_uses_the_alphabet_of_zoho(text: str) -> None:
    assert Identifier.of(text) == text


@over_rows("text", [*HOSTILE, "a" * 65, "1\n"])
def test_any_other_text_is_neither(text: str) -> None:
    assert Identifier.of(text) is None
    with pytest.raises(ValueError, match="not a valid Identifier"):
        Identifier(text)
    if text not in (*ALSO_TOKENS, "a" * 65):
        assert Token.of(text) is None
        with pytest.raises(ValueError, match="not a valid Token"):
            Token(text)


@given(st.text(max_size=30))
def test_an_identifier_is_safe_in_a_shell_a_header_a_url_and_an_environment(text: str) -> None:
    found = Identifier.of(text)
    if found is not None:
        assert found.isascii()
        assert found.isprintable()
        assert not set(found) & set(" \t'\"`$\\|&;<>()*?[]#~=%!{}/,:@+")


def test_only_parsers_of_external_input_create_a_token_or_an_identifier() -> None:
    makers = {
        str(file.relative_to(PACKAGE))
        for file in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in ("Token", "Identifier", "Token.of", "Identifier.of")
    }
    judges = {
        "oauth.py",
        "product_api.py",
        "importing.py",
        "client_files.py",
        "backup/service.py",
        "store/schema.py",
        "cli/flows/authorization.py",  # a placeholder for an ID that isn't known yet
    }
    assert makers - {"credential_formats.py"} == judges


# --- Parsers --------------------------------------------------------------------------------------


@over_rows("field", ["access_token", "refresh_token"])
@over_rows("value", [each for each in HOSTILE if each not in ALSO_TOKENS])
def test_an_invalid_token_makes_the_response_malformed(field: str, value: str) -> None:
    good = {"access_token": "1000.a.b", "refresh_token": "1000.c.d"}
    found = failure_of(lambda: parse_token_response(answered({**good, field: value}), EU, NOW))
    assert (found.code, found.temporary) == ("malformed-answer", True)
    assert found.details["field"] == field


@over_rows("value", [*HOSTILE, None, True, -1, 1.5, [], {}, "a" * 65])
@over_rows("product", ["crm", "books", "desk", "projects"])
def test_an_invalid_organization_id_makes_the_response_malformed(
    product: str, value: object
) -> None:
    listed = zoho.product(product)
    listing = listed.organizations
    assert listing is not None
    body: object = [{listing.id: value, listing.name: "Zylker"}]
    for name in reversed(listing.rows.split(".")):
        body = {name: body}
    assert failure_of(lambda: parse_organizations(listed, answered(body))).code == (
        "malformed-answer"
    )


@over_rows("value", [*HOSTILE, None, True, -1, "12a", "1" * 65])
def test_a_zuid_that_is_not_a_number_makes_the_response_malformed(value: object) -> None:
    found = failure_of(lambda: parse_account(answered({"ZUID": value, "Email": "a@b"})))
    assert found.code == "malformed-answer"


@over_rows("value", [each for each in HOSTILE if each not in ALSO_TOKENS and each])
@over_rows("field", ["client_id", "client_secret", "refresh_token"])
def test_an_import_of_invalid_values_is_refused_before_any_request(
    harness: Harness, field: str, value: str
) -> None:
    facts = {"client_id": "1000.ABC", "client_secret": "0123456789", "refresh_token": "1000.a.b"}
    found = failure_of(
        lambda: harness.services.importer.verify(FoundCredentials(values={**facts, field: value}))
    )
    assert (found.code, found.details) == ("import-malformed", {"odd": field})
    assert harness.controls.journal() == []


# --- The attack -----------------------------------------------------------------------------------


@pytest.fixture
def services_of() -> Iterator[Callable[[Path, str], Services]]:
    opened = []

    def open_services(directory: Path, url: str) -> Services:
        opened.append(Services.open(settings_for(directory, url)))
        return opened[-1]

    yield open_services
    for services in opened:
        services.close()


def test_a_consent_that_returns_a_shell_command_as_token_stores_nothing(
    harness: Harness, tmp_path: Path, services_of: Callable[[Path, str], Services]
) -> None:
    harness.add_connection("crm")
    evil = json.dumps({"access_token": "1000.a.b", "refresh_token": COMMAND, "expires_in": 3600})
    with RawServer(http_response(body=evil)) as server:
        services = services_of(tmp_path / "evil", server.url)
        [client], [connection] = (
            harness.services.store.clients.all(),
            harness.services.store.connections.all(),
        )
        services.store.transfers.import_contents(StoreContents((client,), (connection,)))
        begun = services.authorization.begin("crm")
        state = dict(query_parameters(begun.url))["state"]
        params = [("state", state), ("code", f"1000.{'0' * 32}.{'1' * 32}")]
        done = services.authorization.complete(params, {begun.cookie_name: begun.cookie_value})
    assert done.failure is not None
    assert done.failure.code == "outcome-unknown"
    assert services.store.grants.of_connection("crm") == ()
    requests = services.store.request_log.requests(since=services.clock() - timedelta(hours=1))
    assert [ask.outcome for ask in requests if ask.kind is RequestKind.CODE_EXCHANGE] == [
        "malformed-answer"
    ]
    services.close()
    assert held(tmp_path / "evil", COMMAND) == []


@pytest.mark.parametrize(
    "profile", [each.id for each in profiles().values() if each.file_format in ("dotenv", "ini")]
)
def test_a_shell_command_stored_as_token_earlier_is_not_delivered(
    harness: Harness, profile: str
) -> None:
    command = COMMAND if profile == "dotenv" else "a\nregion = mine"
    harness.services.store.grants.rotate(harness.add_verified_connection(), command, NOW)
    target = harness.directory / "target"
    described = harness.services.delivery.describe(Destination("crm", profile, str(target)))
    added = harness.services.store.destinations.add(described)
    found = failure_of(lambda: harness.services.delivery.deliver(added))
    assert found.code == "destination-value"
    assert not target.exists()


def test_a_delivered_file_can_be_sourced(harness: Harness) -> None:
    grant = harness.add_verified_connection()
    target = harness.directory / "shell" / ".env"
    target.parent.mkdir()
    harness.services.delivery.add(
        harness.services.delivery.describe(Destination("crm", "dotenv", str(target)))
    )
    script = '. ./.env; printf %s "$ZOHO_REFRESH_TOKEN"'
    done = subprocess.run(
        ["sh", "-c", script], cwd=target.parent, capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == (grant.refresh_token, "")
    assert os.listdir(target.parent) == [".env"]


def test_invalid_ids_that_were_stored_earlier_are_not_read(harness: Harness) -> None:
    harness.add_verified_connection()
    account = Account(Identifier("600000001"), "anna@zylker.example")
    ids = ["20091000001", "a\x00b", "a\nb", "ä"]
    organizations = tuple(Organization("crm", cast(Identifier, each), each) for each in ids)
    harness.services.store.grants.set_account("crm", 1, account, organizations)
    grant = harness.services.store.grants.get("crm")
    assert grant is not None
    assert [each.id for each in grant.organizations] == ["20091000001"]


def held(directory: Path, secret: str) -> list[str]:
    """The files below `directory` that contain `secret` in plain text."""
    files = [each for each in directory.rglob("*") if each.is_file()]
    return [each.name for each in files if secret.encode() in each.read_bytes()]
