"""The ladder: what proves a grant, rung by rung, each committed as it is climbed.

The refresh works → who am I → which organization → one cheap read per product → scopes granted
against asked → the clock. A grant whose climb ends without a failed rung becomes its connection's
current one, unless it reaches another account or organization than the one before, or less: then
it waits for the person, and the one before stays current.

Whether a proved grant still works is told by fewer asks, whose rungs replace those before.
"""

from collections.abc import Iterator
from datetime import timedelta

from wizard.errors import fail
from wizard.model import (
    Clock,
    Event,
    Failure,
    FailureKind,
    Grant,
    GrantState,
    RequestKind,
    VerificationStep,
)
from wizard.model.failure_codes import codes_of
from wizard.oauth import TokenResponse
from wizard.product_api import ProductApi
from wizard.store import Store
from wizard.tokens.budgets import RefreshPurpose
from wizard.tokens.client_requests import ClientRequests
from wizard.tokens.connection_locks import ConnectionLocks
from wizard.tokens.service import TokenService
from wizard.verification.identity import find_mismatch
from wizard.verification.steps import VerificationRun

VERIFIABLE_STATES = (GrantState.NOT_VERIFIED, GrantState.VERIFIED, GrantState.MISMATCH)
"""The states of grants whose ladder can be climbed."""

REJECTED_OUTCOMES = codes_of(FailureKind.GRANT, FailureKind.CLIENT)
"""Outcomes of a refresh after which an access token that lives on tells only half of the truth."""

RECENT_REFRESH_WINDOW = timedelta(hours=2)
"""Twice the life of an access token: one that lives now was made within it."""


class VerificationService:
    """Climbs the ladder of a grant and decides what follows from it."""

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
        self, name: str, generation: int, purpose: RefreshPurpose = RefreshPurpose.REQUIRED
    ) -> Iterator[VerificationStep]:
        """Climb the ladder of grant `generation` of connection `name`, committing each rung
        before it is yielded; the decision falls when the iterator is exhausted.

        A failed rung is a rung, not an exception. Raises `WizardError` when there is no such
        grant (``no-grant``), it is rejected or revoked, or it is being verified now
        (``verification-under-way``).
        """
        with self._locks.verification(name):
            yield from self._verify_all_steps(self._verifiable_grant(name, generation), purpose)

    def check(
        self,
        name: str,
        generation: int,
        need: RefreshPurpose = RefreshPurpose.VERIFICATION,
        *,
        is_confirmed: bool = False,
    ) -> Iterator[VerificationStep]:
        """Ask what tells whether grant `generation` of connection `name` still works, the cheapest
        first and no more than that: see `Climb.cheapest`. What was not asked stands as it was.

        A grant that was not proved to the end climbs the whole ladder. Raises as `climb` does, and
        where Zoho's limits keep it from being asked: ``token-budget``, ``client-budget``,
        ``token-rejected``, ``throttled``, ``zoho-paused``, or ``refused-for-now``.
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
                yield from self._verify_all_steps(grant, need)
                return
            completed = []
            renew = self._is_last_refresh_rejected(grant)
            for step in run.cheapest_steps(
                report, need, force_refresh=renew, is_confirmed=is_confirmed
            ):
                completed.append(step)
                yield step
            self._store.verification_reports.replace_steps(name, generation, completed)

    def _verify_all_steps(
        self, grant: Grant, purpose: RefreshPurpose
    ) -> Iterator[VerificationStep]:
        name, generation = grant.connection, grant.generation
        before = self._store.verification_reports.get(name, generation)
        self._store.verification_reports.begin(name, generation, self._clock())
        run, completed = self._new_run(grant), set()
        for step in run.all_steps(purpose):
            self._store.verification_reports.add_step(name, generation, step)
            completed.add(step.name)
            yield step
        # What a failure kept from being asked stands as it was: whoever takes a connection over is
        # held to what it read before.
        for step in before.steps if before and before.finished_at else ():
            if step.name not in completed:
                self._store.verification_reports.add_step(name, generation, step)
        self._store.verification_reports.finish(name, generation, self._clock())
        self._decide(name, generation, run.token)

    def _new_run(self, grant: Grant) -> VerificationRun:
        return VerificationRun(
            grant, self._store, self._tokens, self._client_requests, self._product_api, self._clock
        )

    def _is_last_refresh_rejected(self, grant: Grant) -> bool:
        """Whether the last refresh of the grant was refused, whoever asked for it lately; what
        was refused before stands in its receipt or history."""
        requests = self._store.request_log.requests(
            since=self._clock() - RECENT_REFRESH_WINDOW, connection=grant.connection
        )
        own = (ask for ask in requests if ask.generation == grant.generation)
        outcomes = (ask.outcome for ask in own if ask.kind is RequestKind.REFRESH)
        return next(outcomes, "") in REJECTED_OUTCOMES

    def _verifiable_grant(self, name: str, generation: int) -> Grant:
        self._store.connections.get(name)
        grant = self._store.grants.get(name, generation)
        if grant is None:
            raise fail("no-grant", name=name)
        if grant.state not in VERIFIABLE_STATES:
            code = (
                "refresh-token-rejected"
                if grant.state is GrantState.NEEDS_REAUTHORIZATION
                else "grant-revoked"
            )
            raise fail(code, name=name)
        return grant

    def _decide(self, name: str, generation: int, token: TokenResponse | None) -> None:
        """Make a proved grant current, hold one that reaches somebody else, leave a failed one."""
        grant = self._store.grants.get(name, generation)
        report = self._store.verification_reports.get(name, generation)
        if grant is None or report is None or token is None or grant.state not in VERIFIABLE_STATES:
            return
        current = self._store.connections.get(name).generation
        if current == generation:
            if report.is_verified and grant.state is GrantState.VERIFIED:
                self._tokens.cache_access_token(grant, token)
            elif report.is_verified:  # restored from a backup
                self._activate(grant, token, current)
            return
        before = self._store.grants.get(name)
        expected_scope = self._store.grants.expected_scope(name, generation)
        other = find_mismatch(grant, before, expected_scope) if before else None
        if other is not None:
            self._mark_mismatch(grant, other)
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
