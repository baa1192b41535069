"""Why a refresh token or an access token is rejected.

Zoho returns ``invalid_code`` for every cause that rejects a refresh token. It doesn't expire. Most
causes end other tokens, too: a password change with the option selected ends all tokens of the
account, a removed app those of one client, and a 21st token of a user and client only the oldest.
So other connections show the cause.

An access token works for an hour, in the data center that issued it, as long as its refresh token
does, and while it is one of the last ten of that refresh token.
"""

from datetime import datetime, timedelta

from wizard.diagnosis.evidence import (
    CauseCheck,
    CauseEstimate,
    Evidence,
    EvidenceItem,
    FailureClass,
    StoredTokenKind,
    TokenFormat,
    confirmed,
    evidence_item,
    likely,
    possible,
    ruled_out,
)
from wizard.model import GrantState, RequestKind
from wizard.store import GrantRecord
from wizard.timefmt import format_duration
from wizard.verification.steps import CLOCK_SKEW_TOLERANCE
from wizard.zoho import limits, missing_scopes

ACTIVE_STATES = (GrantState.VERIFIED, GrantState.NOT_VERIFIED)
"""States of a related grant that can be tried."""

MAX_REFRESH_TOKENS = limits().refresh_tokens_per_user_and_client

MIN_SIMULTANEOUS = 3
"""So many that failed at the same time have one cause. Two may be a coincidence: a user can remove
two apps in a minute."""


# --- Refresh tokens -------------------------------------------------------------------------------


def password_changed(evidence: Evidence) -> CauseEstimate | None:
    """All tokens of the account end if its owner selects that option when changing the password."""
    return _account_wide_cause("password-changed", evidence)


def app_removed(evidence: Evidence) -> CauseEstimate | None:
    """All tokens of the account with this client end when the app is removed."""
    code = "app-removed"
    surviving = _surviving_connection(_grants_of_account(evidence, same_client=True), evidence)
    if surviving:
        return ruled_out(code, evidence_item("client-lives-on", other=surviving))
    of_client = _possibly_simultaneous(_grants_of_account(evidence, same_client=True), evidence)
    of_other_client = _surviving_connection(
        _grants_of_account(evidence, same_client=False), evidence
    )
    items = _related_evidence("died-with-client", of_client)
    if of_client and of_other_client:
        items = (*items, evidence_item("other-client-lives", other=of_other_client))
    weigh = likely if of_other_client and _have_common_cause(of_client, evidence) else possible
    rejected_elsewhere = _possibly_simultaneous(
        _grants_of_account(evidence, same_client=False), evidence
    )
    return weigh(code, *items).with_evidence_against(
        *_related_evidence("other-client-died", rejected_elsewhere)
    )


def refresh_token_evicted(evidence: Evidence) -> CauseEstimate | None:
    """The 21st refresh token of a user and client evicts the oldest."""
    grant_record = evidence.grant_record
    if grant_record is None:
        return possible("refresh-token-evicted")
    mine = _grants_of_account(evidence, same_client=True)
    older = _surviving_connection(
        [each for each in mine if each.granted_at < grant_record.granted_at], evidence
    )
    if older:
        return ruled_out("refresh-token-evicted", evidence_item("older-lives-on", other=older))
    younger = [
        each for each in mine if _is_counted(each) and each.granted_at > grant_record.granted_at
    ]
    simultaneous = _possibly_simultaneous(_grants_of_account(evidence), evidence)
    if len(younger) >= MAX_REFRESH_TOKENS:
        item = evidence_item("many-younger", count=str(len(younger)))
        weigh = possible if simultaneous else likely
        return weigh("refresh-token-evicted", item).with_evidence_against(
            *_related_evidence("several-died", simultaneous)
        )
    doubt = evidence_item("few-younger", count=str(len(younger)), most=str(MAX_REFRESH_TOKENS))
    return possible("refresh-token-evicted").with_evidence_against(
        doubt, *_related_evidence("several-died", simultaneous)
    )


def user_deactivated(evidence: Evidence) -> CauseEstimate | None:
    """All tokens of a user who left or was deactivated end."""
    return _account_wide_cause("user-deactivated", evidence)


def token_revoked_elsewhere(evidence: Evidence) -> CauseEstimate | None:
    """Anyone who has a refresh token can revoke it, by API or in the list of devices."""
    surviving = _surviving_connection(_grants_of_account(evidence, same_client=True), evidence)
    estimate = possible("token-revoked-elsewhere", *_only_rejected_evidence(surviving))
    simultaneous = _possibly_simultaneous(_grants_of_account(evidence), evidence)
    return estimate.with_evidence_against(*_related_evidence("several-died", simultaneous))


