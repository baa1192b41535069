"""Check many connections: several at a time, those of one client one after the other.

Connections with a valid access token are checked with it and cost no token request. The others
share the budgets of their client. If those are used up, a check waits, or leaves the rest pending.
After several failures in a row, no more connections of that data center are checked, until one
retry at the end. In the background, one run follows the other, and pages show the progress.
"""

import logging
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from wizard.diagnosis.incidents import NOT_CHECKED_KINDS, UNREACHABLE_KINDS
from wizard.diagnosis.service import DiagnosisService
from wizard.diagnosis.tokens import informative_related_grants
from wizard.errors import WizardError, fail
from wizard.model import Clock, Failure, Grant, GrantState, StepState, VerificationStep
from wizard.store import Store
from wizard.tokens.budgets import RefreshPurpose
from wizard.tokens.service import TokenService
from wizard.verification.service import VerificationService
from wizard.verification.steps import SUSPECTED_REJECTION


@dataclass(frozen=True)
class CheckResult:
    """The result of checking one connection."""

    name: str
    grant: Grant | None
    """The grant that was checked, as it is now: the result is about this generation."""
    steps: tuple[VerificationStep, ...]
    """The steps of this check."""
    failure: Failure | None

    @property
    def location(self) -> str:
        """The grant's data center; empty if there is no grant."""
        return self.grant.location if self.grant else ""

    @property
    def is_working(self) -> bool:
        return self.failure is None

    @property
    def is_monitored(self) -> bool:
        """It was ever authorized and isn't revoked: only then is a failure news."""
        return self.grant is not None and self.grant.state is not GrantState.REVOKED

    @property
    def is_pending(self) -> bool:
        """The limits didn't allow the check: nothing is known for sure."""
        return self.failure is not None and self.failure.kind in NOT_CHECKED_KINDS

    @property
    def is_suspected(self) -> bool:
        """Zoho rejects its access token; the limits didn't allow a test of the refresh token."""
        return self.failure is not None and self.failure.code == SUSPECTED_REJECTION

    @property
    def is_unreachable(self) -> bool:
        """Its data center, or the network on the way, didn't answer."""
        return self.failure is not None and self.failure.kind in UNREACHABLE_KINDS

    @property
    def needs_reauthorization(self) -> bool:
        """Zoho has rejected the grant."""
        return self.grant is not None and self.grant.state is GrantState.NEEDS_REAUTHORIZATION


def check_result(
    name: str,
    grant: Grant | None,
    steps: Sequence[VerificationStep],
    failure: Failure | None = None,
) -> CheckResult:
    """The result for `grant` of connection `name` by `steps`, which `failure`, if any, ended."""
    if grant is not None and grant.state in (GrantState.NEEDS_REAUTHORIZATION, GrantState.MISMATCH):
        failure = grant.failure or failure
    failed = next((step for step in steps if step.state is StepState.FAILED), None)
    if failure is None and failed is not None:
        failure = failed.failure or Failure("unknown")
    return CheckResult(name, grant, tuple(steps), failure)


MAX_PARALLEL_CHECKS = 5
"""Connections that are checked at the same time. In their smallest editions, Zoho's products allow
five parallel calls for an organization, and all connections may belong to one."""

MAX_CONSECUTIVE_FAILURES = 5
"""Unreachable connections in a row after which the others of their data center aren't checked."""

BUSY_RETRY_INTERVAL = timedelta(seconds=10)
"""After this time, what another process is doing may be finished."""

WaitUntil = Callable[[datetime], bool]
"""Waits until a time; False if that is too long, or if the wait was stopped."""

OnStep = Callable[[str, VerificationStep], None]
"""Gets each step of a connection's check, in any thread."""

OnResult = Callable[[CheckResult], None]
"""Gets each result, in any thread."""

SoFar = Callable[[Sequence[CheckResult]], None]
"""Gets the results so far, before a wait."""


