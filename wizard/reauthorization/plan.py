"""What a repair will take: whose sign-ins, how many consents, and how long they must wait."""

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
    """Connections that one person accepts one after the other, with one client."""

    email: str
    """Who must sign in; empty where no consent has told it yet."""
    location: str
    client_id: str
    client_name: str
    names: tuple[str, ...]
    wait: timedelta
    """Until the last of these consents may begin."""


@dataclass(frozen=True)
class ReauthorizationPlan:
    """The groups of a repair in the order in which they are done."""

    groups: tuple[ConsentGroup, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The connections, in order."""
        return tuple(name for group in self.groups for name in group.names)

    @property
    def sign_in_count(self) -> int:
        """How often somebody signs in: once an account and data centre."""
        return len({(group.email, group.location) for group in self.groups})

    @property
    def wait(self) -> timedelta:
        """Until the last consent of all may begin."""
        return max((group.wait for group in self.groups), default=timedelta(0))


def in_consent_order(items: Iterable[ReauthorizationItem]) -> list[ReauthorizationItem]:
    """The lines in the order of their consents: each person signs in once a data centre."""
    return sorted(items, key=_sort_key)


def create_plan(
    items: Iterable[ReauthorizationItem],
    consent_schedules: Mapping[str, ConsentSchedule],
    now: datetime,
) -> ReauthorizationPlan:
    """The plan for `lines`; `paces` says how fast each client's consents may follow each other."""
    left = dict(consent_schedules)
    groups = []
    for _key, members in groupby(in_consent_order(items), key=lambda line: _sort_key(line)[:-1]):
        group = list(members)
        first, at = group[0], now
        for _line in group:
            at = left[first.client_id].next_start(now)
            left[first.client_id] = left[first.client_id].with_start(at)
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
    """Begin the consent of the line; after a failure, which the line carries, or leave it out."""
    WAIT = "wait"
    """Zoho's limits, or the network, are in the way of the line; go on at `Next.until`."""
    PAUSED = "paused"
    VERIFY = "verify"
    """Prove the line's grant once more: what kept it from being proved is over."""
    VERIFYING = "verifying"
    """Look again soon: nobody consents further before it is known who consented."""
    DECIDE = "decide"
    """The line is held: accept it deliberately, or give its grant back and try again."""
    DELIVERING = "delivering"
    """No consent is left; the last programs are being handed their credentials."""
    DONE = "done"


@dataclass(frozen=True)
class Reauthorization:
    """A repair under way."""

    started_at: datetime
    paused: bool
    items: tuple[ReauthorizationItem, ...]
    """In the order of their consents."""

    @property
    def is_done(self) -> bool:
        """Nothing is left that asks for the person."""
        return all(item.state in SETTLED_STATES for item in self.items)


@dataclass(frozen=True)
class NextAction:
    """What comes next in a repair."""

    action: Action
    item: ReauthorizationItem | None = None
    until: datetime | None = None
    previous_email: str = ""
    """Who consented last in the line's data centre since the repair began, and may be signed in
    there still: another person than `line.email` must sign out first."""
    remaining_consents: int = 0
    """Consents that are left for the line's person in this data centre, with this one."""


_CONSENT_STATES = (
    ItemState.WAITING_FOR_CONSENT,
    ItemState.PENDING,
    ItemState.AUTHORIZATION_FAILED,
    ItemState.NOT_VERIFIED,
    ItemState.REQUEST_SENT,
)
"""States that wait for a consent, in the order in which they get it: what failed comes last."""
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
    """What comes next. `free` says when each client may begin a consent for a data centre,
    `signed_in` who consented last in each data centre."""
    line = _first_in_state(reauthorization, ItemState.NEEDS_DECISION)
    if line is not None:
        return NextAction(
            Action.DECIDE, line, previous_email=last_signed_in_emails.get(line.location, "")
        )
    asked = [
        line for state in _CONSENT_STATES for line in reauthorization.items if line.state is state
    ]
    if asked and reauthorization.paused:
        return NextAction(Action.PAUSED)
    stuck = _first_in_state(reauthorization, *RETRYING_STATES)
    if stuck is not None:
        until = stuck.retry_at or now
        return (
            NextAction(Action.VERIFY, stuck)
            if until <= now
            else NextAction(Action.WAIT, stuck, until)
        )
    for state, step in _RUNNING_STATES:
        line = _first_in_state(reauthorization, state)
        if line is not None and (step is Action.VERIFYING or not asked):
            return NextAction(step, line)
    return (
        _consent_action(asked, next_consent_at, last_signed_in_emails, now)
        if asked
        else NextAction(Action.DONE)
    )


def _consent_action(
    waiting: list[ReauthorizationItem],
    next_consent_at: Mapping[tuple[str, str], datetime],
    last_signed_in_emails: Mapping[str, str],
    now: datetime,
) -> NextAction:
    """The first consent that may begin now, else the one that may begin first."""
    item = next(
        (each for each in waiting if next_consent_at[each.client_id, each.location] <= now), None
    )
    if item is None:
        item = min(waiting, key=lambda each: next_consent_at[each.client_id, each.location])
        return NextAction(Action.WAIT, item, until=next_consent_at[item.client_id, item.location])
    left = sum((each.email, each.location) == (item.email, item.location) for each in waiting)
    return NextAction(
        Action.CONSENT,
        item,
        previous_email=last_signed_in_emails.get(item.location, ""),
        remaining_consents=left,
    )


def _first_in_state(
    reauthorization: Reauthorization, *states: ItemState
) -> ReauthorizationItem | None:
    return next((item for item in reauthorization.items if item.state in states), None)
