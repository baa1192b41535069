"""The states that people see: of connections, of items of a re-authorization, of destinations.

Pages, terminal and JSON use the codes, tones and marks of these enumerations; the words are in
``wizard/messages/``.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Self

from wizard.model import (
    Attempt,
    AttemptState,
    Failure,
    FailureKind,
    Grant,
    GrantState,
    StepState,
    TokenRequest,
    VerificationReport,
)
from wizard.model.failure import state_of


class Tone(StrEnum):
    """How good a state is; the color of its badge."""

    GOOD = "good"
    WAIT = "wait"
    BAD = "bad"
    NEUTRAL = "neutral"


class ShownState(StrEnum):
    """A state with its tone and the mark that the terminal puts before its words."""

    tone: Tone
    mark: str
    _value_: str

    def __new__(cls, code: str, tone: Tone, mark: str) -> Self:
        member = str.__new__(cls, code)
        member._value_ = code
        member.tone = tone
        member.mark = mark
        return member


class ConnectionState(ShownState):
    """The state of a connection.

    The first three say how far it is. The others take precedence; if several apply, the first in
    this order is the state.
    """

    NOT_AUTHORIZED = "not_authorized", Tone.NEUTRAL, "○"
    VERIFIED = "verified", Tone.GOOD, "✓"
    NOT_VERIFIED = "not_verified", Tone.BAD, "✗"
    """Its authorization was never verified, or the last check failed conclusively."""
    DIFFERENT_ACCOUNT = "different_account", Tone.WAIT, "≠"
    """A new authorization waits for the user's decision, here and in the next three."""
    DIFFERENT_ORGANIZATION = "different_organization", Tone.WAIT, "≠"
    DIFFERENT_ENVIRONMENT = "different_environment", Tone.WAIT, "≠"
    FEWER_SCOPES = "fewer_scopes", Tone.WAIT, "≠"
    NEEDS_REAUTHORIZATION = "needs_reauthorization", Tone.BAD, "✗"
    """Zoho rejected the refresh token."""
    CLIENT_REJECTED = "client_rejected", Tone.BAD, "✗"
    """Zoho rejected the client or its secret."""
    ACCESS_DENIED = "access_denied", Tone.BAD, "✗"
    """The user denied the authorization, or a product denies the account access."""
    OUTCOME_UNKNOWN = "outcome_unknown", Tone.WAIT, "?"
    """Zoho's answer to a code exchange or a refresh was never stored."""
    REVOKED = "revoked", Tone.NEUTRAL, "–"

    @property
    def is_authorized(self) -> bool:
        """Whether it is meant to work: it was authorized, and the user hasn't revoked it."""
        return self not in (ConnectionState.NOT_AUTHORIZED, ConnectionState.REVOKED)


class ActivityKind(ShownState):
    """What is currently happening with a connection."""

    WAITING_FOR_CONSENT = "waiting_for_consent", Tone.WAIT, "…"
    VERIFYING = "verifying", Tone.WAIT, "…"
    CHECKING = "checking", Tone.WAIT, "…"
    RATE_LIMITED = "rate_limited", Tone.WAIT, "…"


class ItemState(ShownState):
    """The progress of one connection in a re-authorization."""

    PENDING = "pending", Tone.NEUTRAL, "○"
    """Its authorization hasn't begun."""
    WAITING_FOR_CONSENT = "waiting_for_consent", Tone.WAIT, "…"
    """A browser was sent to Zoho and hasn't returned."""
    REQUEST_SENT = "request_sent", Tone.WAIT, "…"
    """Its link was sent to the account owner, who hasn't answered yet."""
    AUTHORIZATION_FAILED = "authorization_failed", Tone.BAD, "✗"
    VERIFYING = "verifying", Tone.WAIT, "…"
    WAITING_TO_RETRY = "waiting_to_retry", Tone.WAIT, "…"
    """The new authorization is stored, but couldn't be verified because of the network."""
    RATE_LIMITED = "rate_limited", Tone.WAIT, "…"
    """The new authorization is stored, but a rate limit delays its verification."""
    NOT_VERIFIED = "not_verified", Tone.BAD, "✗"
    """The new authorization is stored, but a live call with it failed."""
    NEEDS_DECISION = "needs_decision", Tone.WAIT, "≠"
    """The new authorization is for something else, or less, than the previous one."""
    DELIVERING = "delivering", Tone.WAIT, "…"
    """Verified; a destination doesn't have the new authorization yet."""
    NOT_DELIVERED = "not_delivered", Tone.BAD, "✗"
    """Verified; a delivery failed, and the destination has the previous authorization."""
    REAUTHORIZED = "reauthorized", Tone.GOOD, "✓"
    SKIPPED = "skipped", Tone.NEUTRAL, "–"


