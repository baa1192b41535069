"""Decide the state of each connection in a re-authorization from what is stored. Pure functions."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from wizard.model import (
    Attempt,
    AttemptMode,
    Client,
    Failure,
    FailureKind,
    Grant,
    GrantState,
    StepState,
    VerificationReport,
)
from wizard.model.states import OPEN_ATTEMPT_STATES, ItemState
from wizard.store import ConnectionOverview, Destination, StoredReauthorizationItem
from wizard.transport import bounded
from wizard.verification.identity import find_mismatch

RETRY_INTERVAL = timedelta(minutes=2)
"""When to try a verification again that the network interrupted. Each try takes a token request;
five fit into Zoho's window."""

RATE_LIMITED_CODE = "throttled"

OTHER_ACCOUNT_CODE = "other-account"
"""The mismatch of a grant from a different account."""

SETTLED_STATES = (ItemState.REAUTHORIZED, ItemState.NOT_DELIVERED, ItemState.SKIPPED)
"""States in which the user has nothing left to do."""

RETRYING_STATES = (ItemState.WAITING_TO_RETRY, ItemState.RATE_LIMITED)
"""States in which the verification is tried again without the user."""

ARRIVED = (ItemState.DELIVERING, ItemState.NOT_DELIVERED, ItemState.REAUTHORIZED)
"""States in which the new grant is verified and current."""


@dataclass(frozen=True)
class ReauthorizationItem:
    """One connection of a re-authorization, and the account it needs."""

    connection: str
    state: ItemState
    email: str
    """Who must sign in; empty if unknown."""
    location: str
    client_id: str
    client_name: str
    previous_generation: int = 0
    """The current generation when the re-authorization began; 0: none."""
    generation: int = 0
    """The newest generation, current or not yet."""
    additional_scope: tuple[str, ...] = ()
    """Requested in addition to the connection's scopes."""
    new_account_email: str = ""
    """The account that takes the connection over; empty: none."""
    failure: Failure | None = None
    retry_at: datetime | None = None
    """When an interrupted verification is tried again."""
    revoke_at: datetime | None = None
    """When the replaced refresh token is revoked; None: there is none, or a destination has it."""


@dataclass(frozen=True)
class ItemSnapshot:
    """What is stored about one connection of a re-authorization."""

    stored: StoredReauthorizationItem
    overview: ConnectionOverview
    report: VerificationReport | None
    """Of the newest grant that isn't current yet."""
    attempt: Attempt | None
    """The newest since the re-authorization began."""
    destinations: Sequence[Destination]


def item_state(snapshot: ItemSnapshot) -> tuple[ItemState, Failure | None]:
    """The state of a connection, and the failure if there is one."""
    candidate = snapshot.overview.candidate
    if snapshot.stored.skipped:
        return ItemState.SKIPPED, None
    if candidate is not None and candidate.state is GrantState.MISMATCH:
        if is_account_transfer(snapshot.stored, candidate):
            return ItemState.VERIFYING, None
        return ItemState.NEEDS_DECISION, candidate.failure
    if is_reauthorized(snapshot.stored, snapshot.overview.grant):
        return _delivery_state(snapshot.destinations, snapshot.overview.connection.generation)
    attempt = snapshot.attempt
    if attempt is not None and attempt.state in OPEN_ATTEMPT_STATES:
        forwarded = attempt.mode is AttemptMode.FORWARDED
        return (ItemState.REQUEST_SENT if forwarded else ItemState.WAITING_FOR_CONSENT), None
    if candidate is not None:
        return _verification_state(candidate, snapshot.report)
    if attempt is not None and attempt.failure is not None:
        if attempt.failure.code == RATE_LIMITED_CODE:  # its code is lost: it needs a new consent
            return ItemState.PENDING, None
        return ItemState.AUTHORIZATION_FAILED, attempt.failure
    return ItemState.PENDING, None


def to_item(snapshot: ItemSnapshot, client: Client) -> ReauthorizationItem:
    """The item without `revoke_at`."""
    stored, overview = snapshot.stored, snapshot.overview
    state, failure = item_state(snapshot)
    named = overview.grant or overview.candidate
    email = named.account.email if named and named.account else ""
    newest = overview.candidate or overview.grant
    return ReauthorizationItem(
        connection=stored.connection,
        state=state,
        email=stored.new_account_email or email,
        location=named.location if named else overview.connection.location or client.location,
        client_id=client.client_id,
        client_name=client.name,
        previous_generation=stored.previous_generation,
        generation=newest.generation if newest else 0,
        additional_scope=stored.additional_scope,
        new_account_email=stored.new_account_email,
        failure=failure,
        retry_at=retry_time(failure, snapshot.report) if state in RETRYING_STATES else None,
    )


