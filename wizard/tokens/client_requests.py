"""Requests to accounts servers about a client: its codes, its secret, its data center."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from wizard.connection_details import client_details
from wizard.errors import fail
from wizard.model import Attempt, Client, Grant, RequestKind, Token
from wizard.oauth import OAuth, TokenResponse
from wizard.store import Store
from wizard.tokens.request_log import CLIENT_KNOWN, CLIENT_UNKNOWN, SEARCH_INTERVAL, RequestLog
from wizard.zoho import DataCenter, Zoho

LOCATIONS_BY_LIKELIHOOD = ("us", "eu", "in", "au", "jp", "ca", "sa", "uk", "ae", "sg", "cn")
"""The order in which a client's data center is searched: those with the most clients come first.
China is separate: its clients aren't known anywhere else."""

INVALID_SECRET = "0" * 42
"""Sent instead of the real secret to find a client's data center: one that knows the client ID
answers ``invalid_client_secret``, any other ``invalid_client``."""


class ClientRequests:
    """Sends requests about clients and codes, and records each in the request log."""

    def __init__(self, store: Store, request_log: RequestLog, oauth: OAuth, zoho: Zoho) -> None:
        self._store = store
        self._request_log = request_log
        self._oauth = oauth
        self._zoho = zoho

    # secrets

    def secret_for(self, client: Client, location: str) -> str:
        """Return the secret that may be sent to `location`; raises ``missing-secret``."""
        secret = client.secret_for(location)
        if secret is None:
            raise fail("missing-secret", **client_details(client, self._zoho, location))
        return secret

    def secrets_of(self, grant: Grant) -> tuple[str, ...]:
        """What to mask in responses about the connection of `grant`: the secrets of its client and
        the stored refresh tokens of all its grants."""
        client = self._store.clients.get(grant.client_id)
        tokens = (each.refresh_token for each in self._store.grants.of_connection(grant.connection))
        return (*(each.value for each in client.secrets), *tokens)

    # requests

    def exchange_code(
        self, attempt: Attempt, client: Client, code: str, data_center: DataCenter
    ) -> TokenResponse:
        """Post `code` to the data center's token endpoint, once. Only a request that certainly
        wasn't sent is repeated, and none is sent without space to store the answer. The caller has
        committed `attempt` as EXCHANGE_INTENT."""
        request = self._request_log.new_request(
            RequestKind.CODE_EXCHANGE, client.client_id, data_center.location
        )
        secret = self.secret_for(client, data_center.location)

        def post() -> TokenResponse:
            with self._store.database.reserve_space():
                return self._oauth.exchange_code(
                    data_center.token_endpoint,
                    client.client_id,
                    secret,
                    code,
                    attempt.redirect_uri or None,
                    attempt.code_verifier or None,
                    data_center.location,
                )

        return self._request_log.run(replace(request, connection=attempt.connection), post)

    def preflight(self, client_id: str, client_secret: str, location: str) -> str:
        """Test a client at `location` by exchanging an invalid code. Returns ``valid``,
        ``wrong-secret`` or ``unknown-client``; raises the transport's failures and
        ``throttled``."""
        self._request_log.check_rate_limit(client_id, location)
        return self._probe(client_id, client_secret, location, lambda verdict: verdict)

    def try_refresh(
        self,
        client_id: str,
        client_secret: str,
        refresh_token: str,
        location: str,
        keep: Callable[[Token], None],
    ) -> TokenResponse:
        """Refresh once with credentials that aren't stored yet. If the answer replaces the refresh
        token, `keep` gets the new one before the rest is read. Raises the failures of the accounts
        server and the transport, and ``throttled``."""
        self._request_log.check_rate_limit(client_id, location)
        data_center = self._zoho.data_center(location)

        def refresh() -> TokenResponse:
            response = self._oauth.refresh(data_center, client_id, client_secret, refresh_token)
            if response.new_refresh_token is not None:
                keep(response.new_refresh_token)
            return response.token()

        request = self._request_log.new_request(RequestKind.REFRESH, client_id, location)
        return self._request_log.run(request, refresh)

    # where a client is registered

    def is_known_client(self, location: str, client_id: str) -> bool:
        """Whether `location` knows the client; the request carries an invalid secret."""
        self._request_log.check_rate_limit(client_id, location)
        return self._search_location(location, client_id) == CLIENT_KNOWN

    def find_client_location(
        self,
        client_id: str,
        *,
        max_age: timedelta = SEARCH_INTERVAL,
        excluded_location: str = "",
    ) -> str | None:
        """Find the data center that knows `client_id`; None: none does. The requests carry an
        invalid secret.

        Answers of the last `max_age` are used again.
        """
        known = self._request_log.recent_search_results(client_id, max_age)
        hits = [location for location, outcome in known.items() if outcome == CLIENT_KNOWN]
        for location in (*hits, *LOCATIONS_BY_LIKELIHOOD):
            if location == excluded_location:
                continue
            outcome = known.get(location) or self._search_location(location, client_id)
            if outcome == CLIENT_KNOWN:
                return location
        return None

    def _search_location(self, location: str, client_id: str) -> str:
        return _search_outcome(self._probe(client_id, INVALID_SECRET, location, _search_outcome))

    def _probe(
        self, client_id: str, secret: str, location: str, outcome: Callable[[str], str]
    ) -> str:
        data_center = self._zoho.data_center(location)
        return self._request_log.run(
            self._request_log.new_request(RequestKind.PREFLIGHT, client_id, location),
            lambda: str(self._oauth.preflight(data_center, client_id, secret)),
            outcome,
        )


def _search_outcome(verdict: str) -> str:
    return CLIENT_UNKNOWN if verdict == "unknown-client" else CLIENT_KNOWN
