"""What an operator watches: counts, times, budgets, and early warnings. Sends nothing to Zoho."""

import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from wizard.delivery.service import DeliveryService, DestinationStatus
from wizard.model import Clock, Failure, GrantState
from wizard.model.failure import codes_with
from wizard.model.states import ConnectionState
from wizard.store import ConnectionOverview, Store
from wizard.tokens.budgets import LIMITS, WINDOW, is_counted
from wizard.vault import KeyStorage

BACKUP_MAX_AGE = timedelta(days=30)
"""An older backup lacks what changed since, such as new connections."""

MIN_INTERVAL = timedelta(seconds=5)
"""Other users may ask at any rate, and each observation reads the whole store."""

NEARLY_USED = LIMITS.token_requests_budget - 2
"""Token requests in a window that a program with one access token an hour never sends."""


@dataclass(frozen=True)
class ObservedConnection:
    """One connection."""

    name: str
    state: ConnectionState
    last_success_at: datetime | None
    """When Zoho last accepted it, in a refresh or a check."""
    token_requests: int
    """Of the last ten minutes."""


@dataclass(frozen=True)
class Observations:
    """An installation at one time."""

    at: datetime
    connections: tuple[ObservedConnection, ...]
    destinations: int
    destination_problems: tuple[DestinationStatus, ...]
    last_checked_at: datetime | None
    last_backup_at: datetime | None
    key: KeyStorage
    has_notify_failure: bool
    is_deactivated: bool
    warnings: tuple[Failure, ...]

    @property
    def states(self) -> Mapping[ConnectionState, int]:
        """How many connections are in each state."""
        found = Counter(each.state for each in self.connections)
        return {state: found[state] for state in ConnectionState}

    @property
    def oldest_success_at(self) -> datetime | None:
        """The last success of the connection that has waited longest for one; None: one never had
        any, or there are none."""
        times = [each.last_success_at for each in self.connections if each.state.is_authorized]
        known = [each for each in times if each is not None]
        return min(known) if known and len(known) == len(times) else None


class Observer:
    """Observes one installation."""

    def __init__(
        self, store: Store, delivery: DeliveryService, key: KeyStorage, clock: Clock
    ) -> None:
        self._store = store
        self._delivery = delivery
        self._key = key
        self._clock = clock

    def observe(self) -> Observations:
        """Read everything. Runs no command of a destination."""
        now, store = self._clock(), self._store
        rows = store.overviews.all()
        refreshed = store.overviews.last_refreshes()
        recent = store.request_log.requests(since=now - WINDOW)
        requests = Counter(each.connection for each in recent if is_counted(each))
        connections = tuple(
            ObservedConnection(
                name := row.connection.name,
                row.status(now).state,
                _last_success(row, refreshed.get(name)),
                requests[name],
            )
            for row in rows
        )
        last_backup_at = store.installation.backed_up_at()
        destinations = store.destinations.all()
        return Observations(
            at=now,
            connections=connections,
            destinations=len(destinations),
            destination_problems=tuple(self._delivery.problems()) if destinations else (),
            last_checked_at=store.monitoring.last_checked_at(),
            last_backup_at=last_backup_at,
            key=self._key,
            has_notify_failure=store.monitoring.notify_failure() is not None,
            is_deactivated=store.installation.deactivated_at() is not None,
            warnings=(
                *_budget_warnings(connections),
                *_account_warnings(rows),
                *_backup_warnings(connections, last_backup_at, now),
                *_key_warnings(connections, self._key),
            ),
        )


class RecentObservations:
    """Observations that are at most `MIN_INTERVAL` old, and not made more often. Threads share
    them."""

    def __init__(self, observe: Callable[[], Observations], clock: Clock) -> None:
        self._observe = observe
        self._clock = clock
        self._lock = threading.Lock()
        self._last: Observations | None = None

    def get(self) -> Observations:
        """The last observations if they are recent, else new ones."""
        with self._lock:
            last = self._last
            if last is None or not timedelta(0) <= self._clock() - last.at < MIN_INTERVAL:
                self._last = last = self._observe()
            return last


def warning_codes() -> tuple[str, ...]:
    """The codes of all warnings."""
    return codes_with("early_warning")


def _last_success(row: ConnectionOverview, refreshed_at: datetime | None) -> datetime | None:
    check = row.last_check
    times = [refreshed_at, check.at if check and check.failure is None else None]
    return max((each for each in times if each), default=None)


def _budget_warnings(connections: Iterable[ObservedConnection]) -> Iterable[Failure]:
    names = [each.name for each in connections if each.token_requests >= NEARLY_USED]
    if names:
        details = {"names": ", ".join(names), "most": str(LIMITS.token_requests_budget)}
        yield Failure("budget-nearly-used", details=details)


def _account_warnings(rows: Collection[ConnectionOverview]) -> Iterable[Failure]:
    """Accounts whose refresh tokens Zoho rejects, all of them, although it accepts their client."""
    accounts = defaultdict(list)
    for row in rows:
        if row.grant and row.grant.account and row.grant.state is not GrantState.REVOKED:
            accounts[row.grant.account.email, row.grant.location].append(row.grant)
    working = {
        (grant.client_id, grant.location)
        for grants in accounts.values()
        for grant in grants
        if grant.state is GrantState.VERIFIED
    }
    for (email, location), grants in sorted(accounts.items()):
        is_gone = all(each.state is GrantState.NEEDS_REAUTHORIZATION for each in grants)
        if is_gone and any((each.client_id, location) in working for each in grants):
            details = {"email": email, "count": str(len(grants))}
            yield Failure("account-gone", details=details)


def _backup_warnings(
    connections: Collection[ObservedConnection], last_backup_at: datetime | None, now: datetime
) -> Iterable[Failure]:
    if connections and (last_backup_at is None or now - last_backup_at > BACKUP_MAX_AGE):
        days = str((now - last_backup_at).days) if last_backup_at else ""
        yield Failure("backup-old", details={"days": days} if days else {})


def _key_warnings(
    connections: Collection[ObservedConnection], key: KeyStorage
) -> Iterable[Failure]:
    if connections and key.strength == "weak":
        yield Failure("key-weak", details={"path": key.detail})