def rotated_token_lost(evidence: Evidence) -> CauseEstimate | None:
    """A server that rotates refresh tokens accepts only the newest; Zoho has rotated none so far.
    The response with the newest was lost, or another holder of the token received it."""
    life = evidence.grant_record
    if life is None:
        return None
    code, since = "rotated-token-lost", life.unknown_since
    same = [each for each in evidence.related_grants if each.location == life.location]
    rotated_at = life.rotated_at or max((e.rotated_at for e in same if e.rotated_at), default=None)
    unanswered = evidence_item("refresh-unanswered", sent_at=since) if since else None
    if rotated_at is None:
        return (
            possible(code, unanswered).with_evidence_against(evidence_item("never-rotated"))
            if unanswered
            else None
        )
    rotates = evidence_item("has-rotated", rotated_at=rotated_at)
    if unanswered is None:
        return possible(code, rotates) if life.rotated_at else None
    return likely(code, unanswered, rotates)


def access_token_stored(evidence: Evidence) -> CauseEstimate | None:
    """An access token was stored in place of the refresh token."""
    code = "access-token-in-its-place"
    if evidence.sent_request.stored_token_kind is StoredTokenKind.ACCESS_TOKEN:
        return confirmed(code, evidence_item("equals-access-token"))
    if evidence.as_access_token_result and evidence.as_access_token_result.is_success:
        return confirmed(code, evidence_item("taken-as-access-token"))
    return _unless_ever_worked(code, evidence)


def code_stored(evidence: Evidence) -> CauseEstimate | None:
    """An authorization code, such as a Self Client's, was stored in place of the refresh token."""
    if evidence.sent_request.is_code_as_refresh_token:
        return confirmed("code-in-its-place", evidence_item("code-equals-refresh-token"))
    return _unless_ever_worked("code-in-its-place", evidence)


def access_token_revoked(evidence: Evidence) -> CauseEstimate | None:
    """A program revoked its access token, for example when it ended. Zoho revokes the refresh token
    with it, according to one of its pages."""
    if evidence.sent_request.has_revocation:
        return likely("access-token-revoked", evidence_item("revocation-in-text"))
    return possible("access-token-revoked") if evidence.grant_record is None else None


def account_migrated(evidence: Evidence) -> CauseEstimate | None:
    """Zoho moved the account to another data center. Its tokens end, and others must be issued."""
    others = _grants_of_account(evidence, same_client=False)
    is_possible = evidence.grant_record is None or (
        _possibly_simultaneous(others, evidence)
        and not _surviving_connection(_grants_of_account(evidence), evidence)
    )
    return possible("account-migrated") if is_possible else None


def evicted_by_other_users(evidence: Evidence) -> CauseEstimate | None:
    """If Zoho counts refresh tokens per client, those of other users evict this one, too. Its pages
    disagree about that."""
    grant_record = evidence.grant_record
    if grant_record is None:
        return None
    younger = [
        each
        for each in evidence.related_grants
        if each.client_id == grant_record.client_id
        and each.location == grant_record.location
        and _is_counted(each)
        and each.granted_at > grant_record.granted_at
    ]
    of_others = [each for each in younger if each not in _grants_of_account(evidence)]
    if not of_others or len(younger) < MAX_REFRESH_TOKENS:
        return None
    item = evidence_item("many-younger-of-client", count=str(len(younger)))
    return possible("refresh-token-evicted-by-others", item)


def scope_sent_on_refresh(evidence: Evidence) -> CauseEstimate | None:
    """A refresh can't change the scopes of a token, so it shouldn't name any."""
    if not evidence.sent_request.has_scope_on_refresh:
        return None
    return likely("scope-sent-on-refresh", evidence_item("scope-in-refresh"))


def token_from_other_client(evidence: Evidence) -> CauseEstimate | None:
    """A refresh token works only with the client that it was issued to."""
    code, sent, grant = "token-of-other-client", evidence.sent_request, evidence.grant
    if grant and sent.client_id:
        if sent.client_id == grant.client_id:
            return None
        weigh = confirmed if sent.stored_token_kind is StoredTokenKind.REFRESH_TOKEN else likely
        return weigh(
            code, evidence_item("other-client-sent", sent=sent.client_id, made=grant.client_id)
        )
    return _unless_ever_worked(code, evidence)


