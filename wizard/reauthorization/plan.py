"""Plan a re-authorization (sign-ins, consents, waits), and decide its next action."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import groupby

from wizard.model.states import ItemState
from wizard.reauthorization.items import RETRYING_STATES, SETTLED_STATES, ReauthorizationItem
from wizard.tokens.budgets import ConsentSchedule


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
    """Poll: the next consent waits until it is known which account approved this one."""
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
_RUNNING_STATES = (
    (ItemState.VERIFYING, Action.VERIFYING),
    (ItemState.DELIVERING, Action.DELIVERING),
)


def determine_next_action(
    reauthorization: Reauthorization,
    next_consent_at: Mapping[tuple[str, str], datetime],
    last_signed_in_emails: Mapping[str, str],
    now: datetime,
) -> NextAction:
    """The next action. `next_consent_at` says when the next consent can start, by client ID and
    data center; `last_signed_in_emails` which account approved last, by data center."""
    undecided = _first_in_state(reauthorization, ItemState.NEEDS_DECISION)
    if undecided is not None:
        previous_email = last_signed_in_emails.get(undecided.location, "")
        return NextAction(Action.DECIDE, undecided, previous_email=previous_email)
    waiting = [
        item for state in _CONSENT_STATES for item in reauthorization.items if item.state is state
    ]
    if waiting and reauthorization.paused:
        return NextAction(Action.PAUSED)
    retrying = _first_in_state(reauthorization, *RETRYING_STATES)
    if retrying is not None:
        until = retrying.retry_at or now
        if until <= now:
            return NextAction(Action.VERIFY, retrying)
        return NextAction(Action.WAIT, retrying, until)
    for state, action in _RUNNING_STATES:
        running = _first_in_state(reauthorization, state)
        if running is not None and (action is Action.VERIFYING or not waiting):
            return NextAction(action, running)
    if not waiting:
        return NextAction(Action.DONE)
    return _consent_action(waiting, next_consent_at, last_signed_in_emails, now)


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
