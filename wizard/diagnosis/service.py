"""Explain the failures and the status of connections, with evidence from the store.

The status is derived from the store each time, so that every tab and process shows the same.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from wizard.connection_details import client_details, connection_details
from wizard.diagnosis.api_calls import NOT_AUTHORIZED
from wizard.diagnosis.evidence import Evidence, Origin, ProbeResult
from wizard.diagnosis.judgment import Diagnosis, judge_evidence
from wizard.diagnosis.probes import DiagnosisProbes
from wizard.diagnosis.rendering import explain_evidence, render
from wizard.diagnosis.tokens import ACCESS_TOKEN_REFUSED, REFRESH_TOKEN_REFUSED
from wizard.model import (
    Attempt,
    AttemptState,
    Client,
    Clock,
    Explanation,
    Failure,
    Grant,
    GrantState,
    StepState,
    VerificationReport,
)
from wizard.model.failure import class_of, codes_with
from wizard.model.states import (
    OPEN_ATTEMPT_STATES,
    ActivityKind,
    ConnectionStatus,
    last_check_of,
    outcome_unknown_since,
)
from wizard.product_api import ProductApi
from wizard.store import ConnectionOverview, Store
from wizard.timefmt import format_time
from wizard.tokens.budgets import rate_limited_until
from wizard.tokens.request_log import ClientRequests
from wizard.tokens.service import TokenService
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


STORED_FIELDS = (
    "failure",
    "grant",
    "report",
    "attempt",
    "grant_record",
    "related_grants",
    "requests",
    "origin",
    "details",
)
"""Parts of the evidence that a probe may have changed in the store."""


@dataclass(frozen=True)
class ExplainedStatus:
    """The status of a connection, and why it isn't just verified."""

    status: ConnectionStatus
    explanation: Explanation | None = None
    """The last failure; for a verified connection, that of a new authorization."""
    attempt: Attempt | None = None
    """The authorization that is open or failed, if it is newer than every grant."""
    grant: Grant | None = None
    """The grant that the explanation is about."""
    report: VerificationReport | None = None


class DiagnosisService:
    """Explains failures with what is known about the connection."""

    def __init__(
        self,
        store: Store,
        tokens: TokenService,
        client_requests: ClientRequests,
        product_api: ProductApi,
        zoho: Zoho,
        clock: Clock,
    ) -> None:
        self._store = store
        self._tokens = tokens
        self._client_requests = client_requests
        self._product_api = product_api
        self._clock = clock
        self._stored_evidence = StoredEvidence(store, zoho, clock)

    def judge(self, name: str, failure: Failure, answers: tuple[str, ...] = ()) -> Diagnosis:
        """Judge a failure of connection `name` by stored evidence and the user's answers. Sends
        nothing. Raises ``unknown-connection``."""
        return _judge(self._stored_evidence.of_connection(name, failure), answers)

    def explain(self, name: str, failure: Failure, answers: tuple[str, ...] = ()) -> Explanation:
        """`judge` in words."""
        return render(self.judge(name, failure, answers))

    def explain_client_failure(self, client: Client, failure: Failure) -> Explanation:
        """Explain a failure of a client's pre-flight by stored evidence. Sends nothing."""
        return explain_evidence(self._stored_evidence.of_client(client, failure))

    def evidence(self, name: str, failure: Failure | None = None) -> Evidence:
        """The stored evidence about a failure of connection `name`. Sends nothing."""
        return self._stored_evidence.of_connection(name, failure)

    def gather_evidence(self, evidence: Evidence, *, search: bool = False) -> Evidence:
        """Complete the evidence of a connection with at most four requests to its data center.

        Without a failure, the first request that fails becomes the failure. `search` allows asking
        every data center for a client that its own doesn't know.
        """
        if evidence.connection is None:
            return evidence
        name = evidence.connection.name
        probes = DiagnosisProbes(
            evidence,
            self._store,
            self._tokens,
            self._client_requests,
            self._product_api,
            self._clock,
        )
        gathered = probes.run(search=search)
        failure = _observed_failure(gathered) or self._stored_evidence.last_failure(
            name, gathered.grant
        )
        failure = failure or _rate_limit_failure(gathered)
        stored = self._stored_evidence.of_connection(name, failure)
        return replace(gathered, **{part: getattr(stored, part) for part in STORED_FIELDS})

    def diagnose(
        self,
        name: str,
        failure: Failure | None = None,
        *,
        search: bool = False,
        answers: tuple[str, ...] = (),
    ) -> Explanation:
        """Explain what is wrong with connection `name`, or explain `failure`, with the requests
        that decide.

        If nothing fails now, the answers may belong to the stored failure.
        """
        evidence = self.gather_evidence(self.evidence(name, failure), search=search)
        stored = self.status_of(name, answers) if answers and evidence.failure is None else None
        if stored and stored.explanation:
            return stored.explanation
        return render(_judge(evidence, answers))

    def possible_zoho_pages(self, name: str) -> tuple[Explanation, ...]:
        """The pages of Zoho that may have ended an authorization without a callback, explained."""
        return tuple(self.explain(name, Failure(code)) for code in codes_with("zoho_page"))

    def status_of(
        self, name: str, answers: tuple[str, ...] = (), running: ActivityKind | None = None
    ) -> ExplainedStatus:
        """The status of connection `name`, explained with the user's `answers`; `running` is what
        this process does with it now. Raises ``unknown-connection``."""
        overview, now = self._store.overviews.get(name), self._clock()
        status = overview.status(now, running)
        grant = overview.candidate or overview.grant or overview.newest
        report = self._store.verification_reports.get(name, grant.generation) if grant else None
        attempt, failure = overview.attempt, self._failure_of_grant(overview, grant, report)
        if attempt is not None and attempt.is_in_place:
            attempt = None  # whatever its outcome, the grant works as before
        if attempt is not None and attempt.state in OPEN_ATTEMPT_STATES:
            if not attempt.is_expired(now):
                return ExplainedStatus(status, None, attempt, grant, report)
            attempt = None
        elif attempt is not None and attempt.state is AttemptState.OUTCOME_UNKNOWN:
            failure = attempt.failure or Failure("outcome-unknown", details={"name": name})
        elif attempt is not None and attempt.state is AttemptState.FAILED:
            failure = attempt.failure
        else:
            attempt = None
        explanation = self.explain(name, failure, answers) if failure else None
        return ExplainedStatus(status, explanation, attempt, grant, report)

    def _failure_of_grant(
        self, overview: ConnectionOverview, grant: Grant | None, report: VerificationReport | None
    ) -> Failure | None:
        if grant is None:
            return None
        if grant.state is GrantState.REVOKED:
            return Failure("grant-revoked", details={"name": grant.connection})
        unanswered = overview.unanswered_refresh if grant == overview.grant else None
        unknown = self._outcome_unknown(
            grant, outcome_unknown_since(grant, unanswered, self._clock())
        )
        check = last_check_of(report)
        return grant.failure or unknown or (check.failure if check else None)

    def outcome_unknown(self, grant: Grant) -> Failure | None:
        """The failure that it is unknown whether the refresh token of a grant in use was
        replaced."""
        unanswered = self._store.grant_history.unanswered_refresh(grant)
        return self._outcome_unknown(grant, outcome_unknown_since(grant, unanswered, self._clock()))

    def _outcome_unknown(self, grant: Grant, sent_at: datetime | None) -> Failure | None:
        if sent_at is None:
            return None
        details = {"name": grant.connection, "sent_at": format_time(sent_at, self._clock())}
        return Failure("refresh-outcome-unknown", temporary=True, details=details)


