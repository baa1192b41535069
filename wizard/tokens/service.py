"""Access tokens of connections: served, refreshed once for all processes, and ended."""

import re
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace

from wizard.errors import WizardError, fail
from wizard.model import AccessToken, Clock, Event, Grant, Token
from wizard.oauth import OAuth, TokenResponse
from wizard.store import Store
from wizard.tokens.budgets import RefreshPurpose
from wizard.tokens.cached_tokens import (
    FORCED_REFRESH_INTERVAL,
    ApiAccess,
    CachedTokens,
    ConnectionLocks,
    TokenCache,
    api_access_of,
)
from wizard.tokens.refresh import TokenRefresher
from wizard.tokens.request_log import ClientRequests, RequestLog, wait
from wizard.zoho import Zoho

MAX_TOKEN_CHARACTERS = 2048
"""Characters of a token that a program reports; Zoho's have some 70."""

_TOKEN = re.compile(r"[A-Za-z0-9\-._~+/]+=*", re.ASCII)
"""What an access token may consist of (RFC 6750, section 2.1)."""


def reported_token(given: bytes) -> str:
    """The access token in `given`, which may have white space around it; raises
    ``report-malformed``, which doesn't repeat what was given."""
    text = given.decode("ascii", "replace").strip()
    if len(text) > MAX_TOKEN_CHARACTERS or not _TOKEN.fullmatch(text):
        raise fail("report-malformed", most=str(MAX_TOKEN_CHARACTERS))
    return text