def token_from_other_data_center(evidence: Evidence) -> CauseEstimate | None:
    """A refresh token works only in the data center that issued it."""
    asked, grant = evidence.sent_request.location, evidence.grant
    if asked and grant:
        if asked == grant.location:
            return None
        item = evidence_item("sent-elsewhere", asked=asked.upper(), issued=grant.location.upper())
        is_stored = evidence.sent_request.stored_token_kind is StoredTokenKind.REFRESH_TOKEN
        return (confirmed if is_stored else likely)("token-of-other-data-center", item)
    return _unless_ever_worked("token-of-other-data-center", evidence)


REFRESH_TOKEN_REFUSED = FailureClass(
    "refresh-token-refused",
    (
        password_changed,
        app_removed,
        refresh_token_evicted,
        user_deactivated,
        token_revoked_elsewhere,
        evicted_by_other_users,
        rotated_token_lost,
        code_stored,
        access_token_stored,
        token_from_other_client,
        token_from_other_data_center,
        access_token_revoked,
        account_migrated,
        scope_sent_on_refresh,
    ),
)


def _account_wide_cause(code: str, evidence: Evidence) -> CauseEstimate:
    """A cause that ends all tokens of an account, with any client. A password change and the end of
    a user can't be distinguished."""
    surviving = _surviving_connection(_grants_of_account(evidence), evidence)
    if surviving:
        return ruled_out(code, evidence_item("lives-on", other=surviving))
    of_other_clients = _possibly_simultaneous(
        _grants_of_account(evidence, same_client=False), evidence
    )
    if not of_other_clients:
        of_client = _possibly_simultaneous(_grants_of_account(evidence, same_client=True), evidence)
        return possible(code, *_related_evidence("died-with-client", of_client))
    one_of_each = {each.client_id: each for each in of_other_clients}
    weigh = likely if _have_common_cause(list(one_of_each.values()), evidence) else possible
    return weigh(code, *_related_evidence("died-together", of_other_clients))


def _unless_ever_worked(code: str, evidence: Evidence) -> CauseEstimate | None:
    """Ruled out if the refresh token ever worked."""
    if evidence.grant_record is None:
        return possible(code)
    return (
        None
        if evidence.grant_record.last_refreshed_at
        else possible(code, evidence_item("never-worked"))
    )


# --- Related grants -------------------------------------------------------------------------------


def _grants_of_account(evidence: Evidence, *, same_client: bool | None = None) -> list[GrantRecord]:
    """The same account's other grants, with this client, with others, or all."""
    grant_record = evidence.grant_record
    if grant_record is None or grant_record.account is None:
        return []
    return [
        each
        for each in evidence.related_grants
        if each.account is not None
        and (each.account.zuid, each.location) == (grant_record.account.zuid, grant_record.location)
        and same_client in (None, each.client_id == grant_record.client_id)
    ]


def _surviving_connection(others: list[GrantRecord], evidence: Evidence) -> str:
    """The name of a related connection that worked before and after the rejection; empty: none."""
    grant_record, rejected_by = evidence.grant_record, _own_rejected_by(evidence)
    if grant_record is None or rejected_by is None:
        return ""
    for each in others:
        worked_after = (
            each.last_worked_at >= rejected_by or each.connection in evidence.working_connections
        )
        if each.is_current and each.granted_at <= grant_record.last_worked_at and worked_after:
            return each.connection
    return ""


def _possibly_simultaneous(others: list[GrantRecord], evidence: Evidence) -> list[GrantRecord]:
    """The related grants that may have been rejected at the same time as the grant."""
    return [
        each for each in others if each.is_current and _are_possibly_simultaneous([each], evidence)
    ]


def _have_common_cause(others: list[GrantRecord], evidence: Evidence) -> bool:
    """Whether so many were rejected at the same time that they have one cause."""
    return len(others) + 1 >= MIN_SIMULTANEOUS and _are_possibly_simultaneous(others, evidence)


def _are_possibly_simultaneous(others: list[GrantRecord], evidence: Evidence) -> bool:
    """Whether there is a moment since which all of these and the grant may have been rejected:
    after each last worked, and before each was rejected."""
    grant_record, rejected_by = evidence.grant_record, _own_rejected_by(evidence)
    refusals = [_rejected_by(each, evidence) for each in others]
    if grant_record is None or rejected_by is None or None in refusals:
        return False
    worked = [grant_record.last_worked_at, *(each.last_worked_at for each in others)]
    return max(worked) <= min(rejected_by, *(each for each in refusals if each is not None))


def _rejected_by(related_grant: GrantRecord, evidence: Evidence) -> datetime | None:
    """By when a related grant was rejected; None if it isn't known to be."""
    if (
        related_grant.rejected_at is None
        and related_grant.connection in evidence.rejected_connections - evidence.working_connections
    ):
        return evidence.now  # its access token was rejected before it expired, as if with its grant
    return related_grant.rejected_at


