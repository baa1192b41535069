"""Access tokens of connections, and the end of a grant."""

import re
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from datetime import datetime

from wizard.errors import WizardError, fail
from wizard.fastpath.token_file import MIN_TTL_SECONDS, is_fresh
from wizard.locks import hold_lock
from wizard.model import AccessToken, Failure, Grant, GrantState, RequestKind
from wizard.model.states import outcome_unknown_since
from wizard.oauth import TokenResponse
from wizard.serialization import to_json
from wizard.tokens.api_access import ApiAccess, access_variables, api_access_of, token_document
from wizard.tokens.budgets import RefreshPurpose
from wizard.tokens.refresh import FORCED_REST, LOCK_TIMEOUT_SECONDS, TokenRefresher
from wizard.tokens.request_log import RequestLogView, wait

LONGEST = 2048
"""Characters of a reported token; Zoho's have some 70."""

_TOKEN = re.compile(r"[A-Za-z0-9\-._~+/]+=*", re.ASCII)
"""What an access token may consist of (RFC 6750, section 2.1)."""


def reported_token(given: bytes) -> str:
    """The access token in `given`, with blanks and newlines around it or without; raises
    ``report-malformed``, which doesn't repeat what was given."""
    text = given.decode("ascii", "replace").strip()
    if len(text) > LONGEST or not _TOKEN.fullmatch(text):
        raise fail("report-malformed", most=str(LONGEST))
    return text


SERVED_STATE = GrantState.VERIFIED
"""The only state whose access tokens are handed out."""


