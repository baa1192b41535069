"""Evidence from the store: what is known about a connection without sending anything."""

from dataclasses import replace
from datetime import timedelta

from wizard.connection_details import client_details, connection_details
from wizard.diagnosis.access_tokens import ACCESS_TOKEN_REFUSED
from wizard.diagnosis.api_calls import NOT_AUTHORIZED
from wizard.diagnosis.evidence import Evidence, Origin, ProbeResult
from wizard.diagnosis.refresh_tokens import REFRESH_TOKEN_REFUSED
from wizard.model import (
    AttemptState,
    Client,
    Clock,
    Failure,
    Grant,
    GrantState,
    StepState,
)
from wizard.model.failure_codes import class_of
from wizard.store import Store
from wizard.zoho import Zoho

REQUEST_LOG_WINDOW = timedelta(hours=1)
"""How far back requests explain something: the lifetime of an access token."""

VERIFICATION_WINDOW = timedelta(minutes=2)
"""A step that passed earlier before a failure was part of a previous check."""

TOKEN_CLASSES = (REFRESH_TOKEN_REFUSED.code, ACCESS_TOKEN_REFUSED.code, NOT_AUTHORIZED.code)
"""Classes of failures that other connections help to explain."""


class StoredEvidence:
    """Reads what is known about a connection."""

    def __init__(self, store: Store, zoho: Zoho, clock: Clock) -> None:
        self._store = store
        self._zoho = zoho
        self._clock = clock

    def of_connection(self, name: str, failure: Failure | None) -> Evidence:
        """The stored evidence about `failure`. Raises ``unknown-connection``."""
        connection = self._store.connections.get(name)
        grant = self._store.grants.candidate(name) or self._store.grants.get(name)
        client_id = grant.client_id if grant else connection.client_id
        client = self._store.clients.get(client_id)
        since = self._clock() - REQUEST_LOG_WINDOW
        evidence = Evidence(
            failure=failure,
            now=self._clock(),
            connection=connection,
            client=client,
            grant=grant,
            report=self._store.verification_reports.get(name, grant.generation) if grant else None,
            requests=tuple(self._store.request_log.requests(since=since, client_id=client_id)),
            details=connection_details(
                connection, grant, client, self._zoho, _location_in(failure)
            ),
        )
        return self._with_attempt(with_verification_results(self._with_grant_history(evidence)))

    def of_client(self, client: Client, failure: Failure) -> Evidence:
        """The stored evidence about a client that was rejected in a pre-flight."""
        since = self._clock() - REQUEST_LOG_WINDOW
        return Evidence(
            failure=failure,
            now=self._clock(),
            origin=Origin.CLIENT,
            client=client,
            requests=tuple(
                self._store.request_log.requests(since=since, client_id=client.client_id)
            ),
            details={
                "of_client": client.client_id,
                **client_details(client, self._zoho, _location_in(failure)),
            },
        )

    def _with_grant_history(self, evidence: Evidence) -> Evidence:
        """Add the history of the grant and of related grants, if the failure is about tokens."""
        grant, failure = evidence.grant, evidence.failure
        if grant is None or (failure is not None and class_of(failure.code) not in TOKEN_CLASSES):
            return evidence
        grant_records = self._store.grant_history.records(
            grant.client_id, grant.account.zuid if grant.account else ""
        )
        mine = (grant.connection, grant.generation)
        related_grants = tuple(
            each for each in grant_records if (each.connection, each.generation) != mine
        )
        own = next(
            (each for each in grant_records if (each.connection, each.generation) == mine), None
        )
        return replace(evidence, grant_record=own, related_grants=related_grants)

    def _with_attempt(self, evidence: Evidence) -> Evidence:
        """Add the newest authorization, if the failure ended it."""
        if evidence.connection is None or evidence.failure is None:
            return evidence
        attempt = self._store.attempts.newest(evidence.connection.name)
        if attempt is None or attempt.failure != evidence.failure:
            return evidence
        sent = replace(evidence.sent_request, redirect_uri=attempt.redirect_uri)
        return replace(evidence, attempt=attempt, sent_request=sent)

    def last_failure(self, name: str, grant: Grant | None) -> Failure | None:
        """Why a connection has no grant: its last authorization's failure, or that there was none.
        None if it has a grant."""
        if grant is not None:
            return None
        attempt = self._store.attempts.newest(name)
        has_failed = attempt is not None and attempt.state is AttemptState.FAILED
        return (attempt.failure if attempt and has_failed else None) or Failure("no-grant")


def _location_in(failure: Failure | None) -> str:
    """The data center that a failure names."""
    return failure.details.get("location", "").lower() if failure else ""


def with_verification_results(evidence: Evidence) -> Evidence:
    """Add what the same verification found before the failure."""
    report, failure = evidence.report, evidence.failure
    steps = report.steps if report else ()
    failed = next((step for step in steps if step.failure == failure), None)
    if failure is None or failed is None:
        return evidence
    lately = [step for step in steps if step.at >= failed.at - VERIFICATION_WINDOW]
    passed = {step.name for step in lately if step.state is StepState.PASSED}
    return replace(
        evidence,
        refresh_result=ProbeResult() if "refresh" in passed else None,
        user_info_result=ProbeResult() if "identity" in passed else None,
    )


def is_ended(grant: Grant | None) -> bool:
    """Whether a grant was rejected or revoked."""
    return grant is not None and grant.state in (
        GrantState.NEEDS_REAUTHORIZATION,
        GrantState.REVOKED,
    )