class ConnectionChecker:
    """Checks connections."""

    def __init__(
        self,
        store: Store,
        tokens: TokenService,
        verification: VerificationService,
        diagnosis: DiagnosisService,
        clock: Clock,
    ) -> None:
        self._store = store
        self._tokens = tokens
        self._verification = verification
        self._diagnosis = diagnosis
        self._clock = clock

    def check(
        self,
        names: Sequence[str],
        *,
        full: bool = False,
        purpose: RefreshPurpose = RefreshPurpose.VERIFICATION,
        wait: WaitUntil | None = None,
        on_step: OnStep = lambda _name, _step: None,
        on_result: OnResult = lambda _result: None,
        so_far: SoFar = lambda _results: None,
    ) -> tuple[CheckResult, ...]:
        """Check connections `names`; returns the results in their order.

        `full` runs all verification steps. `purpose` says how much of the budgets a refresh may
        take; with INSISTED everything is tried once. `wait` is called if Zoho's limits require it;
        without it, or if it returns False, the rest stays pending. `so_far` gets what was found
        before each wait. Failures are in the results; raises only failures of the store.
        """
        batch = _CheckBatch(
            self._store, self._tokens, self._verification, full, purpose, on_step, on_result
        )
        batch.check(names)
        once = purpose is RefreshPurpose.INSISTED
        if not once:
            batch.retry_unreachable()
        self._recheck_related(batch)
        while wait is not None and not once and (until := batch.pending_until(self._clock())):
            so_far(batch.in_order(names))
            if not wait(until):
                break
            batch.check(batch.pending())
            self._recheck_related(batch)
        return batch.in_order(names)

    def _recheck_related(self, batch: "_CheckBatch") -> None:
        """Check again what shows why others were rejected; a full check has done so."""
        if not batch.is_full:
            batch.check(self._related_to_recheck(batch))

    def _related_to_recheck(self, batch: "_CheckBatch") -> list[str]:
        """Connections that worked before others of their account were rejected. Whether they still
        work shows why."""
        found: dict[str, None] = {}
        for result in batch.newly_rejected:
            failure = result.failure
            if failure is not None:
                evidence = self._diagnosis.evidence(result.name, failure)
                found.update(
                    (each.connection, None) for each in informative_related_grants(evidence)
                )
        return [name for name in found if name in batch.results and batch.results[name].is_working]


class _CheckBatch:
    """One check of many connections, in progress."""

    def __init__(
        self,
        store: Store,
        tokens: TokenService,
        verification: VerificationService,
        full: bool,
        purpose: RefreshPurpose,
        on_step: OnStep,
        on_result: OnResult,
    ) -> None:
        self._store = store
        self._tokens = tokens
        self._verification = verification
        self.is_full = full
        self._purpose = purpose
        self._on_step = on_step
        self._on_result = on_result
        self._lock = threading.Lock()
        self._consecutive_failures: Counter[str] = Counter()
        self.results: dict[str, CheckResult] = {}
        self.newly_rejected: list[CheckResult] = []
        """Results of grants that weren't rejected before this check."""

    def check(self, names: Iterable[str]) -> None:
        """Check connections `names`: those that need a refresh one after the other for each client,
        the longest unrefreshed first, then those with a valid access token."""
        with_token: list[str] = []
        by_client: dict[tuple[str, str], list[str]] = defaultdict(list)
        for name in dict.fromkeys(names):
            grant = self._grant_to_check(name)
            if grant is None or self._tokens.cached_token(grant) is not None:
                with_token.append(name)
            else:
                by_client[grant.client_id, grant.location].append(name)
        refreshed_at = self._store.overviews.last_refreshes() if by_client else {}
        refreshes = [
            sorted(each, key=lambda name: (name in refreshed_at, refreshed_at.get(name), name))
            for each in by_client.values()
        ]
        tasks = [*refreshes, *([name] for name in with_token)]
        with ThreadPoolExecutor(MAX_PARALLEL_CHECKS, "check") as threads:
            try:
                for _ in threads.map(self._check_each, tasks):
                    pass
            finally:  # after Ctrl-C, begin no more
                threads.shutdown(wait=False, cancel_futures=True)

    def retry_unreachable(self) -> None:
        """Try one unreachable connection of each data center again; if it is reachable now, all of
        them: a single failed connection is no outage."""
        unreachable: dict[str, list[str]] = defaultdict(list)
        for name, result in self.results.items():
            if result.is_unreachable:
                unreachable[result.location].append(name)
        for location, (first, *others) in unreachable.items():
            self._consecutive_failures[location] = 0
            self.check([first])
            if not self.results[first].is_unreachable:
                self.check(others)

    def in_order(self, names: Iterable[str]) -> tuple[CheckResult, ...]:
        """The results so far of connections `names`."""
        return tuple(self.results[name] for name in dict.fromkeys(names))

    def pending(self) -> list[str]:
        """The connections that Zoho's limits didn't allow to check."""
        return [name for name, result in self.results.items() if result.is_pending]

    def pending_until(self, now: datetime) -> datetime | None:
        """When the first of these may be checked; None: there is none."""
        failures = (self.results[name].failure for name in self.pending())
        return min(
            (each.retry_at or now + BUSY_RETRY_INTERVAL for each in failures if each), default=None
        )

    def _grant_to_check(self, name: str) -> Grant | None:
        """The grant to check: the current one, or one that is still to be verified."""
        current, candidate = self._store.grants.get(name), self._store.grants.candidate(name)
        if candidate is None:
            return current
        in_use = current is not None and current.state is GrantState.VERIFIED
        return current if in_use and candidate.state is GrantState.MISMATCH else candidate

    def _check_each(self, names: Sequence[str]) -> None:
        for name in names:
            result = self._check_connection(name)
            with self._lock:
                self.results[name] = result
            self._on_result(result)

    def _check_connection(self, name: str) -> CheckResult:
        """Check the grant in use; again if it was replaced meanwhile."""
        while True:
            grant = self._grant_to_check(name)
            if grant is None:
                return check_result(name, None, (), fail("no-grant", name=name).failure)
            if outage := self._unreachable_failure(grant):
                return check_result(name, grant, (), outage)
            result = self._check_grant(grant)
            now = self._grant_to_check(name)
            if now is None or now.generation == grant.generation:
                self._record_result(grant, result)
                return result

    def _check_grant(self, grant: Grant) -> CheckResult:
        name, steps = grant.connection, list[VerificationStep]()
        failure: Failure | None = None
        verification, generation, purpose = self._verification, grant.generation, self._purpose
        if self.is_full:
            running = verification.verify(name, generation, purpose)
        else:
            is_confirmed = self._is_confirmed(grant)
            running = verification.check(name, generation, purpose, is_confirmed=is_confirmed)
        try:
            for step in running:
                steps.append(step)
                self._on_step(name, step)
        except WizardError as error:
            failure = error.failure
        return check_result(name, self._store.grants.get(name, grant.generation), steps, failure)

    def _is_confirmed(self, grant: Grant) -> bool:
        """Whether another grant of the same account and client was rejected in this check."""
        with self._lock:
            rejected = [each.grant for each in self.newly_rejected if each.grant]
        return any(_account_and_client(each) == _account_and_client(grant) for each in rejected)

    def _unreachable_failure(self, grant: Grant) -> Failure | None:
        """Why a connection isn't checked: its data center didn't answer for others."""
        with self._lock:
            if self._consecutive_failures[grant.location] < MAX_CONSECUTIVE_FAILURES:
                return None
            unreachable = [each for each in self.results.values() if each.is_unreachable]
        failures = [each.failure for each in unreachable if each.location == grant.location]
        return next((replace(each, sent=False) for each in failures if each), None)

    def _record_result(self, grant: Grant, result: CheckResult) -> None:
        with self._lock:
            if result.is_unreachable:
                self._consecutive_failures[grant.location] += 1
            elif not result.is_pending:
                self._consecutive_failures[grant.location] = 0
            if result.needs_reauthorization and grant.state is not GrantState.NEEDS_REAUTHORIZATION:
                self.newly_rejected.append(result)


