"""Refresh and revoke grants: retries, rotation, and Zoho's rejection of a refresh token."""

from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from random import SystemRandom
from typing import TypeVar

from wizard.errors import Conflict, WizardError, explain, fail
from wizard.locks import refusal
from wizard.model import (
    AttemptState,
    Clock,
    Event,
    Failure,
    Grant,
    GrantState,
    RequestKind,
    Token,
)
from wizard.model.failure import codes_with
from wizard.oauth import OAuth, TokenResponse, is_rotated
from wizard.store import Store
from wizard.store.database import store_surely
from wizard.timefmt import format_time
from wizard.tokens.budgets import RefreshPurpose
from wizard.tokens.cached_tokens import CachedTokens, digest
from wizard.tokens.request_log import ClientRequests, RequestLog
from wizard.zoho import Zoho, has_added_scopes

Result = TypeVar("Result")

REJECTION_CODES = frozenset({"invalid-code"})
"""The only codes that mean the grant needs re-authorization. RFC 6749's ``invalid_grant`` is read
as the same code."""

MAX_STORE_TRIES = 3
"""Tries to store a new refresh token, which exists nowhere else."""

ANSWER_POLL_INTERVAL_SECONDS = 0.5

MAX_TRIES = 3
FIRST_DELAY, MAX_DELAY = timedelta(seconds=1), timedelta(seconds=30)
"""The longest first delay, doubled with each try, and the longest of all."""
RETRY_WINDOW = timedelta(seconds=30)
"""No try begins later. With the transport's deadline, the last one ends within a minute."""

_random = SystemRandom()


