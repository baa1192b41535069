"""Where a connection stands, and why: derived from the store each time, never stored.

Closing the laptop, a second tab and the command line all see the same step, because nothing but
the stored connection, its attempts, grants and receipts says what it is.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from urllib.parse import urlencode

from wizard.diagnosis.evidence import (
    Evidence,
    Origin,
    ProbeResult,
    SentRequest,
    StoredTokenKind,
    TokenFormat,
)
from wizard.diagnosis.explanations import explain_evidence, explain_failure
from wizard.diagnosis.probes import DiagnosisProbes
from wizard.diagnosis.stored_evidence import StoredEvidence, is_ended
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
from wizard.model.failure_codes import codes_with
from wizard.product_api import ProductApi
from wizard.store import Store
from wizard.timefmt import format_time
from wizard.tokens import TokenService
from wizard.tokens.budgets import rate_limited_until
from wizard.zoho import Zoho

__all__ = [
    "ConnectionState",
    "ConnectionStatus",
    "DiagnosisService",
    "Evidence",
    "Origin",
    "ProbeResult",
    "SentRequest",
    "StoredTokenKind",
    "TokenFormat",
    "explain_evidence",
    "explain_failure",
]

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
"""Parts of the evidence that asking may have changed in the store."""


class ConnectionState(StrEnum):
    NOT_AUTHORIZED = "not_authorized"
    """Nothing has been granted; the consent can be begun."""
    WAITING_FOR_CONSENT = "waiting_for_consent"
    """A browser was sent to Zoho and has not come back."""
    EXCHANGING = "exchanging"
    """The callback came; the one POST is under way."""
    OUTCOME_UNKNOWN = "outcome_unknown"
    AUTHORIZATION_FAILED = "authorization_failed"
    """The last attempt failed; the finding says why."""
    VERIFYING = "verifying"
    """A grant is stored; its ladder is being climbed, or its climb died with its process."""
    NOT_VERIFIED = "not_verified"
    """The ladder was climbed and a rung failed."""
    MISMATCH = "mismatch"
    """The new grant reaches somebody else; the person decides."""
    VERIFIED = "verified"
    NEEDS_REAUTHORIZATION = "needs_reauthorization"
    REVOKED = "revoked"


@dataclass(frozen=True)
class ConnectionStatus:
    """What comes next for a connection."""

    state: ConnectionState
    explanation: Explanation | None = None
    """What went wrong last, where something did; a proved connection may carry the finding of a
    re-authorization that failed."""
    attempt: Attempt | None = None
    grant: Grant | None = None
    """The grant that the step is about."""
    report: VerificationReport | None = None


class DiagnosisService:
    """Explains failures with what is known of the connection they met."""

    def __init__(
        self, store: Store, tokens: TokenService, product_api: ProductApi, zoho: Zoho, clock: Clock
    ) -> None:
        self._store = store
        self._tokens = tokens
        self._product_api = product_api
        self._clock = clock
        self._stored_evidence = StoredEvidence(store, zoho, clock)

    def explain(self, name: str, failure: Failure, answers: tuple[str, ...] = ()) -> Explanation:
        """Explain `failure` of connection `name` by what is stored, and by what a person has `told`
        in answer to its question; asks nobody. Raises ``unknown-connection``."""
        return _explain_with_links(
            replace(self._stored_evidence.of_connection(name, failure), answers=answers)
        )

    def explain_client_failure(self, client: Client, failure: Failure) -> Explanation:
        """Explain `failure` of a client's pre-flight; asks nobody."""
        return explain_evidence(self._stored_evidence.of_client(client, failure))

    def evidence(self, name: str, failure: Failure | None = None) -> Evidence:
        """What is stored that bears upon `failure` of connection `name`; asks nobody."""
        return self._stored_evidence.of_connection(name, failure)

    def gather_evidence(self, evidence: Evidence, *, search: bool = False) -> Evidence:
        """`evidence` of a connection, completed by at most four asks of its data centre.

        Without a failure, what fails becomes the failure, and nothing may. `search` is the
        person's word that every data centre may be asked for a client that is unknown at home.
        """
        if evidence.connection is None:
            return evidence
        name = evidence.connection.name
        parts = self._store, self._tokens, self._product_api, self._clock
        asked = DiagnosisProbes(evidence, *parts).run(search=search)
        failure = _observed_failure(asked) or self._stored_evidence.last_failure(name, asked.grant)
        failure = failure or _rate_limit_failure(asked)
        stored = self._stored_evidence.of_connection(name, failure)
        return replace(asked, **{part: getattr(stored, part) for part in STORED_FIELDS})

    def diagnose(
        self,
        name: str,
        failure: Failure | None = None,
        *,
        search: bool = False,
        answers: tuple[str, ...] = (),
    ) -> Explanation:
        """Explain what is wrong with connection `name`, or `failure` of it, asking what decides.

        What a person has `told` may answer a question about what failed before, where nothing
        fails now.
        """
        evidence = self.gather_evidence(self.evidence(name, failure), search=search)
        stored = self.status_of(name, answers) if answers and evidence.failure is None else None
        if stored and stored.explanation:
            return stored.explanation
        return _explain_with_links(replace(evidence, answers=answers))

    def possible_zoho_pages(self, name: str) -> tuple[Explanation, ...]:
        """What may have stood on the page at Zoho from which nobody came back."""
        return tuple(self.explain(name, Failure(code)) for code in codes_with("zoho_page"))

    def status_of(self, name: str, answers: tuple[str, ...] = ()) -> ConnectionStatus:
        """Where connection `name` stands; what a person has `told` weighs in its finding. Raises
        ``unknown-connection``."""
        self._store.connections.get(name)
        grants = self._store.grants.of_connection(name)
        current = self._store.grants.get(name)
        newest = _newest_grant(grants)
        base = self._status_of_grant(
            name, self._store.grants.candidate(name) or current or newest, answers
        )
        attempts = self._store.attempts.of_connection(name)
        latest = attempts[0] if attempts else None
        if latest is None or (newest and newest.granted_at > latest.created_at):
            return base
        return self._status_of_attempt(name, latest, base, answers)

    def _status_of_grant(
        self, name: str, grant: Grant | None, answers: tuple[str, ...]
    ) -> ConnectionStatus:
        if grant is None:
            return ConnectionStatus(ConnectionState.NOT_AUTHORIZED)
        report = self._store.verification_reports.get(name, grant.generation)
        unknown = self.outcome_unknown(grant)
        failure = grant.failure or unknown or _verification_failure(report)
        if grant.state is GrantState.REVOKED:
            failure = Failure("grant-revoked", details={"name": name})
        explanation = self.explain(name, failure, answers) if failure else None
        unclimbed = report is None or report.finished_at is None
        codes = {
            GrantState.NOT_VERIFIED: ConnectionState.VERIFYING
            if unclimbed
            else ConnectionState.NOT_VERIFIED,
            GrantState.MISMATCH: ConnectionState.MISMATCH,
            GrantState.NEEDS_REAUTHORIZATION: ConnectionState.NEEDS_REAUTHORIZATION,
            GrantState.REVOKED: ConnectionState.REVOKED,
        }
        working = ConnectionState.OUTCOME_UNKNOWN if unknown else ConnectionState.VERIFIED
        return ConnectionStatus(
            codes.get(grant.state, working), explanation, grant=grant, report=report
        )

    def outcome_unknown(self, grant: Grant) -> Failure | None:
        """That nobody knows whether the refresh token of a grant in use was replaced."""
        sent_at = self._tokens.outcome_unknown_since(grant)
        if sent_at is None:
            return None
        details = {"name": grant.connection, "sent_at": format_time(sent_at, self._clock())}
        return Failure("refresh-outcome-unknown", temporary=True, details=details)

    def _status_of_attempt(
        self, name: str, attempt: Attempt, grant_status: ConnectionStatus, answers: tuple[str, ...]
    ) -> ConnectionStatus:
        """The step that the newest attempt makes of `base`, where it has a say."""
        failure = attempt.failure
        waiting = {
            AttemptState.REDIRECTED: ConnectionState.WAITING_FOR_CONSENT,
            AttemptState.CALLBACK_RECEIVED: ConnectionState.EXCHANGING,
            AttemptState.EXCHANGE_INTENT: ConnectionState.EXCHANGING,
        }
        if attempt.state in waiting and not attempt.is_expired(self._clock()):
            return ConnectionStatus(
                waiting[attempt.state], None, attempt, grant_status.grant, grant_status.report
            )
        if attempt.state is AttemptState.OUTCOME_UNKNOWN:
            failure = failure or Failure("outcome-unknown", details={"name": name})
        if attempt.state not in (AttemptState.FAILED, AttemptState.OUTCOME_UNKNOWN):
            return grant_status
        explanation = self.explain(name, failure, answers) if failure else None
        unknown = attempt.state is AttemptState.OUTCOME_UNKNOWN
        code = ConnectionState.OUTCOME_UNKNOWN if unknown else ConnectionState.AUTHORIZATION_FAILED
        if grant_status.grant is not None and grant_status.grant.state is GrantState.VERIFIED:
            code = grant_status.state
        return ConnectionStatus(code, explanation, attempt, grant_status.grant, grant_status.report)