def _own_rejected_by(evidence: Evidence) -> datetime | None:
    """By when the grant was rejected."""
    refused = evidence.grant_record.rejected_at if evidence.grant_record else None
    return refused or evidence.now


def informative_related_grants(evidence: Evidence) -> tuple[GrantRecord, ...]:
    """The most informative related grants, in order: one of the account with a different client,
    one with the same client, one with a third. A grant that is older than the last success is
    informative if it works; a newer one only if it is rejected."""
    grant_record, rejected_by = evidence.grant_record, _own_rejected_by(evidence)
    if grant_record is None or rejected_by is None:
        return ()
    of_clients: dict[str, GrantRecord] = {}
    for each in sorted(_grants_of_account(evidence), key=lambda each: each.granted_at):
        is_candidate = each.is_current and each.state in ACTIVE_STATES
        if is_candidate and each.granted_at < rejected_by and each.last_worked_at < rejected_by:
            of_clients.setdefault(each.client_id, each)
    of_client = [each for each in of_clients.values() if each.client_id == grant_record.client_id]
    of_other_clients = [
        each for each in of_clients.values() if each.client_id != grant_record.client_id
    ]
    return (*of_other_clients[:1], *of_client, *of_other_clients[1:2])


def _is_counted(grant_record: GrantRecord) -> bool:
    """Whether it counts toward Zoho's limit of refresh tokens."""
    return grant_record.state is not GrantState.REVOKED


def _related_evidence(code: str, others: list[GrantRecord]) -> tuple[EvidenceItem, ...]:
    names = dict.fromkeys(each.connection for each in others)
    return (evidence_item(code, others=", ".join(names)),) if names else ()


def _only_rejected_evidence(surviving_connection: str) -> tuple[EvidenceItem, ...]:
    return (
        (evidence_item("died-alone", other=surviving_connection),) if surviving_connection else ()
    )


# --- Access tokens --------------------------------------------------------------------------------

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


def token_not_sent(evidence: Evidence) -> CauseEstimate | None:
    """The program called without an access token, or with an empty variable in its place."""
    code, is_missing = "token-not-sent", evidence.sent_request.is_token_missing
    if is_missing:
        return confirmed(code, evidence_item("no-token-in-request"))
    return None if is_missing is False or _is_sent_by_wizard(evidence) else possible(code)


def granted_scopes_lack(evidence: Evidence) -> CauseEstimate | None:
    """Some products return the error of an invalid token for a missing scope."""
    needed, granted = evidence.sent_request.required_scope, evidence.sent_request.granted_scopes
    if not needed or not granted or not missing_scopes(granted, (needed,)):
        return None
    item = evidence_item("scope-not-in-text", needed=needed)
    return likely("scope-not-granted", item, needed=needed, scope_needed=needed)


def from_other_data_center(evidence: Evidence) -> CauseEstimate | None:
    """An access token works only in the data center that issued it."""
    if evidence.sent_request.token_location and not evidence.grant:
        return _compared_with_token_response(evidence)
    code, location, grant = (
        "access-token-of-other-data-center",
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


def _compared_with_token_response(evidence: Evidence) -> CauseEstimate | None:
    code, sent = "access-token-of-other-data-center", evidence.sent_request
    if not sent.location:
        return possible(code)
    if sent.location == sent.token_location:
        return ruled_out(code, evidence_item("sent-home", location=sent.location.upper()))
    asked, issued = sent.location.upper(), sent.token_location.upper()
    return likely(code, evidence_item("sent-elsewhere", asked=asked, issued=issued))


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
        evidence_item("few-minted", count=str(made), most=str(MAX_ACCESS_TOKENS))
    )


def expired(evidence: Evidence) -> CauseEstimate | None:
    """An access token is valid for an hour."""
    age = evidence.sent_request.access_token_age
    if age is not None:
        old = evidence_item("token-age", count=str(age // timedelta(minutes=1)))
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
    direction = "ahead" if skew > timedelta() else "behind"
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
        return confirmed(causes[shape], evidence_item("token-shape", format=shape.value))
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
        password_changed,
        app_removed,
        token_revoked_elsewhere,
        refresh_token_evicted,
        user_deactivated,
    )
)

ACCESS_TOKEN_REFUSED = FailureClass(
    "access-token-refused",
    (
        from_other_data_center,
        granted_scopes_lack,
        evicted,
        expired,
        *GRANT_CAUSES,
        clock_skewed,
        refresh_token_sent,
        malformed_token,
        client_credentials_token,
        token_not_sent,
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