class DestinationState(ShownState):
    """What a destination has, compared with its connection's current authorization."""

    NOT_DELIVERED = "not_delivered", Tone.WAIT, "○"
    CURRENT = "current", Tone.GOOD, "✓"
    OUT_OF_DATE = "out_of_date", Tone.BAD, "✗"
    """It has a different generation than the current one."""
    ROTATED = "rotated", Tone.BAD, "✗"
    """It has the delivered refresh token, which the server has replaced since."""
    UNKNOWN_TOKEN = "unknown_token", Tone.BAD, "✗"
    """It has a refresh token that this connection doesn't know."""
    CHANGED = "changed", Tone.WAIT, "✗"
    """The refresh token is right; another field was changed by someone else."""
    FIELDS_OUT_OF_DATE = "fields_out_of_date", Tone.BAD, "✗"
    """It is as it was delivered, but its profile or a value, such as the client secret, has changed
    since."""
    MISSING = "missing", Tone.BAD, "✗"
    """The file, or the entry in it, is gone."""
    UNREADABLE = "unreadable", Tone.BAD, "✗"
    UNVERIFIABLE = "unverifiable", Tone.GOOD, "✓"
    """A command succeeded; what it did with the credentials can't be read back."""


@dataclass(frozen=True)
class Activity:
    """What is currently happening with a connection; `until` when, if that is known."""

    kind: ActivityKind
    until: datetime | None = None


@dataclass(frozen=True)
class LastCheck:
    """When a connection was last verified or checked, and what that found."""

    at: datetime
    failures: tuple[Failure, ...] = ()
    """The failures of its steps, in order."""

    @property
    def failure(self) -> Failure | None:
        """The first failure; None if the check passed."""
        return next(iter(self.failures), None)

    @property
    def outcome(self) -> str:
        """``ok``, or the code of the first failure."""
        return self.failure.code if self.failure else "ok"


def last_check_of(report: VerificationReport | None) -> LastCheck | None:
    """The check that a report describes; None if it isn't finished."""
    if report is None or report.finished_at is None:
        return None
    failed = (each for each in report.steps if each.state is StepState.FAILED)
    failures = tuple(each.failure or Failure("unknown") for each in failed)
    return LastCheck(max((each.at for each in report.steps), default=report.finished_at), failures)


@dataclass(frozen=True)
class ConnectionStatus:
    """What people see of a connection: state, activity and last check."""

    state: ConnectionState
    activity: Activity | None = None
    last_check: LastCheck | None = None

    @property
    def shown(self) -> tuple[ConnectionState | ActivityKind, ...]:
        """What badges and table cells show: the state and the activity, or only the activity if it
        implies the state."""
        if self.activity is None:
            return (self.state,)
        if self.state in _IN_PROGRESS.get(self.activity.kind, ()):
            return (self.activity.kind,)
        return (self.state, self.activity.kind)


_IN_PROGRESS = {
    ActivityKind.WAITING_FOR_CONSENT: (ConnectionState.NOT_AUTHORIZED,),
    ActivityKind.VERIFYING: (ConnectionState.NOT_AUTHORIZED, ConnectionState.NOT_VERIFIED),
}

PENDING_OUTCOME = "pending"
"""The outcome of a request without an answer yet."""
PENDING_TIMEOUT = timedelta(seconds=30)
"""How long a request may take: the transport's total deadline."""

OPEN_ATTEMPT_STATES = (
    AttemptState.REDIRECTED,
    AttemptState.CALLBACK_RECEIVED,
    AttemptState.EXCHANGE_INTENT,
)
"""The states of an authorization that hasn't ended."""