class TokenRefresher:
    """Refreshes and revokes grants. The caller holds the connection's lock."""

    def __init__(
        self,
        store: Store,
        cached_tokens: CachedTokens,
        request_log: RequestLog,
        client_requests: ClientRequests,
        oauth: OAuth,
        zoho: Zoho,
        clock: Clock,
        sleep: Callable[[float], None],
    ) -> None:
        self._store = store
        self._cached_tokens = cached_tokens
        self._request_log = request_log
        self._client_requests = client_requests
        self._oauth = oauth
        self._zoho = zoho
        self._clock = clock
        self._sleep = sleep

    def refresh(
        self,
        grant: Grant,
        purpose: RefreshPurpose,
        *,
        is_forced: bool = False,
        is_confirmed: bool = False,
        reported: str = "",
    ) -> TokenResponse:
        """Refresh `grant`, whatever its state, and return the answer without caching it.

        Replacing a rejected access token, or any refresh that `is_forced`, counts as the forced
        refresh of this minute. If the server returns the access token that was rejected, or the
        `reported` one, that token stays rejected.

        If Zoho rejects the refresh token, a second request confirms it, unless other evidence does
        (`is_confirmed`) or a program needs a token in place of a rejected one: no second request is
        reserved for that.

        Raises ``refresh-token-rejected``, ``no-grant``, ``missing-secret``,
        ``rotation-not-stored``, what `RequestLog.check_refresh` raises, and failures of
        the accounts server and the transport.
        """
        is_rejected = self._cached_tokens.is_rejected(grant)
        if is_rejected:
            self._cached_tokens.check_forced_refresh(grant)
            if purpose is RefreshPurpose.REQUIRED:
                purpose = RefreshPurpose.REJECTED
        is_confirmed = is_confirmed or purpose is RefreshPurpose.REJECTED
        response = self._refresh_or_reject(grant, purpose, is_confirmed=is_confirmed)
        self._decide_added_scopes(grant, response.scope)
        name, value = grant.connection, response.access_token
        if value == reported:
            self._cached_tokens.mark_rejected(name, grant.generation, value)
        is_repeated = self._cached_tokens.was_rejected(name, value)
        if is_rejected or is_forced or is_repeated:
            self._cached_tokens.note_forced_refresh(grant, pending=is_repeated)
        return response

    def revoke(self, grant: Grant) -> None:
        """Revoke `grant`'s refresh token at the data center that issued it, then here. A token
        that Zoho doesn't know counts as revoked."""
        client = self._store.clients.get(grant.client_id)
        secret = self._client_requests.secret_for(client, grant.location)
        data_center = self._zoho.data_center(grant.location)
        grant = self._as_stored(grant)
        self._with_retries(
            lambda: self._request_log.run(
                self._request_log.new_request(
                    RequestKind.REVOCATION, grant.client_id, grant.location, grant
                ),
                lambda: self._oauth.revoke(
                    data_center, grant.client_id, secret, grant.refresh_token
                ),
            )
        )
        self._cached_tokens.remove_up_to(grant)
        self._store.grants.set_state(
            grant.connection, grant.generation, GrantState.REVOKED, expected=grant.state
        )
        self._record_event("grant-revoked", grant, generation=str(grant.generation))

    def request_enhancement_token(self, grant: Grant) -> Token:
        """Request a token with which the user can add scopes to `grant`. Raises ``missing-secret``,
        what `RequestLog.check_refresh` raises, and failures of the accounts server and the
        transport."""
        grant = self._as_stored(grant)
        client = self._store.clients.get(grant.client_id)
        secret = self._client_requests.secret_for(client, grant.location)
        data_center = self._zoho.data_center(grant.location)
        return self._request_log.run(
            self._request_log.new_request(
                RequestKind.ENHANCEMENT, grant.client_id, grant.location, grant
            ),
            lambda: self._oauth.request_enhancement_token(
                data_center, grant.client_id, secret, grant.refresh_token
            ),
            check=partial(self._request_log.check_refresh, grant, RefreshPurpose.VERIFICATION),
        )

    def _decide_added_scopes(self, grant: Grant, granted: tuple[str, ...]) -> None:
        """Decide by the scopes of a refresh whether Zoho has added scopes in place."""
        if not granted:
            return
        for attempt in self._store.attempts.undecided(grant.connection, grant.generation):
            with suppress(Conflict):  # another process has decided
                if has_added_scopes(granted, grant.scope, attempt.scope):
                    self._store.grants.add_scope(grant, attempt, granted)
                    self._record_event("scopes-added", grant, scope=", ".join(attempt.scope))
                else:
                    self._store.attempts.advance(attempt.id, attempt.state, AttemptState.ABANDONED)

    # Zoho's rejection of a refresh token

    def _refresh_or_reject(
        self, grant: Grant, purpose: RefreshPurpose, *, is_confirmed: bool
    ) -> TokenResponse:
        """Refresh. If Zoho rejects the refresh token, read the row again and try a second time,
        unless a rotated refresh token may have been lost."""
        self._await_other_machine(grant, purpose)
        grant = self._as_stored(grant)
        is_lost = self._request_log.unanswered(grant) is not None
        if self._store.rejections.is_refresh_token_rejected(_fingerprint(grant)):
            raise WizardError(self._mark_rejected(grant, grant.failure or Failure("invalid-code")))
        try:
            return self._refresh(grant, purpose)
        except WizardError as error:
            if error.failure.code not in REJECTION_CODES:
                raise
            first = error.failure
        again = self._store.grants.get(grant.connection, grant.generation)
        if again is None:
            raise fail("no-grant", name=grant.connection)
        if is_lost or (is_confirmed and again == grant):
            raise WizardError(self._mark_rejected(again, first))
        if purpose is RefreshPurpose.INSISTED:  # the first answer has shown that no wait applies
            purpose = RefreshPurpose.VERIFICATION
        try:
            return self._refresh(again, purpose)
        except WizardError as error:
            if error.failure.code not in REJECTION_CODES:
                raise
            rejected = self._mark_rejected(again, error.failure, times="twice")
            raise WizardError(rejected) from None

    def _await_other_machine(self, grant: Grant, purpose: RefreshPurpose) -> None:
        """Wait until no other machine may be sending the same refresh token: the answer may replace
        it, and sending it again could revoke all. Raises ``refresh-under-way`` at once while there
        is a usable access token."""
        while self._request_log.is_sent_elsewhere(grant):
            if purpose is RefreshPurpose.EARLY:
                raise refusal("refresh-under-way", grant.connection)
            self._sleep(ANSWER_POLL_INTERVAL_SECONDS)

    def _as_stored(self, grant: Grant) -> Grant:
        """`grant` with the refresh token that is stored now, the only one that may be sent. Raises
        ``no-grant``."""
        stored = self._store.grants.get(grant.connection, grant.generation)
        if stored is None:
            raise fail("no-grant", name=grant.connection)
        return replace(grant, refresh_token=stored.refresh_token, rotated_at=stored.rotated_at)

    def _mark_rejected(self, grant: Grant, failure: Failure, **details: str) -> Failure:
        details = {**failure.details, "name": grant.connection, **details}
        rejected = replace(failure, code="refresh-token-rejected", details=details)
        self._cached_tokens.remove_up_to(grant)
        if grant.state is not GrantState.NEEDS_REAUTHORIZATION:
            self._store.rejections.add_refresh_token(_fingerprint(grant))
            self._store.grants.set_state(
                grant.connection,
                grant.generation,
                GrantState.NEEDS_REAUTHORIZATION,
                failure=rejected,
                expected=grant.state,
            )
            self._record_event("grant-rejected", grant, generation=str(grant.generation))
        return rejected

    # requests

    def _refresh(self, grant: Grant, purpose: RefreshPurpose) -> TokenResponse:
        """Send a refresh. If Zoho rejects a new client secret, send it once more with the previous
        one."""
        client = self._store.clients.get(grant.client_id)
        secret = self._client_requests.secret_for(client, grant.location)
        try:
            response = self._request_refresh(grant, secret, purpose)
        except WizardError as error:
            previous = client.previous_secret_for(grant.location)
            if error.failure.code != "invalid-client-secret" or previous is None:
                raise
            response = self._request_refresh(grant, previous, purpose)
            self._store.clients.restore_secret(client.client_id, grant.location)
            self._record_event("secret-restored", grant, location=grant.location)
            return response
        if client.previous_secret_for(grant.location) is not None:
            self._store.clients.confirm_secret(client.client_id, grant.location)
        return response

    def _request_refresh(self, grant: Grant, secret: str, purpose: RefreshPurpose) -> TokenResponse:
        """Send a refresh; retry it if no usable token is left and the refresh token doesn't rotate:
        see `retry_delay`."""
        if purpose is RefreshPurpose.INSISTED:
            self._note_ignored_wait(grant)
        is_urgent = purpose not in (RefreshPurpose.EARLY, RefreshPurpose.INSISTED)
        if is_urgent and grant.rotated_at is None:
            return self._with_retries(lambda: self._request_refresh_once(grant, secret, purpose))
        return self._request_refresh_once(grant, secret, purpose)

    def _with_retries(self, send: Callable[[], Result]) -> Result:
        """Return what `send` returns; retry as `retry_delay` says."""
        started_at, tries = self._clock(), 0
        while True:
            try:
                return send()
            except WizardError as error:
                tries, now = tries + 1, self._clock()
                delay = retry_delay(error.failure, tries, now - started_at, now)
                if delay is None:
                    raise
            self._sleep(delay.total_seconds())

    def _note_ignored_wait(self, grant: Grant) -> None:
        until = self._request_log.named_wait(grant)
        if until is not None:
            self._record_event("wait-ignored", grant, until=format_time(until, None))

    def _request_refresh_once(
        self, grant: Grant, secret: str, purpose: RefreshPurpose
    ) -> TokenResponse:
        data_center = self._zoho.data_center(grant.location)

        def refresh() -> TokenResponse:
            with self._store.database.reserve_space() if grant.rotated_at else nullcontext():
                response = self._oauth.refresh(
                    data_center, grant.client_id, secret, grant.refresh_token
                )
            self._rotate(grant, response.new_refresh_token)
            return response.token()

        try:
            return self._request_log.run(
                self._request_log.new_request(
                    RequestKind.REFRESH, grant.client_id, grant.location, grant
                ),
                refresh,
                check=partial(self._request_log.check_refresh, grant, purpose),
            )
        except WizardError as error:
            if error.failure.code == "throttled":
                self._record_event("counted-by-client", grant, location=grant.location)
            raise

    def _rotate(self, grant: Grant, refresh_token: str | None) -> None:
        """Store a rotated refresh token before the rest of the response is used. Raises
        ``rotation-not-stored``."""
        if refresh_token is None:
            return
        for tries_left in reversed(range(MAX_STORE_TRIES)):
            try:
                store_surely(
                    partial(self._store.grants.rotate, grant, refresh_token, self._clock()),
                    self._sleep,
                )
            except WizardError as error:
                # `store_surely` has waited for long enough.
                is_away = error.failure.code in codes_with("database_unreachable")
                if not tries_left or is_away or isinstance(error, Conflict):
                    details = {"name": grant.connection, "reason": explain(error.failure).title}
                    raise WizardError(Failure("rotation-not-stored", details=details)) from error
            else:
                return
            self._sleep(1)

    def _record_event(self, kind: str, grant: Grant, **details: str) -> None:
        self._store.events.record(Event(self._clock(), grant.connection, kind, details))


