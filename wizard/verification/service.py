"""Verify grants step by step, and make a verified grant its connection's current one.

The steps: the refresh; the account; the organization; one cheap read per product; granted scopes
against requested ones; the clock. A grant without a failed step becomes current, unless it reaches
a different account or organization than the current one, or has fewer scopes. Then the current one
stays until the user decides. A first grant is compared with the account that was asked for.

To check a verified grant again, fewer requests are enough. Their steps replace the earlier ones.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import timedelta

from wizard.errors import WizardError, fail
from wizard.model import (
    Clock,
    Connection,
    Event,
    Failure,
    FailureKind,
    Grant,
    GrantState,
    Organization,
    RequestKind,
    VerificationStep,
    is_same_email,
)
from wizard.model.failure import codes_of
from wizard.oauth import TokenResponse
from wizard.product_api import ProductApi
from wizard.store import Store
from wizard.tokens.budgets import RefreshPurpose
from wizard.tokens.cached_tokens import ConnectionLocks
from wizard.tokens.request_log import ClientRequests
from wizard.tokens.service import TokenService
from wizard.verification.steps import VerificationRun
from wizard.zoho import missing_scopes


def find_mismatch(
    grant: Grant, previous: Grant, expected_scope: tuple[str, ...] | None = None
) -> Failure | None:
    """How `grant` differs from `previous`: ``other-account``, ``account-moved``,
    ``other-organization`` or ``scopes-lost``; None if it doesn't, or if an account is unknown.

    An account is a ZUID in a data center; with the same email address in a different data center,
    it has moved. An organization differs if `grant` reaches the same product but none of its
    organizations. Scopes are lost only if they are in `expected_scope`, if given.
    """
    if grant.account is None or previous.account is None:
        return None
    details = {
        "name": grant.connection,
        "before": previous.account.email,
        "actual": grant.account.email,
        "location_before": previous.location.upper(),
        "location": grant.location.upper(),
    }
    if (grant.account.zuid, grant.location) != (previous.account.zuid, previous.location):
        moved = is_same_email(grant.email, previous.email) and grant.location != previous.location
        return Failure("account-moved" if moved else "other-account", details=details)
    for product in dict.fromkeys(each.product for each in previous.organizations):
        old = [each for each in previous.organizations if each.product == product]
        new = [each for each in grant.organizations if each.product == product]
        if new and not any(_is_same_organization(one, other) for one in old for other in new):
            names = {
                "before": _organization_names(old),
                "actual": _organization_names(new),
                "product": product,
            }
            return Failure("other-organization", details={**details, **names})
    lost = missing_scopes(grant.scope, previous.scope)
    lost = (
        lost
        if expected_scope is None
        else tuple(each for each in lost if not missing_scopes(expected_scope, (each,)))
    )
    if lost:
        return Failure("scopes-lost", details={**details, "missing": ", ".join(lost)})
    return None


def find_unexpected_access(grant: Grant, connection: Connection) -> Failure | None:
    """How `grant`, the first of `connection`, differs from what that expects: ``other-account`` or
    ``other-organization``, also if its account or organization is unknown; None if it doesn't."""
    details = {"name": grant.connection, "location": grant.location.upper()}
    expected_email = connection.expected_email
    if expected_email and not is_same_email(grant.email, expected_email):
        names = {"before": expected_email, "actual": grant.email}
        return Failure("other-account", details={**details, **names})
    if not connection.is_expected_to_reach(grant.organizations):
        expected = (connection.expected_organization, connection.expected_environment)
        actual = _organization_names(grant.organizations) or "none"
        names = {"before": ", ".join(filter(None, expected)), "actual": actual}
        return Failure("other-organization", details={**details, **names})
    return None


def _is_same_organization(one: Organization, other: Organization) -> bool:
    known = one.environment and other.environment
    return one.id == other.id and (not known or one.environment == other.environment)


def _organization_names(organizations: Iterable[Organization]) -> str:
    return ", ".join(
        f"{each.name} ({each.environment})" if each.environment else each.name
        for each in organizations
    )


VERIFIABLE_STATES = (GrantState.NOT_VERIFIED, GrantState.VERIFIED, GrantState.MISMATCH)
"""The states in which a grant can be verified."""

REJECTED_OUTCOMES = codes_of(FailureKind.GRANT, FailureKind.CLIENT)
"""Outcomes of a refresh after which a working access token doesn't show that the grant works."""

RECENT_REFRESH_WINDOW = timedelta(hours=2)
"""Twice the lifetime of an access token: a valid one was issued within it."""