def connection_status(
    *,
    current: Grant | None,
    candidate: Grant | None = None,
    newest: Grant | None = None,
    attempt: Attempt | None = None,
    last_check: LastCheck | None = None,
    unanswered_refresh: TokenRequest | None = None,
    running: ActivityKind | None = None,
    now: datetime,
) -> ConnectionStatus:
    """Determine the status of a connection. Pure.

    `current` is the grant in use, `candidate` a newer one that isn't verified, `newest` the newest
    of any state, `attempt` the newest authorization since then, `last_check` and
    `unanswered_refresh` those of the current grant, otherwise of the candidate. `running` is what
    this process is doing with the connection.
    """
    grant = current or candidate or newest
    exceptions = set(_exceptions(current, candidate, grant, attempt, last_check))
    if outcome_unknown_since(current, unanswered_refresh, now):
        exceptions.add(ConnectionState.OUTCOME_UNKNOWN)
    state = next((each for each in ConnectionState if each in exceptions), None)
    if state is None:
        state = _progress(grant, last_check)
    return ConnectionStatus(state, _activity(attempt, last_check, running, now), last_check)


def _progress(grant: Grant | None, last_check: LastCheck | None) -> ConnectionState:
    if grant is None:
        return ConnectionState.NOT_AUTHORIZED
    failed = last_check is not None and not all(map(is_inconclusive, last_check.failures))
    if grant.state is not GrantState.VERIFIED or failed:
        return ConnectionState.NOT_VERIFIED
    return ConnectionState.VERIFIED


def _exceptions(
    current: Grant | None,
    candidate: Grant | None,
    grant: Grant | None,
    attempt: Attempt | None,
    last_check: LastCheck | None,
) -> Iterator[ConnectionState]:
    """The states that apply and take precedence over the progress."""
    if candidate is not None and candidate.state is GrantState.MISMATCH:
        yield _mismatch(candidate, current)
    if grant is not None and grant.state is GrantState.REVOKED:
        yield ConnectionState.REVOKED
    if grant is not None and grant.state is GrantState.NEEDS_REAUTHORIZATION:
        yield ConnectionState.NEEDS_REAUTHORIZATION
    codes = {each.code for each in last_check.failures} if last_check else set()
    is_decisive = attempt is not None and not attempt.is_in_place
    if attempt and is_decisive and (current is None or current.state is not GrantState.VERIFIED):
        if attempt.state is AttemptState.OUTCOME_UNKNOWN:
            yield ConnectionState.OUTCOME_UNKNOWN
        if attempt.state is AttemptState.FAILED and attempt.failure is not None:
            codes.add(attempt.failure.code)
    states = {state_of(code) for code in codes}
    for state in (ConnectionState.CLIENT_REJECTED, ConnectionState.ACCESS_DENIED):
        if state in states:
            yield state


def _mismatch(candidate: Grant, current: Grant | None) -> ConnectionState:
    code = candidate.failure.code if candidate.failure else ""
    wanted = state_of(code) or ConnectionState.DIFFERENT_ACCOUNT
    state = next(each for each in ConnectionState if each == wanted)
    if state is ConnectionState.DIFFERENT_ORGANIZATION and current is not None:
        known = {(each.product, each.id) for each in current.organizations}
        if any((each.product, each.id) in known for each in candidate.organizations):
            return ConnectionState.DIFFERENT_ENVIRONMENT
    return state


def _activity(
    attempt: Attempt | None,
    last_check: LastCheck | None,
    running: ActivityKind | None,
    now: datetime,
) -> Activity | None:
    if running is not None:
        return Activity(running)
    if attempt and attempt.state in OPEN_ATTEMPT_STATES and not attempt.is_expired(now):
        return Activity(ActivityKind.WAITING_FOR_CONSENT)
    failure = last_check.failure if last_check else None
    until = failure.retry_at if failure and failure.kind is FailureKind.LIMIT else None
    return Activity(ActivityKind.RATE_LIMITED, until) if until and until > now else None


def is_inconclusive(failure: Failure) -> bool:
    """Whether a failed check says nothing about the connection. A rejected access token does, even
    if its refresh token couldn't be tested."""
    is_temporary = failure.temporary and failure.kind is not FailureKind.UNCONFIRMED
    return is_temporary or failure.code.startswith("network-")


def outcome_unknown_since(
    grant: Grant | None, unanswered: TokenRequest | None, now: datetime
) -> datetime | None:
    """When the refresh was sent that may have replaced the refresh token of a `grant` in use, but
    whose response wasn't stored; None if there is none, or if it may still be running."""
    if grant is None or grant.state is not GrantState.VERIFIED or unanswered is None:
        return None
    return None if is_under_way(unanswered, now) else unanswered.at


def is_under_way(request: TokenRequest, now: datetime) -> bool:
    """Whether a request may still get its answer."""
    return request.outcome == PENDING_OUTCOME and now - request.at < PENDING_TIMEOUT
