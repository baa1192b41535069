"""One refresh of a grant, asked as often as that is worth it; and how a grant is found dead."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from random import SystemRandom
from typing import TypeVar

from wizard.errors import Conflict, WizardError, explain, fail
from wizard.fastpath.token_file import CLOCK_TOLERANCE_SECONDS
from wizard.locks import hold_lock
from wizard.model import AccessToken, Failure, Grant, GrantState, RequestKind
from wizard.model.failure_codes import codes_with
from wizard.oauth import TokenResponse, is_rotated
from wizard.timefmt import format_time
from wizard.tokens.budgets import RefreshPurpose
from wizard.tokens.client_requests import ClientRequests
from wizard.tokens.request_log import wait

Result = TypeVar("Result")

LOCK_TIMEOUT_SECONDS = 65.0
"""Seconds to wait for another process's refresh: all its tries and some air."""

FORCED_REST = timedelta(seconds=60)
"""At most one forced refresh in this span, whoever asks for it: a program that loops on 401, or one
that reports every token as rejected, must not drain the budget."""

REJECTION_CODES = frozenset({"invalid-code"})
"""The one explicit word that says a refresh token is gone (RFC 6749's invalid_grant is read as
the same by the accounts server's judge)."""


STORING_TRIES = 3
"""Tries to store a new refresh token, which is lost with its process."""