class TokenService(TokenRefresher):
    """Asks the accounts servers on behalf of everybody, and writes each ask down."""

    # access tokens

    def access_token(
        self,
        name: str,
        *,
        min_ttl: int | None = None,
        force_refresh: bool = False,
        rejected: str = "",
    ) -> AccessToken:
        """Return an access token of connection `name` with at least `min_ttl` seconds left; by
        default one that is not due for renewal, five minutes before its end.

        `force_refresh` asks for a new one even so, at most once a minute. While Zoho can't be
        asked, a token with at least two minutes left is returned with ``stale`` set, except to a
        caller that forces a refresh.

        `rejected` is an access token that a program says Zoho has rejected: nobody gets it again.
        If it isn't the current one, the current one is returned. A rejected token is replaced at
        most once a minute; until then nobody gets any.

        Raises `WizardError`: ``no-grant``, ``not-proved``, ``grant-dead``, ``grant-revoked``,
        ``token-budget``, ``client-budget``, ``token-rejected``, ``throttled``, ``zoho-resting``,
        the accounts server's and the transport's failures.
        """
        grant = self._usable_grant(name)
        if rejected:
            self.reject(grant, rejected)

        def usable_cached_token() -> AccessToken | None:
            """The cached token if it serves, whoever renewed it."""
            token = None if force_refresh else self._cached_token_of(grant)
            return token if token and self._is_fresh_enough(token, min_ttl) else None

        if token := usable_cached_token():
            return token
        try:
            with self._refresh_lock(
                name,
                self._spare(grant) is None or force_refresh,
                lambda: bool(usable_cached_token()),
            ):
                return self._refreshed_token(name, min_ttl, force_refresh, rejected)
        except WizardError as error:
            waited = error.failure.code == "refresh-under-way"
            if waited and (token := usable_cached_token()):
                return token
            spare = self._spare(grant)  # not the one of before: it may be rejected by now
            if spare is None or force_refresh or not error.failure.temporary:
                raise
            return replace(spare, stale=not waited)

    def _spare(self, grant: Grant) -> AccessToken | None:
        """The cached token if it can go on being used while there is no new one."""
        cached = self._cached_token_of(grant)
        return cached if cached and self._seconds_left(cached) >= MIN_TTL_SECONDS else None

    def cached_token(self, grant: Grant) -> AccessToken | None:
        """The living access token that is cached for `grant`; asks nobody."""
        token = self._cached_token_of(grant)
        return token if token and self._seconds_left(token) > 0 else None

    def api_access(self, name: str) -> ApiAccess:
        """Where the access tokens of connection `name` may be used. Raises as `access_token` does
        where there are none."""
        grant = self._usable_grant(name)
        return api_access_of(grant, self._zoho.data_center(grant.location))

    def refresh_grant(
        self, grant: Grant, purpose: RefreshPurpose = RefreshPurpose.REQUIRED
    ) -> TokenResponse:
        """Refresh `grant` once, whatever its state, and return the answer without caching it;
        for the ladder, which proves a grant before anyone uses it, and for a diagnosis.

        Raises as `access_token` does. A grant that Zoho twice says is gone becomes dead.
        """
        with self._refresh_lock(grant.connection):
            return self._replace(grant, purpose)

    def refresh_for_check(
        self,
        grant: Grant,
        rejected_token: str = "",
        *,
        is_confirmed: bool = False,
        need: RefreshPurpose = RefreshPurpose.VERIFICATION,
    ) -> TokenResponse | AccessToken:
        """A fresh access token of the current `grant`, cached for everybody; the cached one where
        another process was faster and it is not the one that does not serve (`unless`).

        `witnessed`: something else than the accounts server's word says already that the grant is
        dead. Raises as `access_token` does.
        """
        with self._refresh_lock(grant.connection):
            token = self.cached_token(grant)
            if token is not None and token.value != rejected_token:
                return token
            response = self._replace(
                grant, need, forced=bool(rejected_token), witnessed=is_confirmed
            )
            self._cache_access_token(grant, response)
            return response

    def activate_grant(
        self, grant: Grant, expected_current: int, token: TokenResponse | None = None
    ) -> None:
        """Make the proved `grant` its connection's current one and cache its access token.

        Raises `Conflict` when the connection's current generation is no longer
        `expected_current`.
        """
        with self._refresh_lock(grant.connection):
            self._token_cache.remove(grant.connection)
            self._store.grants.activate(grant.connection, grant.generation, expected_current)
            if token is not None:
                self._cache_access_token(grant, token)

    def cache_access_token(self, grant: Grant, token: TokenResponse) -> None:
        """Cache the access token of a current grant that was refreshed by the ladder."""
        with self._refresh_lock(grant.connection):
            self._cache_access_token(grant, token)

    def _usable_grant(self, name: str) -> Grant:
        self._store.connections.get(name)
        grant = self._store.grants.get(name)
        if grant is None:
            candidate = self._store.grants.candidate(name)
            raise fail("not-proved" if candidate else "no-grant", name=name)
        if grant.state is GrantState.NEEDS_REAUTHORIZATION:
            raise WizardError(replace(grant.failure or Failure("grant-dead"), code="grant-dead"))
        if grant.state is GrantState.REVOKED:
            raise fail("grant-revoked", name=name)
        return grant

    def _is_fresh_enough(self, token: AccessToken, min_ttl: int | None) -> bool:
        if min_ttl is not None:
            return self._seconds_left(token) >= max(min_ttl, MIN_TTL_SECONDS)
        ends, now = token.expires_at, self._clock()
        times = (ends, token.refresh_at or ends, token.issued_at or now, now)
        return is_fresh(*(each.timestamp() for each in times))

    def _refreshed_token(
        self, name: str, min_ttl: int | None, force_refresh: bool, reported: str
    ) -> AccessToken:
        """Under the lock: look again, then refresh once. Raises ``token-rejected`` where the server
        answers with a rejected access token again."""
        grant = self._usable_grant(name)
        cached = self._cached_token_of(grant)
        wanted = cached is not None and self._is_fresh_enough(cached, min_ttl)
        if (
            cached
            and wanted
            and (not force_refresh or self._request_log.was_refreshed_within(grant, FORCED_REST))
        ):
            return cached
        purpose = RefreshPurpose.EARLY if self._spare(grant) else RefreshPurpose.REQUIRED
        response = self._replace(grant, purpose, forced=force_refresh, reported=reported)
        if self._was_rejected(name, response.access_token):
            raise wait("token-rejected", self._clock() + FORCED_REST, name=name)
        return self._cache_access_token(grant, response)

    def _cache_access_token(self, grant: Grant, token: TokenResponse) -> AccessToken:
        """Cache the token while its grant is the connection's own: whoever comes late, with a
        token of a grant that was replaced meanwhile, or with one that was rejected meanwhile,
        overwrites nothing."""
        access_token = AccessToken(
            value=token.access_token,
            expires_at=token.expires_at,
            api_domain=token.api_domain,
            location=grant.location,
            connection=grant.connection,
            generation=grant.generation,
            refresh_at=self._request_log.refresh_at(grant, token.expires_at),
            issued_at=self._clock(),
        )
        current = self._store.grants.get(grant.connection)
        in_use = current and (current.generation, current.state) == (grant.generation, SERVED_STATE)
        if current and in_use and not self._was_rejected(grant.connection, access_token.value):
            self._put_cached_token(current, access_token)
        return access_token

    def _put_cached_token(self, grant: Grant, token: AccessToken) -> None:
        """Cache a token with what the fast path prints of `grant`."""
        access = api_access_of(grant, self._zoho.data_center(grant.location))
        shown = replace(token, expires_at=token.expires_at.replace(microsecond=0))
        document = token_document(shown, access, now=shown.expires_at)
        self._token_cache.put(token, to_json(document, indent=2), access_variables(access))

    def update_cached_account(self, grant: Grant) -> None:
        """Store what is known of the account of `grant` by now with its cached token, if any."""
        if self._cached_token_of(grant) is None:
            return
        with self._refresh_lock(grant.connection):
            current = self._store.grants.get(grant.connection, grant.generation)
            token = self._cached_token_of(grant)
            if current is not None and token is not None:
                self._put_cached_token(current, token)

    @contextmanager
    def verification_lock(self, name: str) -> Iterator[None]:
        """Hold the right to climb the ladder of connection `name`; raises ``climb-under-way``
        when another thread or process holds it."""
        with hold_lock(f"{self._paths.lock_file(name)}.verify", 0, "climb-under-way", name):
            yield

    @contextmanager
    def exchange_lock(self, name: str, *, wait: bool = True) -> Iterator[None]:
        """Hold the right to exchange a code for connection `name`, from the intent to the stored
        grant: an intent that nobody holds the right to was left by a process that died. Raises
        ``exchange-under-way``."""
        deadline = LOCK_TIMEOUT_SECONDS if wait else 0
        with hold_lock(
            f"{self._paths.lock_file(name)}.exchange", deadline, "exchange-under-way", name
        ):
            yield

    # the end of a grant

    def revoke(self, grant: Grant) -> None:
        """Revoke `grant`'s refresh token at the data centre that issued it, then here; its access
        tokens die with it. A token that Zoho no longer knows counts as revoked."""
        client = self._store.clients.get(grant.client_id)
        secret = self.secret_for(client, grant.location)
        data_center = self._zoho.data_center(grant.location)
        with self._refresh_lock(grant.connection):
            grant = self._as_stored(grant)
            self._with_retries(
                lambda: self._request_log.run(
                    self._new_request(
                        RequestKind.REVOCATION, grant.client_id, grant.location, grant
                    ),
                    lambda: self._oauth.revoke(
                        data_center, grant.client_id, secret, grant.refresh_token
                    ),
                )
            )
            self._remove_cached_token_of(grant)
            self._store.grants.set_state(
                grant.connection, grant.generation, GrantState.REVOKED, expected=grant.state
            )
        self._record_event("grant-revoked", grant.connection, generation=str(grant.generation))

    def outcome_unknown_since(self, grant: Grant) -> datetime | None:
        """When the refresh of `grant` was sent whose outcome is unknown; see
        `outcome_unknown_since`."""
        return outcome_unknown_since(grant, self._request_log.unanswered(grant), self._clock())

    def remove_connection(self, name: str) -> None:
        """Remove connection `name` here, with its grants and cached token; Zoho is not asked."""
        with self._refresh_lock(name):
            self._token_cache.remove(name)
            self._store.connections.remove(name)

    def rename_connection(self, name: str, new_name: str) -> None:
        """Rename connection `name`, with everything bound to its name and the cached access token.

        Raises ``unknown-connection``, ``bad-name``, ``connection-exists``,
        ``rename-during-reauthorization``, ``sealed-record-damaged``; while the connection is in
        use, ``climb-under-way``, ``exchange-under-way`` or ``refresh-under-way``.
        """
        same_file = name.lower() == new_name.lower()  # where capital letters tell no files apart
        self._store.connections.get(name)
        with (
            self.exchange_lock(name, wait=False),
            self.verification_lock(name),
            self._refresh_lock(name),
            nullcontext() if same_file else self._refresh_lock(new_name),
        ):
            token = self._token_cache.get(name)
            self._token_cache.remove(name)  # first, so that no crash leaves a token of the old name
            try:
                self._store.connections.rename(name, new_name)
            except WizardError:
                if token is not None:
                    self._token_cache.put(token)
                raise
            if token is not None:
                self._token_cache.put(replace(token, connection=new_name))
        self._record_event("renamed", new_name, previous_name=name)

    # the ledger

    def request_log_view(self, name: str) -> RequestLogView:
        """What was asked for connection `name` in the last ten minutes, and what is left."""
        client = self._store.clients.get(self._store.connections.get(name).client_id)
        return self._request_log.view(
            self._store.grants.get(name) or self._store.grants.candidate(name), client
        )
