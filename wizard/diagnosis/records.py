"""Evidence that the store holds: what is known of a connection without asking anybody."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

from wizard.diagnosis.evidence import Evidence, Heard, Met
from wizard.model import (
    AttemptState,
    Client,
    Clock,
    Connection,
    Failure,
    Grant,
    GrantState,
    RungState,
)
from wizard.store import Store
from wizard.zoho import Zoho

LEDGER_SPAN = timedelta(hours=1)
"""How far back asks explain something: the life of an access token."""

ONE_CLIMB = timedelta(minutes=2)
"""What passed longer before a failure was an answer to another check, and says nothing of now."""

OF_TOKENS = ("grant-dead", "invalid-code", "token-invalid", "not-authorized")
"""Failures that other connections can be witnesses of."""

PLACES = {
    "code-refused": Met.EXCHANGE,
    "no-refresh-token": Met.EXCHANGE,
    "grant-dead": Met.REFRESH,
    "access-denied": Met.CALLBACK,
    "no-organization": Met.CALLBACK,
    "token-invalid": Met.PRODUCT,
    "not-authorized": Met.PRODUCT,
}
"""Where a failure was met, as far as its code alone says so."""


class Records:
    """Reads what is known of a connection."""

    def __init__(self, store: Store, zoho: Zoho, clock: Clock) -> None:
        self._store = store
        self._zoho = zoho
        self._clock = clock

    def of(self, name: str, failure: Failure | None) -> Evidence:
        """What the store knows that bears upon `failure`. Raises ``unknown-connection``."""
        connection = self._store.connection(name)
        grant = self._store.candidate(name) or self._store.grant(name)
        client_id = grant.client_id if grant else connection.client_id
        since = self._clock() - LEDGER_SPAN
        evidence = Evidence(
            failure=failure,
            now=self._clock(),
            met=place_of(failure),
            connection=connection,
            client=self._store.client(client_id),
            grant=grant,
            receipt=self._store.receipt(name, grant.generation) if grant else None,
            asks=tuple(self._store.asks(since=since, client_id=client_id)),
            details=self._details_of(connection, grant, failure),
        )
        return self._with_attempt(as_climbed(self._with_lives(evidence)))

    def of_client(self, client: Client, failure: Failure) -> Evidence:
        """What the store knows of a client that was refused in a pre-flight."""
        since = self._clock() - LEDGER_SPAN
        return Evidence(
            failure=failure,
            now=self._clock(),
            met=Met.CLIENT,
            client=client,
            asks=tuple(self._store.asks(since=since, client_id=client.client_id)),
            details={"name": client.name, **self._details(client, _told(failure))},
        )

    def _with_lives(self, evidence: Evidence) -> Evidence:
        """The grant's life and those of its kin, where the failure is one of tokens."""
        grant, failure = evidence.grant, evidence.failure
        if grant is None or (failure is not None and failure.code not in OF_TOKENS):
            return evidence
        lives = self._store.lives(grant.client_id, grant.account.zuid if grant.account else "")
        mine = (grant.connection, grant.generation)
        kin = tuple(each for each in lives if (each.connection, each.generation) != mine)
        own = next((each for each in lives if (each.connection, each.generation) == mine), None)
        return replace(evidence, life=own, kin=kin)

    def _with_attempt(self, evidence: Evidence) -> Evidence:
        """The authorization that the failure ended, where it is the newest one's."""
        if evidence.connection is None or evidence.failure is None:
            return evidence
        attempts = self._store.attempts(evidence.connection.name)
        if not attempts or attempts[0].failure != evidence.failure:
            return evidence
        sent = replace(evidence.sent, redirect_uri=attempts[0].redirect_uri)
        return replace(evidence, attempt=attempts[0], sent=sent)

    def last_failure(self, name: str, grant: Grant | None) -> Failure | None:
        """Why a connection has nothing that could be asked about: its last authorization's
        failure, or that there was none. None where it has a grant."""
        if grant is not None:
            return None
        attempts = self._store.attempts(name)
        refused = attempts and attempts[0].state is AttemptState.REFUSED
        return (attempts[0].failure if refused else None) or Failure("no-grant")

    def _details_of(
        self, connection: Connection, grant: Grant | None, failure: Failure | None
    ) -> Mapping[str, str]:
        """What the words about a connection need to be precise."""
        client = self._store.client(connection.client_id)
        location = _told(failure) or (grant.location if grant else connection.location)
        owner = {"email": grant.account.email} if grant and grant.account else {}
        named = {"name": connection.name, "scope": ", ".join(connection.scope)}
        return {**named, **owner, **self._details(client, location)}

    def _details(self, client: Client, location: str | None) -> Mapping[str, str]:
        """What the words about a client in a data centre, by default its home, need."""
        data_centre = self._zoho.data_centre(location or client.location)
        home = self._zoho.data_centre(client.location)
        return {
            "client": client.name,
            "client_id": client.client_id,
            "redirect_uri": client.redirect_uri,
            "location": data_centre.location,
            "data_centre": data_centre.name,
            "api_domain": data_centre.api_domain,
            "home": home.name,
            "console": home.console_client(client.client_id),
            "sign_out": data_centre.sign_out_url,
            "connected_apps": data_centre.connected_apps_url,
        }


def _told(failure: Failure | None) -> str:
    """The data centre that a failure names."""
    return failure.details.get("location", "").lower() if failure else ""


def place_of(failure: Failure | None) -> Met:
    """Where a failure of a connection was met."""
    return PLACES.get(failure.code, Met.UNKNOWN) if failure else Met.UNKNOWN


def as_climbed(evidence: Evidence) -> Evidence:
    """What the climb that met the failure had been answered before."""
    receipt, failure = evidence.receipt, evidence.failure
    rungs = receipt.rungs if receipt else ()
    failed = next((rung for rung in rungs if rung.failure == failure), None)
    if failure is None or failed is None:
        return evidence
    lately = [rung for rung in rungs if rung.at >= failed.at - ONE_CLIMB]
    passed = {rung.name for rung in lately if rung.state is RungState.PASSED}
    return replace(
        evidence,
        refresh=Heard() if "refresh" in passed else None,
        user_info=Heard() if "identity" in passed else None,
    )


def ended(grant: Grant | None) -> bool:
    """Whether a grant is known to be over."""
    return grant is not None and grant.state in (GrantState.DEAD, GrantState.REVOKED)