def _account_and_client(grant: Grant) -> tuple[str, str, str]:
    """The account, its data center and the client. Unknown accounts are never the same."""
    who = grant.account.zuid if grant.account else f"? {grant.connection}"
    return who, grant.location, grant.client_id


log = logging.getLogger(__name__)

POLL_INTERVAL_SECONDS = 0.2
"""How often to read the clock during a wait for Zoho's limits."""


@dataclass(frozen=True)
class Progress:
    """The progress of a run."""

    total: int
    remaining: frozenset[str]
    """The connections without a result yet."""
    waiting_until: datetime | None
    """Until when the run waits for Zoho's limits; None if it doesn't."""

    @property
    def completed(self) -> int:
        return self.total - len(self.remaining)


class BackgroundChecks:
    """One run at a time; names that are submitted meanwhile are checked after it."""

    def __init__(self, checks: ConnectionChecker, clock: Clock) -> None:
        self._checks = checks
        self._clock = clock
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._next: dict[str, None] = {}
        self._progress: Progress | None = None

    def begin(self, names: Iterable[str]) -> None:
        """Check connections `names` soon."""
        with self._lock:
            self._next.update(dict.fromkeys(names))
            if self._next and self._thread is None and not self._stopped.is_set():
                self._thread = threading.Thread(
                    target=self._work, name="background-checks", daemon=True
                )
                self._thread.start()

    def progress(self) -> Progress | None:
        """The progress of the current run; None if there is none."""
        with self._lock:
            if self._progress is None and self._next:
                return Progress(len(self._next), frozenset(self._next), None)
            return self._progress

    def stop(self, timeout_seconds: float = 30.0) -> None:
        """Start no more runs, and wait up to `timeout_seconds` for the current one."""
        self._stopped.set()
        with self._lock:
            thread = self._thread
        if thread is not None:
            thread.join(timeout_seconds)

    def _work(self) -> None:
        while names := self._take_next():
            try:
                self._checks.check(names, on_result=self._record_result, wait=self._wait)
            except Exception:
                log.exception("a background check failed")

    def _take_next(self) -> list[str]:
        """The names of the next run; an empty list ends the thread."""
        with self._lock:
            names, self._next = list(self._next), {}
            if self._stopped.is_set() or not names:
                self._progress, self._thread = None, None
                return []
            self._progress = Progress(len(names), frozenset(names), None)
            return names

    def _record_result(self, result: CheckResult) -> None:
        with self._lock:
            now = self._progress
            if now is not None and not result.is_pending:
                self._progress = Progress(now.total, now.remaining - {result.name}, None)

    def _wait(self, until: datetime) -> bool:
        with self._lock:
            if self._progress is not None:
                self._progress = Progress(self._progress.total, self._progress.remaining, until)
        while self._clock() < until:
            if self._stopped.wait(POLL_INTERVAL_SECONDS):
                return False
        return True
