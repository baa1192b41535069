"""Why a product rejects an access token.

An access token works for an hour, in the data center that issued it, as long as its refresh token
does, and while it is one of the last ten of that refresh token.
"""

from datetime import timedelta

from wizard.diagnosis import refresh_tokens
from wizard.diagnosis.cause_estimates import (
    CauseCheck,
    CauseEstimate,
    EvidenceItem,
    FailureClass,
    confirmed,
    counted_evidence_item,
    evidence_item,
    likely,
    possible,
    ruled_out,
)
from wizard.diagnosis.evidence import Evidence, StoredTokenKind, TokenFormat
from wizard.model import RequestKind
from wizard.timefmt import format_duration
from wizard.verification.steps import CLOCK_SKEW_TOLERANCE
from wizard.zoho import limits

MAX_ACCESS_TOKENS = limits().access_tokens_per_refresh_token
ACCESS_TOKEN_LIFETIME = timedelta(seconds=limits().access_token_lifetime_seconds)
CLIENT_CREDENTIALS = "client_credentials"
"""The grant type of a Self Client's tokens that belong to no user."""


def count_issued_tokens(evidence: Evidence) -> int:
    """How many access tokens the wizard requested with the grant within one lifetime."""
    grant_record = evidence.grant_record
    if grant_record is None or evidence.now is None:
        return 0
    return sum(
        (request.connection, request.generation)
        == (grant_record.connection, grant_record.generation)
        and request.kind is RequestKind.REFRESH
        and request.outcome == "ok"
        and evidence.now - request.at < ACCESS_TOKEN_LIFETIME
        for request in evidence.requests
    )


def from_other_data_center(evidence: Evidence) -> CauseEstimate | None:
    """An access token works only in the data center that issued it."""
    code, location, grant = (
        "access-token-of-other-data-centre",
        evidence.sent_request.location,
        evidence.grant,
    )
    if location and grant:
        item = evidence_item(
            "sent-elsewhere", asked=location.upper(), issued=grant.location.upper()
        )
        ours = evidence.sent_request.stored_token_kind is StoredTokenKind.ACCESS_TOKEN
        if location == grant.location:
            return ruled_out(code, evidence_item("sent-home", location=location.upper()))
        return confirmed(code, item) if ours else likely(code, item)
    return (
        None if _is_sent_by_wizard(evidence) else possible(code, *_cached_token_evidence(evidence))
    )


def evicted(evidence: Evidence) -> CauseEstimate | None:
    """Zoho keeps ten access tokens of a refresh token; another one evicts the oldest."""
    made = count_issued_tokens(evidence)
    if made > MAX_ACCESS_TOKENS:
        return likely("access-token-evicted", evidence_item("many-minted", count=str(made)))
    unexpired = evidence.access_token_expires_at and not _is_expired(evidence)
    if (
        _is_rejected_by_accounts_server(evidence)
        and unexpired
        and evidence.refresh_result
        and evidence.refresh_result.is_success
    ):
        return likely(
            "access-token-evicted", evidence_item("refused-early"), evidence_item("refresh-works")
        )
    estimate = possible("access-token-evicted")
    if evidence.grant_record is None:
        return estimate
    return estimate.with_evidence_against(
        counted_evidence_item("few-minted", made, most=str(MAX_ACCESS_TOKENS))
    )


