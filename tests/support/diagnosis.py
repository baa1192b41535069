"""Real events for connections in the simulated Zoho, and the diagnosis that follows."""

import json
import urllib.request
from urllib.parse import urlencode

from support.harness import ANNA, SCOPE, Harness, query_parameters
from wizard.model import Cause, Client, Confidence, Explanation, Failure, Grant


def add_verified_connection(
    harness: Harness,
    name: str,
    client: Client | None = None,
    email: str = ANNA,
    organization: str = "",
) -> Grant:
    """A verified connection, with a client of the same name unless one is given."""
    known = (each for each in harness.services.store.clients.all() if each.name == name)
    harness.add_connection(name, client or next(known, None), SCOPE)
    done = harness.authorize(name, email, organization)
    assert done.generation is not None, done.failure
    harness.verify(name, done.generation)
    harness.advance(minutes=1)
    grant = harness.services.store.grants.get(name)
    assert grant is not None
    return grant


def client_of(harness: Harness, name: str) -> Client:
    return harness.services.store.clients.get(
        harness.services.store.connections.get(name).client_id
    )


def post_form(harness: Harness, path: str, **parameters: str) -> dict[str, str]:
    """Post a form to the EU's accounts server as a program other than the wizard."""
    address = f"{harness.simulator.url}/eu/accounts{path}"
    with urllib.request.urlopen(address, urlencode(parameters).encode()) as answer:
        found: dict[str, str] = json.load(answer)
    return found


def refresh_by_other_program(harness: Harness, grant: Grant) -> str:
    """Another program refreshes the same grant; return its access token."""
    client = client_of(harness, grant.connection)
    answer = post_form(
        harness,
        "/oauth/v2/token",
        grant_type="refresh_token",
        client_id=client.client_id,
        client_secret=client.secret_for("eu") or "",
        refresh_token=grant.refresh_token,
    )
    return answer["access_token"]


def exchange_by_other_program(
    harness: Harness, name: str, callback_url: str, code_verifier: str
) -> None:
    """Another program exchanges a code first."""
    client = client_of(harness, name)
    answer = post_form(
        harness,
        "/oauth/v2/token",
        grant_type="authorization_code",
        client_id=client.client_id,
        client_secret=client.secret_for("eu") or "",
        redirect_uri=client.redirect_uri,
        code=dict(query_parameters(callback_url))["code"],
        code_verifier=code_verifier,
    )
    assert "refresh_token" in answer


def revoke_by_other_program(harness: Harness, grant: Grant) -> None:
    """Another program revokes the refresh token."""
    post_form(harness, "/oauth/v2/token/revoke", token=grant.refresh_token)


def detect_rejection(harness: Harness, *names: str) -> None:
    """Let the wizard detect rejected connections, as a check at night would."""
    for name in names:
        grant = harness.services.store.grants.get(name)
        assert grant is not None
        harness.verify(name, grant.generation)


def reject_all(harness: Harness, *names: str) -> None:
    """Let Zoho reject the refresh tokens of verified connections, each with its own client."""
    for name in names:
        harness.add_verified_connection(name)
    harness.advance(hours=2)
    harness.controls.change_password(ANNA)
    detect_rejection(harness, *names)


def diagnose(
    harness: Harness, name: str = "crm", failure: Failure | None = None, *, max_requests: int = 4
) -> Explanation:
    """The diagnosis of a connection, with at most `most` requests to Zoho."""
    harness.controls.clear_journal()
    found = harness.services.diagnosis.diagnose(name, failure)
    asked = [entry for entry in harness.controls.journal() if entry["location"]]
    assert len(asked) <= max_requests, [entry["path"] for entry in asked]
    return found


def cause_codes(explanation: Explanation, confidence: Confidence) -> set[str]:
    """The causes to which a diagnosis gives this confidence."""
    named: tuple[Cause, ...] = (*explanation.causes, *explanation.ruled_out)
    return {each.code for each in named if each.confidence is confidence}


def readable_parts(explanation: Explanation) -> dict[str, object]:
    """Everything a user reads in a diagnosis, to be compared with another scenario's."""
    return {
        "title": explanation.title,
        "cause": explanation.cause,
        "fix": explanation.fix,
        "question": explanation.question,
        "causes": [
            (each.code, each.confidence, each.evidence_for, each.evidence_against)
            for each in (*explanation.causes, *explanation.ruled_out)
        ],
    }
