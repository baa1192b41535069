"""Why a refresh token is rejected. Zoho returns ``invalid_code`` for all of these causes.

A refresh token doesn't expire. Most causes end other tokens, too: a password change with the option
selected ends all tokens of the account, a removed app those of one client, and a 21st token of a
user and client only the oldest. So other connections show the cause.
"""

from datetime import datetime

from wizard.diagnosis.cause_estimates import (
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
from wizard.diagnosis.evidence import Evidence, StoredTokenKind
from wizard.model import GrantState
from wizard.store import GrantRecord
from wizard.zoho import limits

ACTIVE_STATES = (GrantState.VERIFIED, GrantState.NOT_VERIFIED)
"""States of a related grant that can be tried."""

MAX_REFRESH_TOKENS = limits().refresh_tokens_per_user_and_client

MIN_SIMULTANEOUS = 3
"""So many that failed at the same time have one cause. Two may be a coincidence: a user can remove
two apps in a minute."""


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
    doubt = counted_evidence_item("few-younger", len(younger), most=str(MAX_REFRESH_TOKENS))
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


def token_from_other_client(evidence: Evidence) -> CauseEstimate | None:
    """A refresh token works only with the client that it was issued to."""
    code, sent, grant = "token-of-other-client", evidence.sent_request, evidence.grant
    if grant and sent.client_id and sent.stored_token_kind is StoredTokenKind.REFRESH_TOKEN:
        if sent.client_id == grant.client_id:
            return None
        return confirmed(
            code, evidence_item("other-client-sent", sent=sent.client_id, made=grant.client_id)
        )
    return _unless_ever_worked(code, evidence)


def token_from_other_data_center(evidence: Evidence) -> CauseEstimate | None:
    """A refresh token works only in the data center that issued it."""
    asked, grant = evidence.sent_request.location, evidence.grant
    if asked and grant and evidence.sent_request.stored_token_kind is StoredTokenKind.REFRESH_TOKEN:
        if asked == grant.location:
            return None
        item = evidence_item("sent-elsewhere", asked=asked.upper(), issued=grant.location.upper())
        return confirmed("token-of-other-data-centre", item)
    return _unless_ever_worked("token-of-other-data-centre", evidence)


REFRESH_TOKEN_REFUSED = FailureClass(
    "refresh-token-refused",
    (
        password_changed,
        app_removed,
        refresh_token_evicted,
        user_deactivated,
        token_revoked_elsewhere,
        rotated_token_lost,
        access_token_stored,
        token_from_other_client,
        token_from_other_data_center,
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