class TokenRefresher(ClientRequests):
    """Refreshes grants under the lock of their connection."""

    def _cached_token_of(self, grant: Grant) -> AccessToken | None:
        token = self._token_cache.get(grant.connection)
        if token is None or token.generation != grant.generation:
            return None
        issued_at = token.issued_at or token.expires_at
        if issued_at > self._clock() + timedelta(seconds=CLOCK_TOLERANCE_SECONDS):
            return None
        return None if self._was_rejected(token.connection, token.value) else token

    def _seconds_left(self, token: AccessToken) -> float:
        return (token.expires_at - self._clock()).total_seconds()

    @contextmanager
    def _refresh_lock(
        self, name: str, wait: bool = True, stop_waiting_if: Callable[[], bool] = lambda: False
    ) -> Iterator[None]:
        deadline, path = LOCK_TIMEOUT_SECONDS if wait else 0, self._paths.lock_file(name)
        with hold_lock(path, deadline, "refresh-under-way", name, stop_waiting_if):
            yield

    def _remove_cached_token_of(self, grant: Grant) -> None:
        """Drop the cached token unless it is of a later grant. One that can't be read, or that was
        issued in the future, goes too: the fast path may be able to use it later."""
        token = self._token_cache.get(grant.connection)
        if token is None or token.generation <= grant.generation:
            self._token_cache.remove(grant.connection)

    # rejected access tokens

    def reject(self, grant: Grant, access_token: str) -> None:
        """Make sure that no path hands out `access_token` again, which a product of Zoho's has
        rejected. If it isn't the cached one, there is nothing to do.

        The file goes first: whatever happens then, the fast path can't print it.
        """
        name = grant.connection

        def cached() -> AccessToken | None:
            token = self._token_cache.get(name)
            return token if token is not None and token.value == access_token else None

        if cached() is None:
            return
        with self._refresh_lock(name):
            token = cached()
            if token is None:  # another program reported it too, and was faster
                return
            self._token_cache.remove(name)
            self._store.rejections.reject_access_token(
                name, token.generation, _digest(access_token)
            )
            self._record_event("token-rejected", name, generation=str(token.generation))

    def is_rejected(self, grant: Grant) -> bool:
        """Whether the last access token of `grant` was rejected, and none was issued since."""
        known = self._store.rejections.get(grant.connection)
        return known is not None and known.pending and known.generation == grant.generation

    def _was_rejected(self, name: str, access_token: str) -> bool:
        known = self._store.rejections.get(name)
        return known is not None and known.fingerprint == _digest(access_token)

    def _replace(
        self,
        grant: Grant,
        need: RefreshPurpose,
        *,
        forced: bool = False,
        witnessed: bool = False,
        reported: str = "",
    ) -> TokenResponse:
        """Refresh `grant`, under its lock. What replaces a rejected access token, or is `forced`
        otherwise, counts as the forced refresh of this minute; a rejected one waits for its turn.

        A server may answer with the access token that was rejected, or is `reported` as rejected
        now: it stays rejected. Where a program needs a token, the rejection is a witness of the
        grant's death, because no second request is reserved to confirm it.
        """
        rejected = self.is_rejected(grant)
        if rejected:
            self._check_forced_rest(grant)
            need = RefreshPurpose.REJECTED if need is RefreshPurpose.REQUIRED else need
        witnessed = witnessed or need is RefreshPurpose.REJECTED
        response = self._refresh_or_reject(grant, need, is_confirmed=witnessed)
        name, generation, value = grant.connection, grant.generation, response.access_token
        if value == reported:
            self._store.rejections.reject_access_token(name, generation, _digest(value))
        repeated = self._was_rejected(name, value)
        if rejected or forced or repeated:
            with suppress(WizardError):  # the token is worth more than the line about it
                self._store.rejections.note_forced(
                    name, generation, self._clock(), pending=repeated
                )
        return response

    def _check_forced_rest(self, grant: Grant) -> None:
        known, now = self._store.rejections.get(grant.connection), self._clock()
        forced_at = known.forced_at if known else None
        if forced_at is None or forced_at > now + timedelta(seconds=CLOCK_TOLERANCE_SECONDS):
            return
        if now < forced_at + FORCED_REST:
            raise wait("token-rejected", forced_at + FORCED_REST, name=grant.connection)

    def _refresh_or_reject(
        self, grant: Grant, purpose: RefreshPurpose, *, is_confirmed: bool = False
    ) -> TokenResponse:
        """Refresh; when Zoho says the grant is gone, read the row again and confirm once: by a
        second ask, or by what has `witnessed` the death already. Where a rotated refresh token was
        lost, the old one is presented once and no more."""
        grant = self._as_stored(grant)
        lost = self._request_log.unanswered(grant) is not None
        if self._store.rejections.is_refresh_token_rejected(_fingerprint(grant)):
            raise WizardError(self._mark_rejected(grant, grant.failure or Failure("invalid-code")))
        try:
            return self._refresh(grant, purpose)
        except WizardError as first:
            if first.failure.code not in REJECTION_CODES:
                raise
            said = first.failure
        again = self._store.grants.get(grant.connection, grant.generation)
        if again is None:
            raise fail("no-grant", name=grant.connection)
        if lost or (is_confirmed and again == grant):
            raise WizardError(self._mark_rejected(again, said, times=""))
        try:
            # Its answer has shown that no wait is in the way, so that none is to be ignored.
            return self._refresh(
                again,
                RefreshPurpose.VERIFICATION if purpose is RefreshPurpose.INSISTED else purpose,
            )
        except WizardError as second:
            if second.failure.code not in REJECTION_CODES:
                raise
            raise WizardError(self._mark_rejected(again, second.failure)) from None

    def _as_stored(self, grant: Grant) -> Grant:
        """`grant` with the refresh token that is stored now: under the lock, the only one that may
        be sent. Raises ``no-grant``."""
        stored = self._store.grants.get(grant.connection, grant.generation)
        if stored is None:
            raise fail("no-grant", name=grant.connection)
        token, rotated_at = stored.refresh_token, stored.rotated_at
        return replace(grant, refresh_token=token, rotated_at=rotated_at)

    def _mark_rejected(self, grant: Grant, failure: Failure, **details: str) -> Failure:
        details = {"name": grant.connection, **details}
        dead = replace(failure, code="grant-dead", details=details)
        self._remove_cached_token_of(grant)
        if grant.state is not GrantState.NEEDS_REAUTHORIZATION:
            self._store.rejections.add_refresh_token(_fingerprint(grant))
            self._store.grants.set_state(
                grant.connection,
                grant.generation,
                GrantState.NEEDS_REAUTHORIZATION,
                failure=dead,
                expected=grant.state,
            )
            self._record_event("grant-rejected", grant.connection, generation=str(grant.generation))
        return dead

    def _refresh(self, grant: Grant, purpose: RefreshPurpose) -> TokenResponse:
        """Ask once; with a secret that was replaced and is refused, once more with the old one."""
        client = self._store.clients.get(grant.client_id)
        secret = self.secret_for(client, grant.location)
        try:
            response = self._request_refresh(grant, secret, purpose)
        except WizardError as error:
            previous = client.previous_secret_for(grant.location)
            if error.failure.code != "invalid-client-secret" or previous is None:
                raise
            response = self._request_refresh(grant, previous, purpose)
            self._store.clients.restore_secret(client.client_id, grant.location)
            self._record_event("secret-restored", grant.connection, location=grant.location)
            return response
        if client.previous_secret_for(grant.location) is not None:
            self._store.clients.confirm_secret(client.client_id, grant.location)
        return response

    def _request_refresh(self, grant: Grant, secret: str, purpose: RefreshPurpose) -> TokenResponse:
        """Ask; where the way there fails and no token is left to go on with, ask again. A refresh
        token that rotates is sent once: see `retries`."""
        if purpose is RefreshPurpose.INSISTED:
            self._note_insisted(grant)
        if (
            purpose in (RefreshPurpose.EARLY, RefreshPurpose.INSISTED)
            or grant.rotated_at is not None
        ):
            return self._request_refresh_once(grant, secret, purpose)
        return self._with_retries(lambda: self._request_refresh_once(grant, secret, purpose))

    def _with_retries(self, send: Callable[[], Result]) -> Result:
        """What `ask` returns, asked again after a pause as long as that is worth it."""
        begun, tried = self._clock(), 0
        while True:
            try:
                return send()
            except WizardError as error:
                tried, now = tried + 1, self._clock()
                pause = retry_delay(error.failure, tried, now - begun, now)
                if pause is None:
                    raise
            self._sleep(pause.total_seconds())

    def _note_insisted(self, grant: Grant) -> None:
        """Note in the history that a person has it asked in spite of a wait, if there is one."""
        until = self._request_log.named_wait(grant)
        if until is not None:
            self._record_event("wait-ignored", grant.connection, until=format_time(until, None))

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
                self._new_request(RequestKind.REFRESH, grant.client_id, grant.location, grant),
                refresh,
                check=partial(self._request_log.check_refresh, grant, purpose),
            )
        except WizardError as error:
            if error.failure.code == "throttled":
                self._record_event("counted-by-client", grant.connection, location=grant.location)
            raise

    def _rotate(self, grant: Grant, refresh_token: str | None) -> None:
        """Commit the refresh token that replaces the one that was sent, before anything else is
        done with the answer. Raises ``rotation-not-stored``: the answer is then not used."""
        if refresh_token is None:
            return
        for left in reversed(range(STORING_TRIES)):
            try:
                self._store.grants.rotate(grant, refresh_token, self._clock())
            except WizardError as error:
                if not left or isinstance(error, Conflict):
                    details = {"name": grant.connection, "reason": explain(error.failure).title}
                    raise WizardError(Failure("rotation-not-stored", details=details)) from error
            else:
                return
            self._sleep(1)


