"""Records with plausible content, and the two shortest ways to a stored grant."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest
from sqlalchemy import select

from wizard.errors import WizardError
from wizard.model import Attempt, AttemptMode, AttemptState, Client, ClientSecret, Connection, Grant
from wizard.store import Store, schema

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
CLIENT_ID = "1000.MADEUP"


def make_client(client_id: str = CLIENT_ID, name: str = "Zylker", secret: str = "s3cret") -> Client:
    kept = (ClientSecret("eu", secret),)
    return Client(client_id, name, "eu", "http://localhost:8723/callback", kept, created_at=NOW)


def make_connection(name: str = "crm", client_id: str = CLIENT_ID) -> Connection:
    return Connection(name, client_id, ("ZohoCRM.org.READ",), "eu", created_at=NOW)


def make_attempt(
    attempt_id: str = "a1",
    name: str = "crm",
    state: AttemptState = AttemptState.REDIRECTED,
    oauth_state: str | None = None,
) -> Attempt:
    return Attempt(
        id=attempt_id,
        connection=name,
        client_id=CLIENT_ID,
        mode=AttemptMode.BROWSER,
        state=state,
        location="eu",
        authorization_endpoint="https://accounts.zoho.eu/oauth/v2/auth",
        token_endpoint="https://accounts.zoho.eu/oauth/v2/token",
        redirect_uri="http://localhost:8723/callback",
        scope=("ZohoCRM.org.READ",),
        created_at=NOW,
        oauth_state=oauth_state or f"state-of-{attempt_id}",
        code_verifier="verifier-canary",
        binding="keyed-hash",
    )


def add_connections(store: Store, *names: str) -> None:
    """A client and its connections ``names``."""
    store.clients.add(make_client())
    for name in names or ("crm",):
        store.connections.add(make_connection(name))


def add_grant(store: Store, refresh_token: str = "1000.refresh", name: str = "crm") -> Grant:
    """A grant, stored through an attempt that is exchanging."""
    attempt_id = secrets.token_hex(8)
    store.attempts.add(make_attempt(attempt_id, name, AttemptState.EXCHANGE_INTENT))
    return store.grants.add(
        name, CLIENT_ID, refresh_token, ("ZohoCRM.org.READ",), "eu", attempt_id, NOW
    )


def attempts_of(store: Store, name: str) -> tuple[Attempt, ...]:
    """All attempts for connection ``name``, newest first."""
    table = schema.attempts.c
    order = table.created_at.desc(), table.id
    query = select(table.id).where(table.connection == name).order_by(*order)
    with store.database.read() as c:
        ids = c.scalars(query).all()
    return tuple(map(store.attempts.get, ids))


@contextmanager
def raises_failure(code: str) -> Iterator[pytest.ExceptionInfo[WizardError]]:
    """Check that the block fails with the failure ``code``."""
    with pytest.raises(WizardError) as caught:
        yield caught
    assert caught.value.failure.code == code