def _judge(evidence: Evidence, answers: tuple[str, ...]) -> Diagnosis:
    """The diagnosis of a connection, whose page and command accept more answers."""
    name = evidence.connection.name if evidence.connection else ""
    return replace(judge_evidence(replace(evidence, answers=answers)), connection=name)


_ENDED_CODES = {
    GrantState.NEEDS_REAUTHORIZATION: "refresh-token-rejected",
    GrantState.REVOKED: "grant-revoked",
}


def _observed_failure(evidence: Evidence) -> Failure | None:
    """The observed failure. A rejected grant says more than the previous failure."""
    probe_results = (evidence.refresh_result, evidence.user_info_result, evidence.read_result)
    refused = [
        each.failure for each in probe_results if each is not None and each.failure is not None
    ]
    grant_failure = next((each for each in refused if each.code == "refresh-token-rejected"), None)
    if grant_failure is None and evidence.grant and evidence.grant.state.is_ended:
        grant_failure = evidence.grant.failure or Failure(_ENDED_CODES[evidence.grant.state])
    return (
        grant_failure
        or evidence.failure
        or next(iter(refused), None)
        or _pending_failure(evidence.grant)
    )


def _pending_failure(grant: Grant | None) -> Failure | None:
    """Why a working grant isn't in use: it is for a different account, or was never verified."""
    if grant is None or grant.state is GrantState.VERIFIED:
        return None
    return grant.failure or Failure("not-verified", details={"name": grant.connection})


def _rate_limit_failure(evidence: Evidence) -> Failure | None:
    """The failure that Zoho issues no access token for a while; the current one still works."""
    grant, until = evidence.grant, evidence.access_token_expires_at
    if grant is None or evidence.now is None or until is None:
        return None
    requests = [request for request in evidence.requests if request.location == grant.location]
    retry_at = rate_limited_until(requests, evidence.now)
    if retry_at is None:
        return None
    details = {"location": grant.location, "token_until": format_time(until, evidence.now)}
    return Failure(
        "throttled-token-lives", temporary=True, sent=False, details=details, retry_at=retry_at
    )
