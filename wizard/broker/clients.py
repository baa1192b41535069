"""What is asked for a client: its consents, codes and pre-flights, and where it is at home."""

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from wizard.broker.budgets import Pace
from wizard.broker.facts import client_details
from wizard.broker.ledger import KNOWN, SEARCH_REST, UNKNOWN, Ledger
from wizard.cache import Cache
from wizard.errors import fail
from wizard.home import Home
from wizard.model import Ask, AskKind, Attempt, Client, Clock, Event, Grant
from wizard.oauth import OAuth, TokenResponse
from wizard.store import Store
from wizard.zoho import DataCentre, Zoho

LIKELIEST = ("us", "eu", "in", "au", "jp", "ca", "sa", "uk", "ae", "sg", "cn")
"""Where clients live, most of them first; the order in which a client's home is looked for. China,
run apart, comes last: its clients are known nowhere else."""

IMPOSSIBLE_SECRET = "0" * 42
"""Sent when only a client's home is looked for: a data centre that knows the id answers
``invalid_client_secret``, one that does not ``invalid_client``; the real secret stays here."""


class ClientAsks:
    """Asks the accounts servers about clients and codes, each ask through the ledger."""

    def __init__(
        self,
        store: Store,
        cache: Cache,
        oauth: OAuth,
        zoho: Zoho,
        home: Home,
        clock: Clock,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._store = store
        self._cache = cache
        self._oauth = oauth
        self._zoho = zoho
        self._home = home
        self._clock = clock
        self._pause = pause
        self._ledger = Ledger(store, clock)

    # codes

    def check_consent(self, client: Client, zuid: str = "", *, force: bool = False) -> None:
        """Raise unless one more consent with `client` may be begun now: ``codes-budget``, and
        unless `force`, ``throttled``, or ``refresh-tokens-budget`` for the known user `zuid`."""
        if not force:
            self._ledger.check_throttle(client.client_id, client.location)
        self._ledger.check_code(client)
        if zuid and not force:
            self._ledger.check_refresh_tokens(client, zuid)

    def pace(self, client: Client, location: str) -> Pace:
        """How fast consents with `client` of accounts in a data centre may follow each other."""
        return self._ledger.pace(client, location)

    def count_code(self, client_id: str, location: str, connection: str) -> None:
        """Write down that a browser is sent to ask for a code."""
        ask = self._ask(AskKind.CODE, client_id, location)
        self._ledger.record(replace(ask, connection=connection), lambda: None)

    def exchange(
        self, attempt: Attempt, client: Client, code: str, data_centre: DataCentre
    ) -> TokenResponse:
        """Post `code` to the data centre's token endpoint, once: only a request that certainly
        never left is repeated, and none leaves while there is no room to store what it brings.
        `attempt` is committed as EXCHANGE_INTENT by the caller."""
        ask = self._ask(AskKind.EXCHANGE, client.client_id, data_centre.location)
        secret = self.secret(client, data_centre.location)

        def post() -> TokenResponse:
            with self._store.room():
                return self._oauth.exchange_code(
                    data_centre.token_endpoint,
                    client.client_id,
                    secret,
                    code,
                    attempt.redirect_uri or None,
                    attempt.code_verifier or None,
                    data_centre.location,
                )

        return self._ledger.record(replace(ask, connection=attempt.connection), post)

    # clients

    def secret(self, client: Client, location: str) -> str:
        """Return the secret that may be sent to `location`; raises ``missing-secret``."""
        secret = client.secret_for(location)
        if secret is None:
            raise fail("missing-secret", **client_details(client, self._zoho, location))
        return secret

    def preflight(self, client_id: str, client_secret: str, location: str) -> str:
        """Ask `location` about a code that cannot exist. Returns ``valid``, ``wrong-secret`` or
        ``unknown-client``; raises the transport's failures and ``throttled``."""
        self._ledger.check_throttle(client_id, location)
        return self._probe(client_id, client_secret, location, lambda verdict: verdict)

    def try_refresh(
        self, client_id: str, client_secret: str, refresh_token: str, location: str
    ) -> TokenResponse:
        """Refresh once with credentials that are stored nowhere yet; raises the accounts server's
        and the transport's failures and ``throttled``."""
        self._ledger.check_throttle(client_id, location)
        data_centre = self._zoho.data_centre(location)
        return self._ledger.record(
            self._ask(AskKind.REFRESH, client_id, location),
            lambda: self._oauth.refresh(data_centre, client_id, client_secret, refresh_token),
        )

    def knows(self, location: str, client_id: str) -> bool:
        """Whether `location` knows the client, asked with a made-up secret."""
        self._ledger.check_throttle(client_id, location)
        return self._searched(location, client_id) == KNOWN

    def find_home(
        self,
        client_id: str,
        *,
        again: bool = False,
        rest: timedelta = SEARCH_REST,
        apart_from: str = "",
    ) -> str | None:
        """Look for the data centre that knows `client_id`, likeliest first, with a made-up
        secret, until the first hit. None: no data centre knows it.

        What was heard within `rest`, by default an hour, is not asked again unless the person
        says so (`again`); the data centre `apart_from` is left out.
        """
        heard = {} if again else self._ledger.searched(client_id, rest)
        hits = [location for location, outcome in heard.items() if outcome == KNOWN]
        for location in (each for each in (*hits, *LIKELIEST) if each != apart_from):
            outcome = heard.get(location) or self._searched(location, client_id)
            if outcome == KNOWN:
                return location
        return None

    def _searched(self, location: str, client_id: str) -> str:
        return _outcome(self._probe(client_id, IMPOSSIBLE_SECRET, location, _outcome))

    def _probe(
        self, client_id: str, secret: str, location: str, outcome: Callable[[str], str]
    ) -> str:
        data_centre = self._zoho.data_centre(location)
        return self._ledger.record(
            self._ask(AskKind.PREFLIGHT, client_id, location),
            lambda: str(self._oauth.probe_client(data_centre, client_id, secret)),
            outcome,
        )

    def _ask(self, kind: AskKind, client_id: str, location: str, grant: Grant | None = None) -> Ask:
        ask = Ask(kind=kind, at=self._clock(), location=location, client_id=client_id)
        if grant is None:
            return ask
        zuid = grant.account.zuid if grant.account else ""
        return replace(ask, connection=grant.connection, generation=grant.generation, zuid=zuid)

    def _note(self, kind: str, connection: str, **details: str) -> None:
        self._store.note(Event(self._clock(), connection, kind, details))


def _outcome(verdict: str) -> str:
    return UNKNOWN if verdict == "unknown-client" else KNOWN
