"""What is asked for a client: its consents, codes and pre-flights, and where it is at home."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta

from wizard.errors import fail
from wizard.model import Attempt, Client, Clock, Event, Grant, RequestKind, Token, TokenRequest
from wizard.oauth import OAuth, TokenResponse
from wizard.paths import Paths
from wizard.store import Store
from wizard.tokens.budgets import ConsentSchedule
from wizard.tokens.request_log import CLIENT_KNOWN, CLIENT_UNKNOWN, SEARCH_INTERVAL, RequestLog
from wizard.tokens.token_cache import TokenCache
from wizard.zoho import DataCenter, Zoho


def client_details(client: Client, zoho: Zoho, location: str) -> Mapping[str, str]:
    """What the words about a client in one data centre need."""
    data_center = zoho.data_center(location)
    return {
        "client": client.name,
        "client_id": client.client_id,
        "location": location,
        "data_center": data_center.name,
        "console": data_center.console_url,
    }


LOCATIONS_BY_LIKELIHOOD = ("us", "eu", "in", "au", "jp", "ca", "sa", "uk", "ae", "sg", "cn")
"""Where clients live, most of them first; the order in which a client's home is looked for. China,
run apart, comes last: its clients are known nowhere else."""

INVALID_SECRET = "0" * 42
"""Sent when only a client's home is looked for: a data centre that knows the id answers
``invalid_client_secret``, one that does not ``invalid_client``; the real secret stays here."""


class ClientRequests:
    """Asks the accounts servers about clients and codes, each ask through the ledger."""

    def __init__(
        self,
        store: Store,
        token_cache: TokenCache,
        oauth: OAuth,
        zoho: Zoho,
        paths: Paths,
        clock: Clock,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._store = store
        self._token_cache = token_cache
        self._oauth = oauth
        self._zoho = zoho
        self._paths = paths
        self._clock = clock
        self._sleep = sleep
        self._request_log = RequestLog(store, clock)

    # codes

    def check_consent(self, client: Client, zuid: str = "", *, force: bool = False) -> None:
        """Raise unless one more consent with `client` may be begun now: ``codes-budget``, and
        unless `force`, ``throttled``, or ``refresh-tokens-budget`` for the known user `zuid`."""
        if not force:
            self._request_log.check_rate_limit(client.client_id, client.location)
        self._request_log.check_authorization_budget(client)
        if zuid and not force:
            self._request_log.check_refresh_token_budget(client, zuid)

    def consent_schedule(self, client: Client, location: str) -> ConsentSchedule:
        """How fast consents with `client` of accounts in a data centre may follow each other."""
        return self._request_log.consent_schedule(client, location)

    def record_authorization(self, client_id: str, location: str, connection: str) -> None:
        """Write down that a browser is sent to ask for a code."""
        ask = self._new_request(RequestKind.AUTHORIZATION, client_id, location)
        self._request_log.run(replace(ask, connection=connection), lambda: None)

    def exchange_code(
        self, attempt: Attempt, client: Client, code: str, data_center: DataCenter
    ) -> TokenResponse:
        """Post `code` to the data centre's token endpoint, once: only a request that certainly
        never left is repeated, and none leaves while there is no room to store what it brings.
        `attempt` is committed as EXCHANGE_INTENT by the caller."""
        ask = self._new_request(RequestKind.CODE_EXCHANGE, client.client_id, data_center.location)
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

        return self._request_log.run(replace(ask, connection=attempt.connection), post)

    # clients

    def secret_for(self, client: Client, location: str) -> str:
        """Return the secret that may be sent to `location`; raises ``missing-secret``."""
        secret = client.secret_for(location)
        if secret is None:
            raise fail("missing-secret", **client_details(client, self._zoho, location))
        return secret

    def secrets_of(self, grant: Grant) -> tuple[str, ...]:
        """What nobody may repeat of the connection of `grant`: every secret of its client, and the
        refresh tokens of all its grants as they are stored now."""
        client = self._store.clients.get(grant.client_id)
        tokens = (each.refresh_token for each in self._store.grants.of_connection(grant.connection))
        return (*(each.value for each in client.secrets), *tokens)

    def preflight(self, client_id: str, client_secret: str, location: str) -> str:
        """Ask `location` about a code that cannot exist. Returns ``valid``, ``wrong-secret`` or
        ``unknown-client``; raises the transport's failures and ``throttled``."""
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
        """Refresh once with credentials that are stored nowhere yet. If the answer replaces the
        refresh token, `keep` gets the new one before the rest is read. Raises the accounts
        server's and the transport's failures and ``throttled``."""
        self._request_log.check_rate_limit(client_id, location)
        data_center = self._zoho.data_center(location)

        def refresh() -> TokenResponse:
            response = self._oauth.refresh(data_center, client_id, client_secret, refresh_token)
            if response.new_refresh_token is not None:
                keep(response.new_refresh_token)
            return response.token()

        ask = self._new_request(RequestKind.REFRESH, client_id, location)
        return self._request_log.run(ask, refresh)

    def is_known_client(self, location: str, client_id: str) -> bool:
        """Whether `location` knows the client, asked with a made-up secret."""
        self._request_log.check_rate_limit(client_id, location)
        return self._search_location(location, client_id) == CLIENT_KNOWN

    def find_client_location(
        self,
        client_id: str,
        *,
        ignore_recent: bool = False,
        max_age: timedelta = SEARCH_INTERVAL,
        excluded_location: str = "",
    ) -> str | None:
        """Look for the data centre that knows `client_id`, likeliest first, with a made-up
        secret, until the first hit. None: no data centre knows it.

        What was heard within `rest`, by default an hour, is not asked again unless the person
        says so (`again`); the data centre `apart_from` is left out.
        """
        answer = (
            {} if ignore_recent else self._request_log.recent_search_results(client_id, max_age)
        )
        hits = [location for location, outcome in answer.items() if outcome == CLIENT_KNOWN]
        for location in (
            each for each in (*hits, *LOCATIONS_BY_LIKELIHOOD) if each != excluded_location
        ):
            outcome = answer.get(location) or self._search_location(location, client_id)
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
            self._new_request(RequestKind.PREFLIGHT, client_id, location),
            lambda: str(self._oauth.probe_client(data_center, client_id, secret)),
            outcome,
        )

    def _new_request(
        self, kind: RequestKind, client_id: str, location: str, grant: Grant | None = None
    ) -> TokenRequest:
        ask = TokenRequest(kind=kind, at=self._clock(), location=location, client_id=client_id)
        if grant is None:
            return ask
        zuid = grant.account.zuid if grant.account else ""
        return replace(ask, connection=grant.connection, generation=grant.generation, zuid=zuid)

    def _record_event(self, kind: str, connection: str, **details: str) -> None:
        self._store.events.record(Event(self._clock(), connection, kind, details))


def _search_outcome(verdict: str) -> str:
    return CLIENT_UNKNOWN if verdict == "unknown-client" else CLIENT_KNOWN