class TokenService:
    """Serves the access tokens of connections.

    A refresh happens under the connection's lock. After acquiring it, a process reads the cache
    again before it sends a request. No transaction of the store spans a network request.
    """

    def __init__(
        self,
        store: Store,
        token_cache: TokenCache,
        request_log: RequestLog,
        client_requests: ClientRequests,
        oauth: OAuth,
        zoho: Zoho,
        locks: ConnectionLocks,
        clock: Clock,
        sleep: Callable[[float], None],
    ) -> None:
        self._store = store
        self._locks = locks
        self._request_log = request_log
        self._zoho = zoho
        self._clock = clock
        self._cached_tokens = CachedTokens(store, token_cache, request_log, locks, zoho, clock)
        self._refresher = TokenRefresher(
            store, self._cached_tokens, request_log, client_requests, oauth, zoho, clock, sleep
        )

    # for programs

    def access_token(
        self,
        name: str,
        *,
        min_ttl: int | None = None,
        force_refresh: bool = False,
        rejected: str = "",
    ) -> AccessToken:
        """Return an access token of connection `name` with at least `min_ttl` seconds left; by
        default one that isn't due for a refresh, five minutes before it expires.

        `force_refresh` gets a new one anyway, at most once a minute. If a refresh isn't possible
        now, a token with at least two minutes left is returned with ``stale`` set, except to a
        caller that forces a refresh.

        `rejected` is an access token that Zoho rejected, according to the caller. It is never
        served again. If it isn't the current one, the current one is returned. A rejected token is
        replaced at most once a minute; until then no token is served.

        Raises `WizardError`: ``no-grant``, ``not-verified``, ``refresh-token-rejected``,
        ``grant-revoked``, ``token-budget``, ``client-budget``, ``token-rejected``,
        ``throttled``, ``zoho-paused``, failures of the accounts server and the transport.
        """
        grant = self._usable_grant(name)
        if rejected:
            self._cached_tokens.reject(grant, rejected)

        def cached() -> AccessToken | None:
            return None if force_refresh else self._cached_tokens.fresh(grant, min_ttl)

        if token := cached():
            return token
        must_wait = force_refresh or self._cached_tokens.spare(grant) is None
        try:
            with self._locks.refresh(
                name, wait=must_wait, stop_waiting_if=lambda: cached() is not None
            ):
                return self._refreshed_token(name, min_ttl, force_refresh, rejected)
        except WizardError as error:
            is_busy = error.failure.code == "refresh-under-way"
            if is_busy and (token := cached()):
                return token
            spare = self._cached_tokens.spare(grant)  # again: it may be rejected by now
            if spare is None or force_refresh or not error.failure.temporary:
                raise
            return replace(spare, stale=not is_busy)

    def cached_access_token(self, name: str) -> AccessToken | None:
        """The cached access token of connection `name`, fresh or not. Raises as `access_token` does
        if there can be none."""
        return self._cached_tokens.get(self._usable_grant(name))

    def is_fresh(self, token: AccessToken) -> bool:
        """Whether `access_token` would return a cached token without a refresh."""
        return self._cached_tokens.is_fresh(token)

    def api_access(self, name: str) -> ApiAccess:
        """Where the access tokens of connection `name` can be used. Raises as `access_token` does
        if there are none."""
        grant = self._usable_grant(name)
        return api_access_of(grant, self._zoho.data_center(grant.location))

    def _refreshed_token(
        self, name: str, min_ttl: int | None, force_refresh: bool, reported: str
    ) -> AccessToken:
        """Under the lock: look at the cache again, then refresh once. Raises ``token-rejected`` if
        the server answers with a rejected access token again."""
        grant = self._usable_grant(name)
        cached = self._cached_tokens.fresh(grant, min_ttl)
        if cached and not (force_refresh and self._may_force(grant)):
            return cached
        spare = self._cached_tokens.spare(grant)
        purpose = RefreshPurpose.EARLY if spare else RefreshPurpose.REQUIRED
        response = self._refresher.refresh(
            grant, purpose, is_forced=force_refresh, reported=reported
        )
        if self._cached_tokens.was_rejected(name, response.access_token):
            raise wait("token-rejected", self._clock() + FORCED_REFRESH_INTERVAL, name=name)
        return self._cached_tokens.put(grant, response)

    def _may_force(self, grant: Grant) -> bool:
        return not self._request_log.was_refreshed_within(grant, FORCED_REFRESH_INTERVAL)

    def _usable_grant(self, name: str) -> Grant:
        self._store.connections.get(name)
        grant = self._store.grants.get(name)
        if grant is None:
            candidate = self._store.grants.candidate(name)
            raise fail("not-verified" if candidate else "no-grant", name=name)
        if ended := grant.end_failure:
            raise WizardError(ended)
        return grant

    # for verifications and diagnoses

    def cached_token(self, grant: Grant) -> AccessToken | None:
        """The cached access token of `grant` if it hasn't expired; sends no request."""
        return self._cached_tokens.get(grant)

    def refresh_grant(
        self, grant: Grant, purpose: RefreshPurpose = RefreshPurpose.REQUIRED
    ) -> TokenResponse:
        """Refresh `grant` once, whatever its state, and return the answer without caching it.

        Raises as `access_token` does. A grant that Zoho rejects twice needs re-authorization.
        """
        with self._locks.refresh(grant.connection):
            return self._refresher.refresh(grant, purpose)

    def refresh_for_check(
        self,
        grant: Grant,
        rejected_token: str = "",
        *,
        is_confirmed: bool = False,
        purpose: RefreshPurpose = RefreshPurpose.VERIFICATION,
    ) -> TokenResponse | AccessToken:
        """Refresh the current `grant` and cache the token; or return the cached one if another
        process has refreshed meanwhile and it isn't the `rejected_token`.

        `is_confirmed`: other evidence shows that Zoho rejects the grant, so a rejection needs no
        second request. Raises as `access_token` does.
        """
        with self._locks.refresh(grant.connection):
            token = self._cached_tokens.get(grant)
            if token is not None and token.value != rejected_token:
                return token
            response = self._refresher.refresh(
                grant, purpose, is_forced=bool(rejected_token), is_confirmed=is_confirmed
            )
            self._cached_tokens.put(grant, response)
            return response

    def request_enhancement_token(self, grant: Grant) -> Token:
        """Request a token with which the user can add scopes to `grant` in place. Raises as
        `refresh_grant` does, except ``refresh-token-rejected``."""
        with self._locks.refresh(grant.connection):
            return self._refresher.request_enhancement_token(grant)

    def cache_access_token(self, grant: Grant, token: TokenResponse) -> None:
        """Cache the access token of a current grant that `refresh_grant` has refreshed."""
        with self._locks.refresh(grant.connection):
            self._cached_tokens.put(grant, token)

    def update_cached_account(self, grant: Grant) -> None:
        """Store the account and organizations of `grant`, now known, with its cached token."""
        if self._cached_tokens.get(grant) is None:
            return
        with self._locks.refresh(grant.connection):
            self._cached_tokens.update(grant)

    def reject(self, grant: Grant, access_token: str) -> None:
        """Never serve `access_token` again: a Zoho product rejected it."""
        self._cached_tokens.reject(grant, access_token)

    def is_rejected(self, grant: Grant) -> bool:
        """Whether the last access token of `grant` was rejected, and none was issued since."""
        return self._cached_tokens.is_rejected(grant)

    # grants

    def activate_grant(
        self, grant: Grant, expected_current: int, token: TokenResponse | None = None
    ) -> None:
        """Make the verified `grant` its connection's current one and cache its access token.

        Raises `Conflict` if the connection's current generation isn't `expected_current`.
        """
        with self._locks.refresh(grant.connection):
            self._cached_tokens.remove(grant.connection)
            self._store.grants.activate(grant.connection, grant.generation, expected_current)
            if token is not None:
                self._cached_tokens.put(grant, token)

    def revoke(self, grant: Grant) -> None:
        """Revoke `grant`'s refresh token at Zoho, then here; its access tokens end with it. A token
        that Zoho doesn't know counts as revoked."""
        with self._locks.refresh(grant.connection):
            self._refresher.revoke(grant)

    def remove_connection(self, name: str) -> None:
        """Remove connection `name` here, with its grants and its cached token."""
        with self._locks.refresh(name):
            self._cached_tokens.remove(name)
            self._store.connections.remove(name)
        self._store.events.record(Event(self._clock(), name, "removed"))

    def rename_connection(self, name: str, new_name: str) -> None:
        """Rename connection `name`, with everything bound to its name and the cached access token.

        Raises ``unknown-connection``, ``bad-name``, ``same-name``, ``connection-exists``,
        ``rename-during-reauthorization``, ``sealed-record-damaged``; while the connection is in
        use, ``verification-under-way``, ``exchange-under-way`` or ``refresh-under-way``.
        """
        same_file = name.lower() == new_name.lower()  # in a case-insensitive file system
        self._store.connections.get(name)
        with (
            self._locks.exchange(name, wait=False),
            self._locks.verification(name),
            self._locks.refresh(name),
            nullcontext() if same_file else self._locks.refresh(new_name),
        ):
            self._cached_tokens.rename(
                name, new_name, lambda: self._store.connections.rename(name, new_name)
            )
        event = Event(self._clock(), new_name, "renamed", {"previous_name": name})
        self._store.events.record(event)
