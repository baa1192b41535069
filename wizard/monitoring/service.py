"""Check all connections, and notify once of each failure and once when everything works again.

Of machines that share a store, one checks the connections, and each its own destinations.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from wizard.delivery.service import DeliveryService
from wizard.diagnosis.incidents import Incident, Incidents
from wizard.errors import WizardError, fail
from wizard.model import Clock, Failure, Grant, GrantState
from wizard.monitoring.checks import CheckResult, ConnectionChecker, WaitUntil
from wizard.monitoring.notifications import (
    DEFAULT_REMINDER_INTERVAL,
    Notification,
    Notifier,
    all_clear,
    connection_of,
    incident_to_json,
    new_notifications,
    repeated_notifications,
    sample_notification,
)
from wizard.serialization import to_json_value
from wizard.store import ConnectionOverview, Store
from wizard.store.installation import machine_of
from wizard.tokens.cached_tokens import ConnectionLocks

log = logging.getLogger(__name__)

_LOCK_TIMEOUT_SECONDS = 120.0
"""How long to wait while another process notifies: it may run two commands of up to 90 seconds."""

_RETRY_INTERVAL = timedelta(minutes=10)
"""Between two tries to notify of one rejected grant: programs request its token again and again,
and each try checks all connections of its account."""


@dataclass(frozen=True)
class CheckRun:
    """A check of many connections, and the incidents it found."""

    at: datetime
    results: tuple[CheckResult, ...]
    incidents: tuple[Incident, ...]
    is_of_connections: bool = True
    """False: only the destinations here were checked, because another machine checks the
    connections."""

    @property
    def is_healthy(self) -> bool:
        """Every connection was checked and works, and so does every destination."""
        return not self.incidents

    def to_json(self) -> dict[str, Any]:
        """The check as JSON."""
        incidents = [incident_to_json(each) for each in self.incidents]
        return {"at": to_json_value(self.at), "checked": len(self.results), "incidents": incidents}


class MonitoringService:
    """Checks connections and notifies by the stored command or URL."""

    def __init__(
        self,
        store: Store,
        checks: ConnectionChecker,
        incidents: Incidents,
        delivery: DeliveryService,
        locks: ConnectionLocks,
        clock: Clock,
        environment: Mapping[str, str],
    ) -> None:
        self._store = store
        self._checks = checks
        self._incidents = incidents
        self._delivery = delivery
        self._locks = locks
        self._clock = clock
        self._notifier = Notifier(store, clock, environment)
        self._attempted_at: dict[str, datetime] = {}

    def monitored_connections(self) -> list[str]:
        """The connections that were ever authorized and aren't revoked, by name."""
        return [row.connection.name for row in self._store.overviews.all() if _is_monitored(row)]

    def check_destinations(self) -> CheckRun:
        """Check only the destinations here."""
        return replace(self._with_destinations(self.check_run_of(())), is_of_connections=False)

    def was_checked_elsewhere(self, max_age: timedelta) -> bool:
        """Whether another machine checked all connections within `max_age`."""
        if not self._store.database.is_shared:
            return False
        at, machine = self._store.monitoring.last_check()
        is_other = machine not in (None, self._store.database.machine_id)
        # Far in the future, the server's clock was wrong then.
        return is_other and at is not None and abs(self._clock() - at) < max_age

    def run_checks(
        self,
        names: Sequence[str] | None = None,
        wait: WaitUntil | None = None,
        on_result: Callable[[CheckResult], None] = lambda _result: None,
        before_wait: Callable[[CheckRun], None] = lambda _check_run: None,
    ) -> CheckRun:
        """Check connections `names`, by default all monitored ones and all destinations.
        `before_wait` gets the results so far before each wait for Zoho's limits."""
        is_of_all = names is None
        names = self.monitored_connections() if names is None else names

        def so_far(results: Sequence[CheckResult]) -> None:
            before_wait(self.check_run_of(results))

        check_run = self.check_run_of(
            self._checks.check(names, wait=wait, on_result=on_result, so_far=so_far)
        )
        return self._with_destinations(check_run) if is_of_all else check_run

    def _with_destinations(self, check_run: CheckRun) -> CheckRun:
        of_destinations = self._incidents.of_destinations(self._delivery.problems())
        return replace(check_run, incidents=(*check_run.incidents, *of_destinations))

    def check_run_of(self, results: Sequence[CheckResult]) -> CheckRun:
        """The check with these results and their incidents."""
        failures = {each.name: each.failure for each in results if each.failure is not None}
        working = [each.name for each in results if each.is_working]
        incidents = self._incidents.from_failures(failures, working)
        return CheckRun(self._clock(), tuple(results), incidents)

    # notifications

    def notify(
        self, check_run: CheckRun, reminder_interval: timedelta = DEFAULT_REMINDER_INTERVAL
    ) -> tuple[Failure, ...]:
        """Notify of the incidents of a check of all connections: of new ones, again every
        `reminder_interval` (0: never), and once when everything works again. After a failure, the
        next check sends the notification again. Returns the failures.
        """
        with self._lock(_LOCK_TIMEOUT_SECONDS):
            notified = self._store.monitoring.notified()
            rejected = {mark for mark in notified if self._is_still_rejected(mark)}
            kept = rejected | self._marks_of_others(notified, check_run)
            is_healthy = check_run.is_healthy and not kept
            notifications = new_notifications(
                check_run.incidents, notified, check_run.at, reminder_interval
            )
            if is_healthy and self._store.monitoring.is_all_clear_due():
                notifications = [all_clear(check_run.at)]
            if not notifications and self._store.monitoring.notify_failure():
                notifications = repeated_notifications(
                    check_run.incidents, notified, check_run.at, is_healthy=is_healthy
                )
            failures = self._send(notifications)
            self._store.monitoring.record_check(
                check_run.at,
                kept | _ongoing_marks(check_run, notified),
                is_settled=is_healthy and not failures,
                is_of_connections=check_run.is_of_connections,
            )
            return failures

    def notify_certain(self, check_run: CheckRun) -> tuple[Failure, ...]:
        """Notify of new and certain incidents of a check that isn't finished; returns the
        failures."""
        with self._lock(_LOCK_TIMEOUT_SECONDS):
            notified = self._store.monitoring.notified()
            return self._send(new_notifications(check_run.incidents, notified, check_run.at))

    def test(self) -> Failure | None:
        """Send a test notification; returns the failure, if any. Raises ``notify-not-set``."""
        if not self._notifier.is_configured:
            raise fail("notify-not-set")
        with self._lock(_LOCK_TIMEOUT_SECONDS):
            return self._notifier.send(sample_notification(self._clock()))

    def notify_rejected(self, name: str) -> tuple[Failure, ...]:
        """Notify at once that Zoho rejected the grant of connection `name`, unless that was done
        already. First checks the other connections of its account, so that one notification has all
        failures. Returns the failures to notify.

        Does nothing while another process notifies, or soon after the last try.
        """
        grant = self._store.grants.get(name)
        if (
            not self._notifier.is_configured
            or grant is None
            or grant.state is not GrantState.NEEDS_REAUTHORIZATION
        ):
            return ()
        with suppress(WizardError), self._lock(0, name):
            notified = self._store.monitoring.notified()
            if _mark(grant) in notified or self._was_recently_attempted(grant):
                return ()
            check_run = self.run_checks([name, *self._related_connections(grant)])
            incidents = [each for each in check_run.incidents if _mark(grant) in each.marks]
            return self._send(new_notifications(incidents, notified, check_run.at))
        return ()

    def notify_rejected_in_background(self, name: str) -> None:
        """As `notify_rejected`, in a thread: the caller answers a program."""
        threading.Thread(
            target=self._notify_rejected_safely, args=(name,), name="notifier", daemon=True
        ).start()

    def _notify_rejected_safely(self, name: str) -> None:
        try:
            failures = self.notify_rejected(name)
        except Exception:
            log.exception("the notification about %s failed", name)
        else:
            for failure in failures:
                log.warning("the notification about %s failed: %s", name, failure.code)

    def _was_recently_attempted(self, grant: Grant) -> bool:
        mark, now = _mark(grant), self._clock()
        last = self._attempted_at.get(mark)
        if last is not None and now - last < _RETRY_INTERVAL:
            return True
        self._attempted_at[mark] = now
        return False

    def _lock(self, timeout_seconds: float, name: str = "") -> AbstractContextManager[None]:
        """Hold the lock for notifying; raises ``notification-under-way``."""
        return self._locks.notifications(timeout_seconds, name)

    def _is_still_rejected(self, mark: str) -> bool:
        """Whether the grant in `mark` is current and still needs re-authorization."""
        grant = self._store.grants.get(connection_of(mark))
        return (
            grant is not None
            and grant.state is GrantState.NEEDS_REAUTHORIZATION
            and _mark(grant) == mark
        )

    def _marks_of_others(self, notified: Iterable[str], check_run: CheckRun) -> set[str]:
        """The marks that other machines check: those of their destinations, and those of
        connections unless `check_run` is of them."""
        mine = {self._store.database.machine_id, *([""] if check_run.is_of_connections else [])}
        return {mark for mark in notified if machine_of(mark) not in mine}

    def _related_connections(self, grant: Grant) -> list[str]:
        """The verified connections of the grant's account."""
        if grant.account is None:
            return []
        records = self._store.grant_history.records(grant.client_id, grant.account.zuid)
        return [
            each.connection
            for each in records
            if each.is_current
            and each.state is GrantState.VERIFIED
            and each.account is not None
            and (each.account.zuid, each.location) == (grant.account.zuid, grant.location)
        ]

    def _send(self, notifications: Iterable[Notification]) -> tuple[Failure, ...]:
        """Send each notification and store its marks as soon as it arrives; returns the failures.
        Without a command or URL, does nothing."""
        failures: list[Failure] = []
        for each in notifications if self._notifier.is_configured else ():
            if failure := self._notifier.send(each):
                failures.append(failure)
            else:
                self._store.monitoring.record_notified(each.marks, self._clock())
        return tuple(failures)


def _ongoing_marks(check_run: CheckRun, notified: Iterable[str]) -> set[str]:
    """The marks of certain incidents, and known marks of connections that couldn't be checked."""
    certain = [each for each in check_run.incidents if not each.is_pending]
    found = {mark for each in certain for mark in each.marks}
    unchecked = {name for each in check_run.incidents if each.is_pending for name in each.names}
    return found | {mark for mark in notified if connection_of(mark) in unchecked}


def _mark(grant: Grant) -> str:
    """The mark of a rejected grant, as in `Incident.marks`."""
    return f"refresh-token-rejected {grant.connection} {grant.generation}"


def _is_monitored(row: ConnectionOverview) -> bool:
    grant = row.candidate or row.grant
    return grant is not None and grant.state is not GrantState.REVOKED
