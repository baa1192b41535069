"""The connections of a re-authorization: their states, the plan, and the next action. Pure.

The state of each item is decided from what is stored. A plan counts sign-ins, consents and waits.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import groupby

from wizard.connection_details import expected_organizations
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
    is_same_email,
)
from wizard.model.states import OPEN_ATTEMPT_STATES, ItemState
from wizard.store import ConnectionOverview, Destination, StoredReauthorizationItem
from wizard.tokens.budgets import ConsentSchedule
from wizard.transport import bounded
from wizard.verification.service import find_mismatch

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
    organizations: tuple[tuple[str, str], ...] = ()
    """What must be chosen if Zoho asks, as `expected_organizations`."""
    failure: Failure | None = None
    retry_at: datetime | None = None
    """When an interrupted verification is tried again."""
    revoke_at: datetime | None = None
    """When the replaced refresh token is revoked; None: there is none, or a destination has it."""
    undelivered_machines: tuple[str, ...] = ()
    """The names of the other machines whose destinations still have a replaced one."""


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
    """Those on this machine."""


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
    """The item without `revoke_at` and `undelivered_machines`."""
    stored, overview = snapshot.stored, snapshot.overview
    state, failure = item_state(snapshot)
    named = overview.grant or overview.candidate
    email = (overview.grant.email if overview.grant else "") or overview.connection.expected_email
    if not email and named:
        email = named.email
    newest = overview.candidate or overview.grant
    previous = overview.grant if stored.previous_generation else None
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
        organizations=expected_organizations(overview.connection, previous),
        failure=failure,
        retry_at=retry_time(failure, snapshot.report) if state in RETRYING_STATES else None,
    )


def has_several_organizations(items: Iterable[ReauthorizationItem], email: str) -> bool:
    """Whether the consents of account `email` need different organizations of one product. Zoho
    asks for one, so the user must see which."""
    pairs = {pair for each in items if each.email == email for pair in each.organizations}
    return len(pairs) > len({product for product, _organization in pairs})


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
    details = {"name": new.connection, "actual": new.email}
    return replace(failure, details={**details, **failure.details})


def _product_ids(grant: Grant) -> set[str]:
    return {each.product for each in grant.organizations}


def _readable_products(report: VerificationReport | None) -> set[str]:
    """The IDs of the products that could be read."""
    steps = report.steps if report else ()
    passed = [each.name for each in steps if each.state is StepState.PASSED]
    return {name.removeprefix("read:") for name in passed if name.startswith("read:")}


@dataclass(frozen=True)
class ConsentGroup:
    """Connections that one account approves one after the other, with one client."""

    email: str
    """Who must sign in; empty if unknown."""
    location: str
    client_id: str
    client_name: str
    names: tuple[str, ...]
    wait: timedelta
    """Until the last of these consents can start."""


@dataclass(frozen=True)
class ReauthorizationPlan:
    """The groups of a re-authorization, in order."""

    groups: tuple[ConsentGroup, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The connections, in order."""
        return tuple(name for group in self.groups for name in group.names)

    @property
    def sign_in_count(self) -> int:
        """How often someone signs in: once for each account and data center."""
        return len({(group.email, group.location) for group in self.groups})

    @property
    def wait(self) -> timedelta:
        """Until the last consent can start."""
        return max((group.wait for group in self.groups), default=timedelta(0))


def in_consent_order(items: Iterable[ReauthorizationItem]) -> list[ReauthorizationItem]:
    """`items` in the order of their consents, so that each account signs in once in each data
    center."""
    return sorted(items, key=_sort_key)


def create_plan(
    items: Iterable[ReauthorizationItem],
    consent_schedules: Mapping[str, ConsentSchedule],
    now: datetime,
) -> ReauthorizationPlan:
    """The plan for `items`, with the consent schedules by client ID."""
    schedules = dict(consent_schedules)
    groups = []
    for _key, members in groupby(in_consent_order(items), key=lambda item: _sort_key(item)[:-1]):
        group = list(members)
        first, at = group[0], now
        for _item in group:
            at = schedules[first.client_id].next_start(now)
            schedules[first.client_id] = schedules[first.client_id].with_start(at)
        groups.append(
            ConsentGroup(
                first.email,
                first.location,
                first.client_id,
                first.client_name,
                tuple(each.connection for each in group),
                at - now,
            )
        )
    return ReauthorizationPlan(tuple(groups))


def _sort_key(item: ReauthorizationItem) -> tuple[str, str, str, str, str]:
    return item.email.casefold(), item.location, item.client_name, item.client_id, item.connection