def _explain_with_links(evidence: Evidence) -> Explanation:
    """The finding about a connection, with the command and the page of each answer."""
    found, connection = explain_evidence(evidence), evidence.connection
    if connection is None:
        return found
    answers = tuple(
        replace(
            each,
            command=" --answer ".join((f"zoho-wizard diagnose {connection.name}", *each.answers)),
            path=f"/connections/{connection.name}?"
            + urlencode([("answer", e) for e in each.answers]),
        )
        for each in found.answer_options
    )
    return replace(found, answer_options=answers)


_ENDED_CODES = {
    GrantState.NEEDS_REAUTHORIZATION: "grant-dead",
    GrantState.REVOKED: "grant-revoked",
}


def _observed_failure(evidence: Evidence) -> Failure | None:
    """What went wrong, by what was heard: a grant that has died says more than what was met."""
    probe_results = (evidence.refresh_result, evidence.user_info_result, evidence.read_result)
    refused = [
        each.failure for each in probe_results if each is not None and each.failure is not None
    ]
    grant_failure = next((each for each in refused if each.code == "grant-dead"), None)
    if grant_failure is None and is_ended(evidence.grant) and evidence.grant:
        grant_failure = evidence.grant.failure or Failure(_ENDED_CODES[evidence.grant.state])
    return (
        grant_failure
        or evidence.failure
        or next(iter(refused), None)
        or _pending_failure(evidence.grant)
    )


def _pending_failure(grant: Grant | None) -> Failure | None:
    """Why a grant that works is not in use: it reaches somebody else, or was never proved."""
    if grant is None or grant.state is GrantState.VERIFIED:
        return None
    return grant.failure or Failure("not-proved", details={"name": grant.connection})


def _rate_limit_failure(evidence: Evidence) -> Failure | None:
    """That Zoho gives no new access token for a while, which shows when the one at hand ends."""
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


def _verification_failure(report: VerificationReport | None) -> Failure | None:
    """Why the climb failed that made `receipt`, where it did."""
    if report is None or report.finished_at is None:
        return None
    return next((step.failure for step in report.steps if step.state is StepState.FAILED), None)


def _newest_grant(grants: tuple[Grant, ...]) -> Grant | None:
    return grants[0] if grants else None
