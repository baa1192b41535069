"""Somebody is told of each connection that fails once, and once more when all is well again."""

import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from wizard.diagnosis.incidents import Incident, Incidents
from wizard.errors import WizardError, fail
from wizard.locks import hold_lock
from wizard.model import Clock, Failure, Grant, GrantState
from wizard.monitoring.checks import CheckResult, ConnectionChecker, WaitUntil
from wizard.monitoring.notifications import (
    REMIND,
    Message,
    Notifier,
    again,
    all_well,
    incident_to_json,
    news,
    test_message,
)
from wizard.paths import Paths
from wizard.serialization import to_json_value
from wizard.store import ConnectionOverview, Store

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CheckRun:
    """One look at many connections, and the causes of what it found."""

    at: datetime
    results: tuple[CheckResult, ...]
    incidents: tuple[Incident, ...]

    @property
    def is_healthy(self) -> bool:
        """Every connection was asked, and works."""
        return not self.incidents

    def to_json(self) -> dict[str, Any]:
        """The look as scripts read it."""
        causes = [incident_to_json(each) for each in self.incidents]
        return {"at": to_json_value(self.at), "checked": len(self.results), "incidents": causes}


class MonitoringService:
    """Tells by the command, or at the address, that this home remembers."""

    def __init__(
        self,
        store: Store,
        checks: ConnectionChecker,
        incidents: Incidents,
        paths: Paths,
        clock: Clock,
        environment: Mapping[str, str],
    ) -> None:
        self._store = store
        self._checks = checks
        self._incidents = incidents
        self._paths = paths
        self._clock = clock
        self._notifier = Notifier(store, clock, environment)
        self._attempted_at: dict[str, datetime] = {}

    def monitored_connections(self) -> list[str]:
        """The connections that were ever authorized and not given up, by name."""
        return [row.connection.name for row in self._store.overviews.all() if _is_monitored(row)]

    def run_checks(
        self,
        names: Sequence[str] | None = None,
        wait: WaitUntil | None = None,
        on_result: Callable[[CheckResult], None] = lambda _verdict: None,
        before_wait: Callable[[CheckRun], None] = lambda _look: None,
    ) -> CheckRun:
        """Look at connections `names`, by default at all that were ever authorized. `before_wait`
        is given what was found so far, each time before Zoho's limits are waited for."""
        names = self.monitored_connections() if names is None else names

        def so_far(verdicts: Sequence[CheckResult]) -> None:
            before_wait(self.check_run_of(verdicts))

        return self.check_run_of(
            self._checks.check(names, wait=wait, on_result=on_result, so_far=so_far)
        )

    def check_run_of(self, results: Sequence[CheckResult]) -> CheckRun:
        """The look that came to these verdicts."""
        failures = {each.name: each.failure for each in results if each.failure is not None}
        well = [each.name for each in results if each.is_working]
        incidents = self._incidents.from_failures(failures, well)
        return CheckRun(self._clock(), tuple(results), incidents)

    def notify(self, check_run: CheckRun, remind: timedelta = REMIND) -> tuple[Failure, ...]:
        """Tell of what `look` at all connections found and nobody was told of yet, again of what
        goes on since `remind` (0: never), and once of all being well again. What could not be told
        is, after the next look.

        Returns what failed of it.
        """
        with self._telling(_LOCK_TIMEOUT_SECONDS):
            notified_before = self._store.monitoring.notified()
            dead = {mark for mark in notified_before if self._is_dead(mark)}
            well = check_run.is_healthy and not dead
            messages = news(check_run.incidents, notified_before, check_run.at, remind)
            if well and self._store.monitoring.is_all_clear_due():
                messages = [all_well(check_run.at)]
            if not messages and self._store.monitoring.notify_failure():
                messages = again(check_run.incidents, notified_before, check_run.at, well=well)
            failures = self._send(messages)
            self._store.monitoring.record_check(
                check_run.at,
                dead | _going_on(check_run, notified_before),
                is_settled=well and not failures,
            )
            return failures

    def tell_certain(self, look: CheckRun) -> tuple[Failure, ...]:
        """Tell of what is certain in a look that goes on, and nobody was told of yet.

        Returns what failed of it.
        """
        with self._telling(_LOCK_TIMEOUT_SECONDS):
            return self._send(news(look.incidents, self._store.monitoring.notified(), look.at))

    def test(self) -> Failure | None:
        """Send a test notification; returns why it did not arrive. Raises ``notify-not-set``."""
        if not self._notifier.ready:
            raise fail("notify-not-set")
        with self._telling(_LOCK_TIMEOUT_SECONDS):
            return self._notifier.send(test_message(self._clock()).said)

    def notify_rejected(self, name: str) -> tuple[Failure, ...]:
        """Tell at once that the grant of connection `name` was found dead, if this home knows how
        and nobody was told yet. The other connections of its account are looked at before, so
        that one message says how far it reaches.

        Returns what failed of it; where somebody else is telling, or it was tried a moment ago,
        nothing is done.
        """
        grant = self._store.grants.get(name)
        if (
            not self._notifier.ready
            or grant is None
            or grant.state is not GrantState.NEEDS_REAUTHORIZATION
        ):
            return ()
        with suppress(WizardError), self._telling(0, name):
            notified_before = self._store.monitoring.notified()
            if _mark(grant) in notified_before or self._was_recently_attempted(grant):
                return ()
            check_run = self.run_checks([name, *self._related_connections(grant)])
            cause = [each for each in check_run.incidents if _mark(grant) in each.marks]
            return self._send(news(cause, notified_before, check_run.at))
        return ()

    def notify_rejected_in_background(self, name: str) -> None:
        """As `raise_dead`, in a thread of its own: whoever asked for a token is answered now."""
        threading.Thread(
            target=self._notify_rejected_safely, args=(name,), name="notifier", daemon=True
        ).start()

    def _notify_rejected_safely(self, name: str) -> None:
        try:
            failures = self.notify_rejected(name)
        except Exception:
            log.exception("the alarm for %s broke off", name)
        else:
            for failure in failures:
                log.warning("the alarm for %s was not taken: %s", name, failure.code)

    def _was_recently_attempted(self, grant: Grant) -> bool:
        mark, now = _mark(grant), self._clock()
        last = self._attempted_at.get(mark)
        if last is not None and now - last < _RETRY_INTERVAL:
            return True
        self._attempted_at[mark] = now
        return False

    def _telling(self, timeout_seconds: float, name: str = "") -> AbstractContextManager[None]:
        """The turn to tell; raises ``telling-under-way`` after `patience` seconds."""
        return hold_lock(
            self._paths.lock_file(":notifications"), timeout_seconds, "telling-under-way", name
        )

    def _is_dead(self, mark: str) -> bool:
        """Whether what `mark` says of a grant is still so, whatever a look has found before."""
        grant = self._store.grants.get(mark.split()[1])
        return (
            grant is not None
            and grant.state is GrantState.NEEDS_REAUTHORIZATION
            and _mark(grant) == mark
        )

    def _related_connections(self, grant: Grant) -> list[str]:
        """The other connections that work with the grant's account."""
        if grant.account is None:
            return []
        grant_records = self._store.grant_history.records(grant.client_id, grant.account.zuid)
        alike = [
            each for each in grant_records if each.is_current and each.state is GrantState.VERIFIED
        ]
        return [
            each.connection
            for each in alike
            if each.account is not None
            and (each.account.zuid, each.location) == (grant.account.zuid, grant.location)
        ]

    def _send(self, messages: Iterable[Message]) -> tuple[Failure, ...]:
        """Send each message, and write down at once what is known since it arrived; returns what
        failed. Where nobody can be told, nothing counts as told."""
        failures: list[Failure] = []
        for message in messages if self._notifier.ready else ():
            if failure := self._notifier.send(message.said):
                failures.append(failure)
            else:
                self._store.monitoring.record_notified(message.marks, self._clock())
        return tuple(failures)


_LOCK_TIMEOUT_SECONDS = 120.0
"""Seconds for somebody else's telling: a command has a time, and there may be two of them."""


_RETRY_INTERVAL = timedelta(minutes=10)
"""Between two tries to tell of one dead grant: programs ask again and again, and each try looks at
all connections of its account, and runs a command that has failed."""


def _going_on(look: CheckRun, known: Iterable[str]) -> set[str]:
    """The marks of what goes on: what `look` found, and what is known of connections that could
    not be asked."""
    found = {mark for each in look.incidents if not each.is_pending for mark in each.marks}
    unknown = {name for each in look.incidents if each.is_pending for name in each.names}
    return found | {mark for mark in known if mark.split()[1] in unknown}


def _mark(grant: Grant) -> str:
    """As `Trouble.marks` has it."""
    return f"grant-dead {grant.connection} {grant.generation}"


def _is_monitored(row: ConnectionOverview) -> bool:
    grant = row.candidate or row.grant
    return grant is not None and grant.state is not GrantState.REVOKED
