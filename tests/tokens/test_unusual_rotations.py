"""A new refresh token in an unusual response is stored first, if it is valid."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.harness import Harness, settings_for
from support.raw_server import RawServer, http_response

from wizard.errors import WizardError, explain
from wizard.importing import FoundCredentials
from wizard.model import Failure
from wizard.model.states import ConnectionState
from wizard.services import Services
from wizard.store import StoreContents

OLD, NEW = f"1000.{'a' * 32}.{'b' * 32}", f"1000.{'c' * 32}.{'d' * 32}"
GOOD = {"access_token": f"1000.{'e' * 32}.{'f' * 32}", "refresh_token": NEW, "expires_in": 3600}
TWICE = json.dumps(GOOD)[:-1] + ', "expires_in": 60}'

UNUSUAL = [
    (200, {"refresh_token": NEW}, "malformed-answer"),
    (200, {**GOOD, "access_token": "a b"}, "malformed-answer"),
    (200, {**GOOD, "access_token": None}, "malformed-answer"),
    (200, {**GOOD, "token_type": "mac"}, "malformed-answer"),
    (200, {**GOOD, "token_type": 1}, "malformed-answer"),
    (201, GOOD, "malformed-answer"),
    (400, GOOD, "malformed-answer"),
    (500, GOOD, "data-center-down"),
    (429, GOOD, "throttled"),
    (200, {**GOOD, "error": ""}, "malformed-answer"),
    (200, {**GOOD, "error": None}, "malformed-answer"),
    (200, TWICE, "not-json"),
    (200, json.dumps(GOOD)[:-1] + ', "expires_in": NaN}', "not-json"),
]
REFUSED = [
    (200, {**GOOD, "error": "invalid_code"}),
    (200, {**GOOD, "error": "general_error"}),
    (500, {**GOOD, "error": "general_error"}),
    (200, json.dumps({**GOOD, "error": "invalid_client"})[:-1] + ', "error": ""}'),
    (200, {"data": GOOD, "refresh_token": "a b"}),
    (200, {**GOOD, "refresh_token": OLD, "token_type": "mac"}),
    (200, json.dumps(GOOD)[:-1] + ', "refresh_token": "1000.other.other"}'),
    (200, [GOOD]),
    (200, f"<html>{json.dumps(GOOD)}</html>"),
    (200, json.dumps({**GOOD, "padding": "x" * 300_000})),
]


@dataclass
class Server:
    """A token endpoint with one response, and a connection `crm` that is refreshed there."""

    services: Services
    raw: RawServer

    def failure(self) -> Failure:
        with pytest.raises(WizardError) as raised:
            self.services.tokens.access_token("crm")
        return raised.value.failure

    def stored(self) -> str:
        grant = self.services.store.grants.get("crm")
        assert grant is not None
        return str(grant.refresh_token)

    def sent(self) -> list[str]:
        """The refresh token of each request."""
        named = {OLD: "old", NEW: "new"}
        return [
            named[each]
            for request in self.raw.requests
            for each in named
            if each.encode() in request
        ]


Start = Callable[..., Server]


@pytest.fixture
def start(harness: Harness, tmp_path: Path) -> Iterator[Start]:
    grant = harness.add_verified_connection()
    store = harness.services.store
    with ExitStack() as stack:

        def start_server(status: int, body: object, *, has_rotated: bool = True) -> Server:
            text = body if isinstance(body, str) else json.dumps(body)
            raw = stack.enter_context(RawServer(http_response(status, text)))
            services = stack.enter_context(
                Services.open(settings_for(tmp_path / "own", raw.url), harness.services.clock)
            )
            services.store.transfers.import_contents(
                StoreContents(tuple(store.clients.all()), tuple(store.connections.all()), (grant,))
            )
            if has_rotated:
                services.store.grants.rotate(grant, OLD, harness.now())
            return Server(services, raw)

        yield start_server


@pytest.mark.parametrize(("status", "body", "code"), UNUSUAL)
def test_a_new_refresh_token_is_stored_whatever_else_is_wrong_with_the_response(
    start: Start, status: int, body: object, code: str
) -> None:
    server = start(status, body)
    failure = server.failure()
    assert failure.code == code
    assert server.stored() == NEW
    assert server.sent() == ["old"]
    words = explain(failure, name="crm")
    assert "othing was changed" not in f"{words.title} {words.cause} {words.fix}"
    assert code == "throttled" or "the new one was stored" in words.cause
    assert NEW not in repr(failure)
    assert server.services.diagnosis.status_of("crm").status.state is ConnectionState.VERIFIED
    if code != "throttled":
        server.failure()
        assert server.sent() == ["old", "new"]


def test_the_first_rotation_is_stored_and_the_old_token_is_not_sent_again(start: Start) -> None:
    server = start(500, GOOD, has_rotated=False)
    assert server.failure().code == "data-center-down"
    assert server.stored() == NEW
    assert len(server.raw.requests) == 1


@pytest.mark.parametrize(("status", "body"), REFUSED)
def test_a_rejected_or_unreadable_response_replaces_no_refresh_token(
    start: Start, status: int, body: object
) -> None:
    server = start(status, body)
    server.failure()
    assert server.stored() == OLD


@pytest.mark.parametrize("body", [{"error": ""}, {"error": " "}, {"error": None}, {"error": 0}])
def test_an_empty_error_leaves_the_outcome_unknown_and_the_old_token_is_sent_once(
    start: Start, body: object
) -> None:
    server = start(200, body)
    assert server.failure().code == "malformed-answer"
    assert server.sent() == ["old"]
    status = server.services.diagnosis.status_of("crm").status
    assert status.state is ConnectionState.OUTCOME_UNKNOWN
    server.raw._response = http_response(200, '{"error": "invalid_code"}')
    assert server.failure().code == "refresh-token-rejected"
    assert server.sent() == ["old", "old"], "the one that was lost, and one more"


def test_an_import_stores_the_new_refresh_token_of_an_unusual_response(
    harness: Harness, start: Start
) -> None:
    def answer(connection: object) -> None:
        text = '{"error": "invalid_code"}' if len(server.raw.requests) < 3 else json.dumps(body)
        connection.sendall(http_response(200, text))  # type: ignore[attr-defined]

    body = {"refresh_token": NEW}
    server = start(200, "{}")
    server.raw._response = answer
    facts = {"client_id": "1000.ABC", "client_secret": "0123456789", "refresh_token": OLD + "0"}
    verified = server.services.importer.verify(FoundCredentials(values=facts), "eu")
    assert verified.rotated
    assert verified.refresh_token == NEW