def _fingerprint(grant: Grant) -> str:
    """Enough to know a rejected token again: 256 random bits need no key to stay unguessable. Its
    client and data centre belong to it: elsewhere the same token may be good.
    """
    whole = f"{grant.client_id} {grant.location} {grant.refresh_token}"
    return _digest(whole)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


MAX_TRIES = 3
FIRST_DELAY, MAX_DELAY = timedelta(seconds=1), timedelta(seconds=30)
"""The longest first pause, doubled with each try, and where the doubling ends."""
RETRY_WINDOW = timedelta(seconds=30)
"""A try that begins within it ends, by the transport's deadline, within a minute."""

_random = SystemRandom()


def retry_delay(
    failure: Failure, tries: int, elapsed: timedelta, now: datetime
) -> timedelta | None:
    """How long to wait before the next try, after `tried` of them took `spent`; None: no more.

    Full jitter: anything up to the longest pause, so that those who failed together do not come
    back together. A ``Retry-After`` is waited for where there is time for it.
    """
    if is_rotated(failure):
        return None  # the refresh token that was sent is used up
    if tries >= MAX_TRIES or failure.code not in codes_with("retryable"):
        return None
    chosen = min(FIRST_DELAY * 2 ** (tries - 1), MAX_DELAY) * _random.random()
    wanted = failure.retry_at - now if failure.retry_at else timedelta(0)
    wait = max(chosen, wanted)
    return wait if elapsed + wait <= RETRY_WINDOW else None