class Action(StrEnum):
    CONSENT = "consent"
    """Begin the item's consent, or skip it. After a failed one, the item has the failure."""
    WAIT = "wait"
    """Zoho's limits or the network prevent the next step; continue at `NextAction.until`."""
    PAUSED = "paused"
    VERIFY = "verify"
    """Verify the item's grant again: the obstacle may be gone."""
    VERIFYING = "verifying"
    """Poll: the next consent waits until it is known which account approved this one, unless that
    is certain."""
    DECIDE = "decide"
    """The grant is a mismatch: accept it, or discard it and try again."""
    DELIVERING = "delivering"
    """No consent is left, but deliveries are."""
    DONE = "done"


@dataclass(frozen=True)
class Reauthorization:
    """The current re-authorization."""

    started_at: datetime
    paused: bool
    items: tuple[ReauthorizationItem, ...]
    """In the order of their consents."""

    @property
    def is_done(self) -> bool:
        """Whether the user has nothing left to do."""
        return all(item.state in SETTLED_STATES for item in self.items)


@dataclass(frozen=True)
class NextAction:
    """What comes next in a re-authorization."""

    action: Action
    item: ReauthorizationItem | None = None
    until: datetime | None = None
    previous_email: str = ""
    """The account that approved last in the item's data center, and may still be signed in. If it
    isn't `item.email`, it must sign out first."""
    remaining_consents: int = 0
    """Consents left for the item's account in this data center, including this one."""


_CONSENT_STATES = (
    ItemState.WAITING_FOR_CONSENT,
    ItemState.PENDING,
    ItemState.AUTHORIZATION_FAILED,
    ItemState.NOT_VERIFIED,
    ItemState.REQUEST_SENT,
)
"""States that wait for a consent, in the order in which they get it: new ones before failed."""


def determine_next_action(
    reauthorization: Reauthorization,
    next_consent_at: Mapping[tuple[str, str], datetime],
    last_signed_in_emails: Mapping[str, str],
    now: datetime,
    *,
    verifies_meanwhile: bool = False,
) -> NextAction:
    """The next action. `next_consent_at` says when the next consent can start, by client ID and
    data center; `last_signed_in_emails` which account approved last, by data center.
    `verifies_meanwhile`: it is certain which account approves, so a consent that can start now
    doesn't wait for a verification, nor for a decision about another connection, unless it failed
    before."""
    waiting = [
        item for state in _CONSENT_STATES for item in reauthorization.items if item.state is state
    ]
    consent = (
        _consent_action(waiting, next_consent_at, last_signed_in_emails, now)
        if waiting and not reauthorization.paused
        else None
    )
    retrying = _first_in_state(reauthorization, *RETRYING_STATES)
    can_start = verifies_meanwhile and retrying is None and _is_new_consent(consent)
    undecided = _first_in_state(reauthorization, ItemState.NEEDS_DECISION)
    if undecided is not None and not (can_start and _is_expected_account(undecided)):
        previous_email = last_signed_in_emails.get(undecided.location, "")
        return NextAction(Action.DECIDE, undecided, previous_email=previous_email)
    if waiting and reauthorization.paused:
        return NextAction(Action.PAUSED)
    if retrying is not None:
        until = retrying.retry_at or now
        if until <= now:
            return NextAction(Action.VERIFY, retrying)
        return NextAction(Action.WAIT, retrying, until)
    verifying = _first_in_state(reauthorization, ItemState.VERIFYING)
    if verifying is not None and not can_start:
        return NextAction(Action.VERIFYING, verifying)
    if consent is not None:
        return consent
    delivering = _first_in_state(reauthorization, ItemState.DELIVERING)
    return NextAction(Action.DELIVERING, delivering) if delivering else NextAction(Action.DONE)


def _is_new_consent(step: NextAction | None) -> bool:
    """Whether it is a consent that can start now, and didn't fail before."""
    if step is None or step.action is not Action.CONSENT:
        return False
    return step.item is None or step.item.failure is None


def _is_expected_account(undecided: ReauthorizationItem) -> bool:
    """Whether a mismatch isn't about the account, which would approve the next consents, too."""
    return undecided.failure is not None and undecided.failure.code != OTHER_ACCOUNT_CODE


def _consent_action(
    waiting: list[ReauthorizationItem],
    next_consent_at: Mapping[tuple[str, str], datetime],
    last_signed_in_emails: Mapping[str, str],
    now: datetime,
) -> NextAction:
    """The first consent that can start now, else a wait for the one that can start first."""
    item = next(
        (each for each in waiting if next_consent_at[each.client_id, each.location] <= now), None
    )
    if item is None:
        item = min(waiting, key=lambda each: next_consent_at[each.client_id, each.location])
        return NextAction(Action.WAIT, item, until=next_consent_at[item.client_id, item.location])
    remaining = sum((each.email, each.location) == (item.email, item.location) for each in waiting)
    return NextAction(
        Action.CONSENT,
        item,
        previous_email=last_signed_in_emails.get(item.location, ""),
        remaining_consents=remaining,
    )


def _first_in_state(
    reauthorization: Reauthorization, *states: ItemState
) -> ReauthorizationItem | None:
    return next((item for item in reauthorization.items if item.state in states), None)
