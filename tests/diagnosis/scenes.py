"""What happens to connections, for real, in the simulated Zoho; and what a finding then says."""

import json
import urllib.request
from urllib.parse import urlencode

from core import ANNA, SCOPE, Core, query

from wizard.model import Cause, Client, Confidence, Failure, Finding, Grant


def proved(
    core: Core,
    name: str,
    client: Client | None = None,
    email: str = ANNA,
    organization: str = "",
) -> Grant:
    """A proved connection, with the client of its name unless one is given."""
    known = (each for each in core.house.store.clients() if each.name == name)
    core.connection(name, client or next(known, None), SCOPE)
    done = core.authorize(name, email, organization)
    assert done.generation is not None, done.failure
    core.climb(name, done.generation)
    core.advance(minutes=1)
    grant = core.house.store.grant(name)
    assert grant is not None
    return grant


def client_of(core: Core, name: str) -> Client:
    return core.house.store.client(core.house.store.connection(name).client_id)


def post(core: Core, path: str, **parameters: str) -> dict[str, str]:
    """A program outside the wizard posts a form to the accounts server of the EU."""
    address = f"{core.sandbox.url}/eu/accounts{path}"
    with urllib.request.urlopen(address, urlencode(parameters).encode()) as answer:
        found: dict[str, str] = json.load(answer)
    return found


def refresh_outside(core: Core, grant: Grant) -> str:
    """Another program refreshes the same grant; its access token."""
    client = client_of(core, grant.connection)
    answer = post(
        core,
        "/oauth/v2/token",
        grant_type="refresh_token",
        client_id=client.client_id,
        client_secret=client.secret_for("eu") or "",
        refresh_token=grant.refresh_token,
    )
    return answer["access_token"]


def exchange_outside(core: Core, name: str, callback: str, code_verifier: str) -> None:
    """Another program exchanges a code first."""
    client = client_of(core, name)
    answer = post(
        core,
        "/oauth/v2/token",
        grant_type="authorization_code",
        client_id=client.client_id,
        client_secret=client.secret_for("eu") or "",
        redirect_uri=client.redirect_uri,
        code=dict(query(callback))["code"],
        code_verifier=code_verifier,
    )
    assert "refresh_token" in answer


def revoke_outside(core: Core, grant: Grant) -> None:
    """Another program revokes the refresh token."""
    post(core, "/oauth/v2/token/revoke", token=grant.refresh_token)


def notice(core: Core, *names: str) -> None:
    """The wizard meets the death of connections, as a check at night would."""
    for name in names:
        grant = core.house.store.grant(name)
        assert grant is not None
        core.climb(name, grant.generation)


def diagnosed(
    core: Core, name: str = "crm", failure: Failure | None = None, *, most: int = 4
) -> Finding:
    """The finding about a connection, made with at most `most` asks of Zoho."""
    core.admin.clear_journal()
    found = core.house.diagnosis.diagnose(name, failure)
    asked = [entry for entry in core.admin.journal() if entry["location"]]
    assert len(asked) <= most, [entry["path"] for entry in asked]
    return found


def codes(found: Finding, confidence: Confidence) -> set[str]:
    """The causes that a finding gives this confidence."""
    named: tuple[Cause, ...] = (*found.causes, *found.ruled_out)
    return {each.code for each in named if each.confidence is confidence}


def told(found: Finding) -> dict[str, object]:
    """Everything a person reads in a finding, to be compared with another world's."""
    return {
        "title": found.title,
        "cause": found.cause,
        "remedy": found.remedy,
        "question": found.question,
        "causes": [
            (each.code, each.confidence, each.evidence_for, each.evidence_against)
            for each in (*found.causes, *found.ruled_out)
        ],
    }