def is_reauthorized(stored: StoredReauthorizationItem, current: Grant | None) -> bool:
    """Whether a consent of this re-authorization led to a verified, current grant."""
    if current is None or current.state is not GrantState.VERIFIED:
        return False
    return current.generation > stored.previous_generation and is_expected_account(stored, current)


def is_expected_account(stored: StoredReauthorizationItem, grant: Grant) -> bool:
    """Whether `grant` is from the account that takes the connection over, if there is one."""
    if not stored.new_account_email:
        return True
    return grant.account is not None and is_same_email(
        grant.account.email, stored.new_account_email
    )


def is_account_transfer(stored: StoredReauthorizationItem, candidate: Grant) -> bool:
    """Whether `candidate` is a mismatch only because it is from the expected new account."""
    is_other = candidate.failure is not None and candidate.failure.code == OTHER_ACCOUNT_CODE
    return is_other and bool(stored.new_account_email) and is_expected_account(stored, candidate)


def is_same_email(one: str, other: str) -> bool:
    """Whether two e-mail addresses are the same, ignoring case."""
    return one.casefold() == other.casefold()


def has_current_delivery(destination: Destination, generation: int) -> bool:
    """Whether grant `generation` was delivered, and the reload command, if any, succeeded."""
    done = destination.generation == generation and destination.failure is None
    return done and (not destination.reload_command or destination.reloaded_at is not None)


def _delivery_state(
    destinations: Sequence[Destination], generation: int
) -> tuple[ItemState, Failure | None]:
    outdated = [each for each in destinations if not has_current_delivery(each, generation)]
    if not outdated:
        return ItemState.REAUTHORIZED, None
    failures = [each.failure for each in outdated if each.failure is not None]
    if len(failures) < len(outdated):
        return ItemState.DELIVERING, None
    return ItemState.NOT_DELIVERED, failures[0]


def _verification_state(
    candidate: Grant, report: VerificationReport | None
) -> tuple[ItemState, Failure | None]:
    if report is None or report.finished_at is None:
        return ItemState.VERIFYING, None
    failed = next((each for each in report.steps if each.state is StepState.FAILED), None)
    if failed is None:  # about to become current
        return ItemState.VERIFYING, None
    failure = failed.failure or candidate.failure
    if failure is None or not failure.temporary:
        return ItemState.NOT_VERIFIED, failure
    is_rate_limited = failure.kind is FailureKind.LIMIT
    return (ItemState.RATE_LIMITED if is_rate_limited else ItemState.WAITING_TO_RETRY), failure


def retry_time(failure: Failure | None, report: VerificationReport | None) -> datetime | None:
    """When a verification that `failure` interrupted is tried again."""
    if failure is None or report is None or report.finished_at is None:
        return None
    return bounded(failure.retry_at, report.finished_at) or report.finished_at + RETRY_INTERVAL


def transfer_failure(
    new: Grant,
    previous: Grant,
    report: VerificationReport | None,
    previous_report: VerificationReport | None,
) -> Failure | None:
    """Why `new` can't replace `previous`, apart from the account: a different data center or
    organization, a lost organization, fewer scopes, or a read that worked before and fails now.
    None: it can."""
    mismatch = find_mismatch(replace(new, account=previous.account), previous)
    if mismatch is not None:
        return _with_account(new, mismatch)
    lost = [each for each in previous.organizations if each.product not in _product_ids(new)]
    if lost:
        details = {"before": ", ".join(dict.fromkeys(each.name for each in lost)), "actual": "none"}
        return _with_account(new, Failure("other-organization", details=details))
    failed = _readable_products(previous_report) - _readable_products(report)
    if failed:
        return _with_account(
            new, Failure("read-lost", details={"reads": ", ".join(sorted(failed))})
        )
    return None


def _with_account(new: Grant, failure: Failure) -> Failure:
    details = {"name": new.connection, "actual": new.account.email if new.account else ""}
    return replace(failure, details={**details, **failure.details})


def _product_ids(grant: Grant) -> set[str]:
    return {each.product for each in grant.organizations}


def _readable_products(report: VerificationReport | None) -> set[str]:
    """The IDs of the products that could be read."""
    steps = report.steps if report else ()
    passed = [each.name for each in steps if each.state is StepState.PASSED]
    return {name.removeprefix("read:") for name in passed if name.startswith("read:")}