class VerificationService:
    """Verifies grants and decides what follows from the reports."""

    def __init__(
        self,
        store: Store,
        tokens: TokenService,
        client_requests: ClientRequests,
        product_api: ProductApi,
        locks: ConnectionLocks,
        clock: Clock,
    ) -> None:
        self._store = store
        self._tokens = tokens
        self._client_requests = client_requests
        self._product_api = product_api
        self._locks = locks
        self._clock = clock

    def verify(
        self,
        name: str,
        generation: int,
        purpose: RefreshPurpose = RefreshPurpose.REQUIRED,
        known_token: TokenResponse | None = None,
    ) -> Iterator[VerificationStep]:
        """Run all steps for grant `generation` of connection `name`. Each is committed before it is
        yielded; the decision about the grant follows the last one. `known_token` is the answer to a
        refresh of an imported grant just now, which needs no second one.

        Failures are in the steps. Raises ``no-grant``, ``refresh-token-rejected``,
        ``grant-revoked``, or ``verification-under-way``.
        """
        with self._locks.verification(name):
            grant = self._verifiable_grant(name, generation)
            yield from self._verify_all_steps(grant, purpose, known_token)

    def check(
        self,
        name: str,
        generation: int,
        purpose: RefreshPurpose = RefreshPurpose.VERIFICATION,
        *,
        is_confirmed: bool = False,
    ) -> Iterator[VerificationStep]:
        """Check whether grant `generation` of connection `name` still works with as few requests as
        possible: see `VerificationRun.cheapest_steps`. Other steps of its report stay.

        Runs all steps if the grant isn't fully verified. Raises as `verify` does, and if the limits
        don't allow a request: ``token-budget``, ``client-budget``, ``token-rejected``,
        ``throttled``, ``zoho-paused``, or ``refused-for-now``.
        """
        with self._locks.verification(name):
            grant = self._verifiable_grant(name, generation)
            report = self._store.verification_reports.get(name, generation)
            run = self._new_run(grant)
            if (
                report is None
                or not run.has_all_steps(report)
                or grant.state is not GrantState.VERIFIED
            ):
                yield from self._verify_all_steps(grant, purpose)
                return
            completed = []
            force_refresh = self._is_last_refresh_rejected(grant)
            for step in run.cheapest_steps(
                report, purpose, force_refresh=force_refresh, is_confirmed=is_confirmed
            ):
                completed.append(step)
                yield step
            self._store.verification_reports.replace_steps(name, generation, completed)

    def _verify_all_steps(
        self, grant: Grant, purpose: RefreshPurpose, known_token: TokenResponse | None = None
    ) -> Iterator[VerificationStep]:
        name, generation = grant.connection, grant.generation
        previous = self._store.verification_reports.get(name, generation)
        self._store.verification_reports.begin(name, generation, self._clock())
        run, completed = self._new_run(grant, known_token), set()
        for step in run.all_steps(purpose):
            self._store.verification_reports.add_step(name, generation, step)
            completed.add(step.name)
            yield step
        # Keep the earlier result of steps that a failure prevented: an account transfer is compared
        # with what the connection could read.
        for step in previous.steps if previous and previous.finished_at else ():
            if step.name not in completed:
                self._store.verification_reports.add_step(name, generation, step)
        self._store.verification_reports.finish(name, generation, self._clock())
        self._decide(name, generation, run.token)

    def account_of(self, name: str, generation: int) -> str:
        """What the verifications of one account have in common: the account of a grant or, until
        that is known, of the previous one; the connection if neither is known."""
        for grant in (self._store.grants.get(name, generation), self._store.grants.get(name)):
            if grant is not None and grant.account is not None:
                return f"{grant.account.zuid} {grant.location}"
        return name

    def _new_run(self, grant: Grant, known_token: TokenResponse | None = None) -> VerificationRun:
        return VerificationRun(
            grant,
            self._store,
            self._tokens,
            self._client_requests,
            self._product_api,
            self._clock,
            known_token,
        )

    def _is_last_refresh_rejected(self, grant: Grant) -> bool:
        """Whether Zoho rejected the last refresh of the grant, by any process, in the last hours;
        an earlier rejection is in its report or history."""
        requests = self._store.request_log.requests(
            since=self._clock() - RECENT_REFRESH_WINDOW, connection=grant.connection
        )
        own = (each for each in requests if each.generation == grant.generation)
        outcomes = (each.outcome for each in own if each.kind is RequestKind.REFRESH)
        return next(outcomes, "") in REJECTED_OUTCOMES

    def _verifiable_grant(self, name: str, generation: int) -> Grant:
        self._store.connections.get(name)
        grant = self._store.grants.get(name, generation)
        if grant is None:
            raise fail("no-grant", name=name)
        if grant.state not in VERIFIABLE_STATES:
            raise WizardError(grant.end_failure or Failure("grant-revoked", details={"name": name}))
        return grant

    def _decide(self, name: str, generation: int, token: TokenResponse | None) -> None:
        """Make a verified grant current, or mark it as a mismatch; leave one that failed."""
        grant = self._store.grants.get(name, generation)
        report = self._store.verification_reports.get(name, generation)
        if grant is None or report is None or token is None or grant.state not in VERIFIABLE_STATES:
            return
        connection = self._store.connections.get(name)
        current = connection.generation
        if current == generation:
            if report.is_verified and grant.state is GrantState.VERIFIED:
                self._tokens.cache_access_token(grant, token)
            elif report.is_verified:  # restored from a backup
                self._activate(grant, token, current)
            return
        previous = self._store.grants.get(name)
        expected_scope = self._store.grants.expected_scope(name, generation)
        if previous is not None:
            mismatch = find_mismatch(grant, previous, expected_scope)
        elif report.is_verified or (grant.account is not None and grant.organizations):
            mismatch = find_unexpected_access(grant, connection)
        elif grant.account is not None:  # its organizations couldn't be read
            mismatch = find_unexpected_access(
                grant, replace(connection, expected_organization="", expected_environment="")
            )
        else:
            mismatch = None
        if mismatch is not None:
            self._mark_mismatch(grant, mismatch)
        elif report.is_verified and grant.state is GrantState.NOT_VERIFIED:
            self._activate(grant, token, current)

    def _activate(self, grant: Grant, token: TokenResponse, current: int) -> None:
        self._tokens.activate_grant(grant, current, token)
        self._record_event("grant-verified", grant)

    def _mark_mismatch(self, grant: Grant, failure: Failure) -> None:
        if grant.state is GrantState.MISMATCH:
            return
        self._store.grants.set_state(
            grant.connection,
            grant.generation,
            GrantState.MISMATCH,
            failure=failure,
            expected=grant.state,
        )
        self._record_event("grant-mismatch", grant)

    def _record_event(self, kind: str, grant: Grant) -> None:
        details = {"generation": str(grant.generation)}
        self._store.events.record(Event(self._clock(), grant.connection, kind, details))


