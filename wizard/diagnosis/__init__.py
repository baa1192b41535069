"""Where a connection stands, and why: derived from the store each time, never stored.

Closing the laptop, a second tab and the command line all see the same step, because nothing but
the stored connection, its attempts, grants and receipts says what it is.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from urllib.parse import urlencode

from wizard.broker import Broker
from wizard.broker.budgets import throttled_until
from wizard.diagnosis.asking import Asking
from wizard.diagnosis.evidence import (
    Evidence,
    Heard,
    Holder,
    Met,
    Sent,
    Shape,
)
from wizard.diagnosis.judge import finding_of, judge
from wizard.diagnosis.records import Records, ended
from wizard.errors import spoken
from wizard.model import (
    Attempt,
    AttemptState,
    Client,
    Clock,
    Failure,
    Finding,
    Grant,
    GrantState,
    Receipt,
    RungState,
)
from wizard.resource import Resource
from wizard.store import Store
from wizard.zoho import Zoho

__all__ = [
    "ZOHO_PAGES",
    "Diagnosis",
    "Evidence",
    "Heard",
    "Holder",
    "Met",
    "Sent",
    "Shape",
    "Step",
    "StepCode",
    "finding_of",
    "judge",
]

ZOHO_PAGES = (
    "zoho-page-invalid-client",
    "zoho-page-invalid-redirect-uri",
    "zoho-page-invalid-scope",
    "zoho-page-too-many-requests",
    "zoho-page-other-person",
    "zoho-page-circles",
)
"""Pages of Zoho's own that end a consent without coming back to us."""

STORED = ("failure", "grant", "receipt", "attempt", "life", "kin", "asks", "met", "details")
"""Parts of the evidence that asking may have changed in the store."""


class StepCode(StrEnum):
    AUTHORIZE = "authorize"
    """Nothing has been granted; the consent can be begun."""
    WAITING = "waiting-for-consent"
    """A browser was sent to Zoho and has not come back."""
    EXCHANGING = "exchanging"
    """The callback came; the one POST is under way."""
    OUTCOME_UNKNOWN = "outcome-unknown"
    REFUSED = "refused"
    """The last attempt failed; the finding says why."""
    PROVING = "proving"
    """A grant is stored; its ladder is being climbed, or its climb died with its process."""
    UNPROVED = "unproved"
    """The ladder was climbed and a rung failed."""
    MISMATCH = "mismatch"
    """The new grant reaches somebody else; the person decides."""
    PROVED = "proved"
    DEAD = "dead"
    REVOKED = "revoked"


@dataclass(frozen=True)
class Step:
    """What comes next for a connection."""

    code: StepCode
    finding: Finding | None = None
    """What went wrong last, where something did; a proved connection may carry the finding of a
    re-authorization that failed."""
    attempt: Attempt | None = None
    grant: Grant | None = None
    """The grant that the step is about."""
    receipt: Receipt | None = None