def expired(evidence: Evidence) -> CauseEstimate | None:
    """An access token is valid for an hour."""
    age = evidence.sent_request.access_token_age
    if age is not None:
        old = counted_evidence_item("token-age", age // timedelta(minutes=1))
        code = "access-token-expired"
        return confirmed(code, old) if age >= ACCESS_TOKEN_LIFETIME else ruled_out(code, old)
    if evidence.access_token_expires_at is None or not _is_rejected_by_accounts_server(evidence):
        return possible("access-token-expired", *_cached_token_evidence(evidence))
    if _is_expired(evidence):
        return likely("access-token-expired", evidence_item("past-its-end"))
    return ruled_out("access-token-expired", evidence_item("before-its-end"))


def clock_skewed(evidence: Evidence) -> CauseEstimate | None:
    """A slow clock makes an expired token look valid."""
    skew = evidence.clock_skew
    if skew is None or abs(skew) <= CLOCK_SKEW_TOLERANCE:
        return None
    direction = "ahead of" if skew > timedelta() else "behind"
    details = {"difference": format_duration(abs(skew)), "direction": direction}
    item = evidence_item("clocks-differ", **details)
    weigh = likely if skew < timedelta() and _is_rejected_by_accounts_server(evidence) else possible
    return weigh("clock-skew", item, **details)


def client_credentials_token(evidence: Evidence) -> CauseEstimate | None:
    """A client-credentials token belongs to an organization, not to a user."""
    if evidence.sent_request.grant_type == CLIENT_CREDENTIALS:
        return likely("client-credentials-token", evidence_item("asked-without-user"))
    return (
        None
        if _is_sent_by_wizard(evidence) or evidence.grant
        else possible("client-credentials-token")
    )


def refresh_token_sent(evidence: Evidence) -> CauseEstimate | None:
    """A refresh token was sent in place of an access token."""
    if evidence.sent_request.stored_token_kind is StoredTokenKind.REFRESH_TOKEN:
        return confirmed("refresh-token-in-its-place", evidence_item("equals-refresh-token"))
    known = evidence.sent_request.stored_token_kind is not None or _is_sent_by_wizard(evidence)
    return None if known else possible("refresh-token-in-its-place")


def malformed_token(evidence: Evidence) -> CauseEstimate | None:
    """The value that was sent doesn't have the form of a token."""
    causes = {
        TokenFormat.TRUNCATED: "token-truncated",
        TokenFormat.QUOTED: "token-quoted",
        TokenFormat.WITH_WHITESPACE: "token-quoted",
        TokenFormat.CLIENT_ID: "id-in-its-place",
        TokenFormat.CLIENT_SECRET: "id-in-its-place",
        TokenFormat.OTHER: "token-truncated",
    }
    shape = evidence.sent_request.token_format
    if shape in causes:
        return confirmed(
            causes[shape], evidence_item("token-shape", format=shape.value.replace("-", " "))
        )
    known = shape is not None or _is_sent_by_wizard(evidence)
    return None if known else possible("token-truncated")


def unless_refresh_works(check: CauseCheck) -> CauseCheck:
    """`check`, which is ruled out if the refresh token works: the cause would have ended both."""

    def checked(evidence: Evidence) -> CauseEstimate | None:
        estimate = check(evidence)
        if estimate and evidence.refresh_result and evidence.refresh_result.is_success:
            return ruled_out(estimate.code, evidence_item("refresh-works"))
        if estimate and is_token_accepted(evidence):
            return ruled_out(estimate.code, evidence_item("token-taken"))
        return estimate

    return checked


GRANT_CAUSES = tuple(
    unless_refresh_works(check)
    for check in (
        refresh_tokens.password_changed,
        refresh_tokens.app_removed,
        refresh_tokens.token_revoked_elsewhere,
        refresh_tokens.refresh_token_evicted,
        refresh_tokens.user_deactivated,
    )
)

ACCESS_TOKEN_REFUSED = FailureClass(
    "access-token-refused",
    (
        from_other_data_center,
        evicted,
        expired,
        *GRANT_CAUSES,
        clock_skewed,
        refresh_token_sent,
        malformed_token,
        client_credentials_token,
    ),
)


def unless_token_accepted(check: CauseCheck) -> CauseCheck:
    """`check`, which doesn't apply if the access token has just been accepted."""
    return lambda evidence: None if is_token_accepted(evidence) else check(evidence)


def is_token_accepted(evidence: Evidence) -> bool:
    """Whether the accounts server or a product has just accepted the access token."""
    return any(
        probe_result is not None and probe_result.is_success
        for probe_result in (evidence.user_info_result, evidence.read_result)
    )


def _is_expired(evidence: Evidence) -> bool:
    """Whether the access token has expired, by this computer's clock."""
    until = evidence.access_token_expires_at
    return until is not None and evidence.now is not None and until <= evidence.now


def _is_rejected_by_accounts_server(evidence: Evidence) -> bool:
    """Whether the accounts server itself has just rejected the access token."""
    probe_result = evidence.user_info_result
    return (
        probe_result is not None
        and probe_result.failure is not None
        and probe_result.failure.code == "token-invalid"
    )


def _cached_token_evidence(evidence: Evidence) -> tuple[EvidenceItem, ...]:
    """That the cached token works, so a program sent a different token, or sent it elsewhere."""
    taken = evidence.access_token_expires_at is not None and is_token_accepted(evidence)
    return (
        (evidence_item("cached-is-good"),)
        if taken and not _is_rejected_by_accounts_server(evidence)
        else ()
    )


def _is_sent_by_wizard(evidence: Evidence) -> bool:
    """Whether the wizard sent the request: a complete access token, to the right host."""
    return evidence.failure is not None and evidence.failure.exchange is not None