def retry_delay(
    failure: Failure, tries: int, elapsed: timedelta, now: datetime
) -> timedelta | None:
    """How long to wait before the next try after `tries` took `elapsed`; None: don't retry.

    Zoho doesn't rotate refresh tokens, so a retry costs only quota. Retry after a failure of the
    network or the server; never after a rate limit, an OAuth error, a redirect, or a proxy's
    answer. If a server rotates refresh tokens, it may have carried out the first request. Using the
    old token again could then revoke every token of the authorization (RFC 9700, 4.14.2).

    The delay is random (full jitter), so that processes that failed together don't retry together.
    A ``Retry-After`` is respected if there is time for it.
    """
    if is_rotated(failure) or tries >= MAX_TRIES or failure.code not in codes_with("retryable"):
        return None
    chosen = min(FIRST_DELAY * 2 ** (tries - 1), MAX_DELAY) * _random.random()
    requested = failure.retry_at - now if failure.retry_at else timedelta(0)
    delay = max(chosen, requested)
    return delay if elapsed + delay <= RETRY_WINDOW else None


def _fingerprint(grant: Grant) -> str:
    """A digest of a refresh token with its client and data center: for others, the same token may
    be valid."""
    return digest(f"{grant.client_id} {grant.location} {grant.refresh_token}")
