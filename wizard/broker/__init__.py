"""Fresh access tokens for everyone, one refresh for all, and every ask of an accounts server.

A refresh happens under a lock of the operating system, one a connection, which falls with its
process; whoever gets the lock looks again before asking Zoho. No transaction of the store spans
a network call. A grant is declared dead only on an explicit OAuth error from the data centre that
issued it, confirmed once after the row was read again; a dead grant is not asked again.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from wizard.broker.budgets import ASKED, UNDER_WAY, Need, Pace
from wizard.broker.ledger import Ledger, LedgerView
from wizard.broker.lock import held
from wizard.broker.reach import ProductReach, Reach, reach_of
from wizard.broker.refreshes import FORCED_REST, LOCK_DEADLINE, Refreshes
from wizard.broker.reported import LONGEST, reported_token
from wizard.cache import FLOOR, still_good
from wizard.errors import WizardError, fail
from wizard.model import AccessToken, Ask, AskKind, Failure, Grant, GrantState
from wizard.oauth import TokenResponse

__all__ = [
    "LOCK_DEADLINE",
    "LONGEST",
    "Broker",
    "Ledger",
    "LedgerView",
    "Need",
    "Pace",
    "ProductReach",
    "Reach",
    "reported_token",
]

IN_USE = GrantState.PROVED
"""The only state whose access tokens are handed out."""


class Broker(Refreshes):
    """Asks the accounts servers on behalf of everybody, and writes each ask down."""

    # access tokens

    def access_token(
        self, name: str, *, min_ttl: int | None = None, fresh: bool = False, rejected: str = ""
    ) -> AccessToken:
        """Return an access token of connection `name` with at least `min_ttl` seconds left; by
        default one that is not due for renewal, five minutes before its end.

        `fresh` asks for a new one even so, at most once a minute. While Zoho cannot be asked, a
        token with at least two minutes left is returned with ``stale`` set; not to whom wants a
        fresh one.

        `rejected` is an access token that a program says Zoho has rejected: nobody gets it again.
        If it isn't the current one, the current one is returned. A rejected token is replaced at
        most once a minute; until then nobody gets any.

        Raises `WizardError`: ``no-grant``, ``not-proved``, ``grant-dead``, ``grant-revoked``,
        ``token-budget``, ``client-budget``, ``token-rejected``, ``throttled``, ``zoho-resting``,
        the accounts server's and the transport's failures.
        """
        grant = self._living_grant(name)
        if rejected:
            self.reject(grant, rejected)

        def ready() -> AccessToken | None:
            """The cached token if it serves, whoever renewed it."""
            token = None if fresh else self._cached(grant)
            return token if token and self._good(token, min_ttl) else None

        if token := ready():
            return token
        try:
            with self._locked(name, self._spare(grant) is None or fresh, lambda: bool(ready())):
                return self._renewed(name, min_ttl, fresh)
        except WizardError as error:
            waited = error.failure.code == "refresh-under-way"
            if waited and (token := ready()):
                return token
            spare = self._spare(grant)  # not the one of before: it may be rejected by now
            if spare is None or fresh or not error.failure.temporary:
                raise
            return replace(spare, stale=not waited)

    def _spare(self, grant: Grant) -> AccessToken | None:
        """The cached token if it can go on being used while there is no new one."""
        cached = self._cached(grant)
        return cached if cached and self._left(cached) >= FLOOR else None

    def cached_token(self, grant: Grant) -> AccessToken | None:
        """The living access token that is cached for `grant`; asks nobody."""
        token = self._cached(grant)
        return token if token and self._left(token) > 0 else None

    def reach(self, name: str) -> Reach:
        """Where the access tokens of connection `name` may be used. Raises as `access_token` does
        where there are none."""
        grant = self._living_grant(name)
        return reach_of(grant, self._zoho.data_centre(grant.location))

    def refresh_grant(self, grant: Grant, need: Need = Need.TOKEN) -> TokenResponse:
        """Refresh `grant` once, whatever its state, and return the answer without caching it;
        for the ladder, which proves a grant before anyone uses it, and for a diagnosis.

        Raises as `access_token` does. A grant that Zoho twice says is gone becomes dead.
        """
        with self._locked(grant.connection):
            return self._replace(grant, need)

    def renew_for_verdict(
        self,
        grant: Grant,
        unless: str = "",
        *,
        witnessed: bool = False,
        need: Need = Need.VERDICT,
    ) -> TokenResponse | AccessToken:
        """A fresh access token of the current `grant`, cached for everybody; the cached one where
        another process was faster and it is not the one that does not serve (`unless`).

        `witnessed`: something else than the accounts server's word says already that the grant is
        dead. Raises as `access_token` does.
        """
        with self._locked(grant.connection):
            token = self.cached_token(grant)
            if token is not None and token.value != unless:
                return token
            response = self._replace(grant, need, forced=bool(unless), witnessed=witnessed)
            self._keep(grant, response)
            return response

    def install(
        self, grant: Grant, expected_current: int, token: TokenResponse | None = None
    ) -> None:
        """Make the proved `grant` its connection's current one and cache its access token.

        Raises `Conflict` when the connection's current generation is no longer
        `expected_current`.
        """
        with self._locked(grant.connection):
            self._cache.drop(grant.connection)
            self._store.prove_grant(grant.connection, grant.generation, expected_current)
            if token is not None:
                self._keep(grant, token)

    def keep(self, grant: Grant, token: TokenResponse) -> None:
        """Cache the access token of a current grant that was refreshed by the ladder."""
        with self._locked(grant.connection):
            self._keep(grant, token)

    def _living_grant(self, name: str) -> Grant:
        self._store.connection(name)
        grant = self._store.grant(name)
        if grant is None:
            candidate = self._store.candidate(name)
            raise fail("not-proved" if candidate else "no-grant", name=name)
        if grant.state is GrantState.DEAD:
            raise WizardError(replace(grant.failure or Failure("grant-dead"), code="grant-dead"))
        if grant.state is GrantState.REVOKED:
            raise fail("grant-revoked", name=name)
        return grant

    def _good(self, token: AccessToken, min_ttl: int | None) -> bool:
        if min_ttl is not None:
            return self._left(token) >= max(min_ttl, FLOOR)
        ends, now = token.expires_at, self._clock()
        times = (ends, token.renew_at or ends, token.issued_at or now, now)
        return still_good(*(each.timestamp() for each in times))

    def _renewed(self, name: str, min_ttl: int | None, fresh: bool) -> AccessToken:
        """Under the lock: look again, then refresh once."""
        grant = self._living_grant(name)
        cached = self._cached(grant)
        wanted = cached is not None and self._good(cached, min_ttl)
        if cached and wanted and (not fresh or self._ledger.refreshed_within(grant, FORCED_REST)):
            return cached
        need = Need.SPARE if self._spare(grant) else Need.TOKEN
        return self._keep(grant, self._replace(grant, need, forced=fresh))

    def _keep(self, grant: Grant, token: TokenResponse) -> AccessToken:
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
            renew_at=self._ledger.renew_at(grant, token.expires_at),
            issued_at=self._clock(),
        )
        current = self._store.grant(grant.connection)
        in_use = current and (current.generation, current.state) == (grant.generation, IN_USE)
        if in_use and not self._was_rejected(grant.connection, access_token.value):
            self._cache.put(access_token)
        return access_token

    @contextmanager
    def climbing(self, name: str) -> Iterator[None]:
        """Hold the right to climb the ladder of connection `name`; raises ``climb-under-way``
        when another thread or process holds it."""
        with held(f"{self._home.lock_file(name)}.climb", 0, "climb-under-way", name):
            yield

    @contextmanager
    def exchanging(self, name: str, *, wait: bool = True) -> Iterator[None]:
        """Hold the right to exchange a code for connection `name`, from the intent to the stored
        grant: an intent that nobody holds the right to was left by a process that died. Raises
        ``exchange-under-way``."""
        deadline = LOCK_DEADLINE if wait else 0
        with held(f"{self._home.lock_file(name)}.exchange", deadline, "exchange-under-way", name):
            yield

    # the end of a grant

    def revoke(self, grant: Grant) -> None:
        """Revoke `grant`'s refresh token at the data centre that issued it, then here; its access
        tokens die with it. A token that Zoho no longer knows counts as revoked."""
        client = self._store.client(grant.client_id)
        secret = self.secret(client, grant.location)
        data_centre = self._zoho.data_centre(grant.location)
        with self._locked(grant.connection):
            grant = self._as_stored(grant)
            self._again(
                lambda: self._ledger.record(
                    self._ask(AskKind.REVOKE, grant.client_id, grant.location, grant),
                    lambda: self._oauth.revoke(
                        data_centre, grant.client_id, secret, grant.refresh_token
                    ),
                )
            )
            self._cache_drop_if_of(grant)
            self._store.mark_grant(
                grant.connection, grant.generation, GrantState.REVOKED, expected=grant.state
            )
        self._note("grant-revoked", grant.connection, generation=str(grant.generation))

    def unanswered(self, grant: Grant) -> Ask | None:
        """The refresh of `grant` whose outcome is unknown, where its refresh token rotates; not
        one that may still be on its way."""
        ask = self._ledger.unanswered(grant)
        on_its_way = ask is not None and ask.outcome == ASKED and self._clock() - ask.at < UNDER_WAY
        return None if on_its_way else ask

    def forget(self, name: str) -> None:
        """Remove connection `name` here, with its grants and cached token; Zoho is not asked."""
        with self._locked(name):
            self._cache.drop(name)
            self._store.remove_connection(name)

    # the ledger

    def ledger(self, name: str) -> LedgerView:
        """What was asked for connection `name` in the last ten minutes, and what is left."""
        client = self._store.client(self._store.connection(name).client_id)
        return self._ledger.view(self._store.grant(name) or self._store.candidate(name), client)