log = logging.getLogger(__name__)


MAX_PARALLEL_VERIFICATIONS = 5
"""As for checks: Zoho's products allow few parallel calls."""

Task = tuple[str, int, RefreshPurpose]
"""A connection, a generation, and what the refresh is for."""


class VerificationWorker:
    """Verifies grants in threads, several at a time and those of one account one after the other,
    and then calls `continue_with` with the connection, once at a time.

    Pages submit a grant and read its growing report from the store. If the process dies, the report
    has no end, and the pages show it as unfinished.
    """

    def __init__(
        self, verification: VerificationService, continue_with: Callable[[str], object]
    ) -> None:
        self._verification = verification
        self._continue_with = continue_with
        self._waiting: list[tuple[str, Task]] = []
        """Each with its account."""
        self._pending: set[tuple[str, int]] = set()
        self._threads: dict[str, threading.Thread] = {}
        """By the account that is being verified."""
        self._lock = threading.Lock()
        self._continuing = threading.Lock()

    def submit(
        self, name: str, generation: int, purpose: RefreshPurpose = RefreshPurpose.REQUIRED
    ) -> None:
        """Queue grant `generation` of connection `name`, unless it is queued or running already."""
        account = self._verification.account_of(name, generation)
        with self._lock:
            if (name, generation) in self._pending:
                return
            self._pending.add((name, generation))
            self._waiting.append((account, (name, generation, purpose)))
            self._start_next()

    def pending(self) -> frozenset[tuple[str, int]]:
        """The grants that are queued or being verified, by connection and generation."""
        with self._lock:
            return frozenset(self._pending)

    def stop(self, timeout_seconds: float = 30.0) -> None:
        """Finish what is queued within `timeout_seconds`."""
        deadline = time.monotonic() + timeout_seconds
        while (seconds_left := deadline - time.monotonic()) > 0:
            with self._lock:
                thread = next(iter(self._threads.values()), None)
            if thread is None:
                return
            thread.join(seconds_left)

    def _start_next(self) -> None:
        """Under the lock: start what can run now."""
        for each in list(self._waiting):
            account, _ = each
            if account not in self._threads and len(self._threads) < MAX_PARALLEL_VERIFICATIONS:
                self._waiting.remove(each)
                self._threads[account] = threading.Thread(
                    target=self._work, args=each, name="verification", daemon=True
                )
                self._threads[account].start()

    def _work(self, account: str, task: Task) -> None:
        try:
            for _step in self._verification.verify(*task):
                pass
            with self._continuing:
                self._continue_with(task[0])
        except WizardError as error:
            log.warning("verification of %s %d ended: %s", *task[:2], error.failure.code)
        except Exception:
            log.exception("verification of %s %d failed", *task[:2])
        finally:
            with self._lock:
                self._pending.discard(task[:2])
                del self._threads[account]
                self._start_next()