class Diagnosis:
    """Explains failures with what is known of the connection they met."""

    def __init__(
        self, store: Store, broker: Broker, resource: Resource, zoho: Zoho, clock: Clock
    ) -> None:
        self._store = store
        self._broker = broker
        self._resource = resource
        self._clock = clock
        self._records = Records(store, zoho, clock)

    def finding(self, name: str, failure: Failure, told: tuple[str, ...] = ()) -> Finding:
        """Explain `failure` of connection `name` by what is stored, and by what a person has `told`
        in answer to its question; asks nobody. Raises ``unknown-connection``."""
        return _judged(replace(self._records.of(name, failure), told=told))

    def of_client(self, client: Client, failure: Failure) -> Finding:
        """Explain `failure` of a client's pre-flight; asks nobody."""
        return judge(self._records.of_client(client, failure))

    def evidence(self, name: str, failure: Failure | None = None) -> Evidence:
        """What is stored that bears upon `failure` of connection `name`; asks nobody."""
        return self._records.of(name, failure)

    def gather(self, evidence: Evidence, *, search: bool = False) -> Evidence:
        """`evidence` of a connection, completed by at most four asks of its data centre.

        Without a failure, what fails becomes the failure, and nothing may. `search` is the
        person's word that every data centre may be asked for a client that is unknown at home.
        """
        if evidence.connection is None:
            return evidence
        name = evidence.connection.name
        parts = self._store, self._broker, self._resource, self._clock
        asked = Asking(evidence, *parts).ask(search=search)
        failure = _met(asked) or self._records.last_failure(name, asked.grant)
        failure = failure or _throttled(asked)
        stored = self._records.of(name, failure)
        return replace(asked, **{part: getattr(stored, part) for part in STORED})

    def diagnose(
        self,
        name: str,
        failure: Failure | None = None,
        *,
        search: bool = False,
        told: tuple[str, ...] = (),
    ) -> Finding:
        """Explain what is wrong with connection `name`, or `failure` of it, asking what decides.

        What a person has `told` may answer a question about what failed before, where nothing
        fails now.
        """
        evidence = self.gather(self.evidence(name, failure), search=search)
        stored = self.step_of(name, told) if told and evidence.failure is None else None
        if stored and stored.finding:
            return stored.finding
        return _judged(replace(evidence, told=told))

    def zoho_pages(self, name: str) -> tuple[Finding, ...]:
        """What may have stood on the page at Zoho from which nobody came back."""
        return tuple(self.finding(name, Failure(code)) for code in ZOHO_PAGES)

    def step_of(self, name: str, told: tuple[str, ...] = ()) -> Step:
        """Where connection `name` stands; what a person has `told` weighs in its finding. Raises
        ``unknown-connection``."""
        self._store.connection(name)
        grants = self._store.grants(name)
        current = self._store.grant(name)
        newest = _newest(grants)
        base = self._of_grant(name, self._store.candidate(name) or current or newest, told)
        attempts = self._store.attempts(name)
        latest = attempts[0] if attempts else None
        if latest is None or (newest and newest.granted_at > latest.created_at):
            return base
        return self._of_attempt(name, latest, base, told)

    def _of_grant(self, name: str, grant: Grant | None, told: tuple[str, ...]) -> Step:
        if grant is None:
            return Step(StepCode.AUTHORIZE)
        receipt = self._store.receipt(name, grant.generation)
        unknown = self._outcome_unknown(grant)
        failure = grant.failure or unknown or _failed(receipt)
        if grant.state is GrantState.REVOKED:
            failure = Failure("grant-revoked", details={"name": name})
        finding = self.finding(name, failure, told) if failure else None
        unclimbed = receipt is None or receipt.finished_at is None
        codes = {
            GrantState.UNPROVED: StepCode.PROVING if unclimbed else StepCode.UNPROVED,
            GrantState.MISMATCH: StepCode.MISMATCH,
            GrantState.DEAD: StepCode.DEAD,
            GrantState.REVOKED: StepCode.REVOKED,
        }
        working = StepCode.OUTCOME_UNKNOWN if unknown else StepCode.PROVED
        return Step(codes.get(grant.state, working), finding, grant=grant, receipt=receipt)

    def _outcome_unknown(self, grant: Grant) -> Failure | None:
        """That nobody knows whether the refresh token of a grant in use was replaced."""
        ask = self._broker.unanswered(grant) if grant.state is GrantState.PROVED else None
        if ask is None:
            return None
        details = {"name": grant.connection, "sent_at": spoken(ask.at, self._clock())}
        return Failure("refresh-outcome-unknown", temporary=True, details=details)

    def _of_attempt(self, name: str, attempt: Attempt, base: Step, told: tuple[str, ...]) -> Step:
        """The step that the newest attempt makes of `base`, where it has a say."""
        failure = attempt.failure
        waiting = {
            AttemptState.REDIRECTED: StepCode.WAITING,
            AttemptState.CALLBACK_SEEN: StepCode.EXCHANGING,
            AttemptState.EXCHANGE_INTENT: StepCode.EXCHANGING,
        }
        if attempt.state in waiting and not attempt.expired(self._clock()):
            return Step(waiting[attempt.state], None, attempt, base.grant, base.receipt)
        if attempt.state is AttemptState.OUTCOME_UNKNOWN:
            failure = failure or Failure("outcome-unknown", details={"name": name})
        if attempt.state not in (AttemptState.REFUSED, AttemptState.OUTCOME_UNKNOWN):
            return base
        finding = self.finding(name, failure, told) if failure else None
        unknown = attempt.state is AttemptState.OUTCOME_UNKNOWN
        code = StepCode.OUTCOME_UNKNOWN if unknown else StepCode.REFUSED
        if base.grant is not None and base.grant.state is GrantState.PROVED:
            code = base.code
        return Step(code, finding, attempt, base.grant, base.receipt)


def _judged(evidence: Evidence) -> Finding:
    """The finding about a connection, with the command and the page of each answer."""
    found, connection = judge(evidence), evidence.connection
    if connection is None:
        return found
    answers = tuple(
        replace(
            each,
            command=" --told ".join((f"zoho-wizard diagnose {connection.name}", *each.told)),
            path=f"/connections/{connection.name}?{urlencode([('told', e) for e in each.told])}",
        )
        for each in found.answers
    )
    return replace(found, answers=answers)


def _met(evidence: Evidence) -> Failure | None:
    """What went wrong, by what was heard: a grant that has died says more than what was met."""
    heard = (evidence.refresh, evidence.user_info, evidence.read)
    refused = [each.failure for each in heard if each is not None and each.failure is not None]
    dead = next((each for each in refused if each.code == "grant-dead"), None)
    if dead is None and ended(evidence.grant) and evidence.grant:
        dead = evidence.grant.failure or Failure(f"grant-{evidence.grant.state.value}")
    return dead or evidence.failure or next(iter(refused), None) or _held_back(evidence.grant)


def _held_back(grant: Grant | None) -> Failure | None:
    """Why a grant that works is not in use: it reaches somebody else, or was never proved."""
    if grant is None or grant.state is GrantState.PROVED:
        return None
    return grant.failure or Failure("not-proved", details={"name": grant.connection})


def _throttled(evidence: Evidence) -> Failure | None:
    """That Zoho gives no new access token for a while, which shows when the one at hand ends."""
    grant, until = evidence.grant, evidence.access_token_until
    if grant is None or evidence.now is None or until is None:
        return None
    asks = [ask for ask in evidence.asks if ask.location == grant.location]
    retry_at = throttled_until(asks, evidence.now)
    if retry_at is None:
        return None
    details = {"location": grant.location, "token_until": spoken(until, evidence.now)}
    return Failure(
        "throttled-token-lives", temporary=True, sent=False, details=details, retry_at=retry_at
    )


def _failed(receipt: Receipt | None) -> Failure | None:
    """Why the climb failed that made `receipt`, where it did."""
    if receipt is None or receipt.finished_at is None:
        return None
    return next((rung.failure for rung in receipt.rungs if rung.state is RungState.FAILED), None)


def _newest(grants: tuple[Grant, ...]) -> Grant | None:
    return grants[0] if grants else None
