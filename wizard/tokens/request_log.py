"""The request log: record every request to an accounts server, and decide which may be sent now.

Zoho allows ten token requests in ten minutes, ten codes for a client in ten minutes, and twenty
refresh tokens for a user and client: a new one replaces the oldest. Our budgets are below each
limit. The log is in the store, so it covers all processes and survives a restart.

`ClientRequests` are those about a client: its codes, its secret, its data center.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

from wizard.connection_details import client_details
from wizard.errors import WizardError, fail
from wizard.fastpath.token_file import CLOCK_TOLERANCE_SECONDS
from wizard.model import Attempt, Client, Clock, Failure, Grant, RequestKind, Token, TokenRequest
from wizard.model.states import is_under_way, outcome_unknown_since
from wizard.store import Store
from wizard.tokens import budgets
from wizard.tokens.budgets import (
    CLIENT_TOKEN_REQUESTS_BUDGET,
    COUNT_BY_CLIENT_DURATION,
    LIMITS,
    NOT_SENT,
    WINDOW,
    RefreshPurpose,
    is_counted,
    is_for_grant,
)
from wizard.zoho import DataCenter, Zoho

if TYPE_CHECKING:
    from wizard.oauth import OAuth, TokenResponse

Result = TypeVar("Result")

SEARCH_INTERVAL = timedelta(hours=1)
"""How long the results of a search for a client's data center are used, unless the user searches
again."""

MAX_UNSENT_TRIES = 3
"""Tries of a request that certainly wasn't sent, without a delay: refused connections and DNS
recover at once or not at all."""

CLIENT_KNOWN, CLIENT_UNKNOWN = "known-here", "unknown-here"
"""Outcomes of a request that searches a client's data center with an invalid secret."""


@dataclass(frozen=True)
class RequestLogView:
    """The recent requests for one connection, and how many more are allowed."""

    requests: tuple[TokenRequest, ...]
    """Of the last ten minutes, newest first."""
    token_requests_left: int
    deferrable_requests_left: int
    """Of these, for what can wait, such as a diagnosis: counted for the whole client."""
    next_request_at: datetime | None
    """When the next token request may be sent; None: now."""
    authorizations_left: int
    refresh_token_count: int
    """Valid refresh tokens of this connection's user and client, as far as the wizard knows."""
    is_near_refresh_token_limit: bool
    is_counted_by_client: bool
    """Zoho rate-limited a grant within its own budget, so it counts by client."""
    client_requests_left: int
    """Token requests for all grants of the client together, if counted by client; without the one
    that is reserved to replace a rejected access token."""


class RequestLog:
    """Records every request and decides which may be sent now."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def run(
        self,
        request: TokenRequest,
        send: Callable[[], Result],
        outcome: Callable[[Result], str] = lambda _: "ok",
        max_tries: int = MAX_UNSENT_TRIES,
        check: Callable[[Sequence[TokenRequest]], None] | None = None,
    ) -> Result:
        """Record `request`, call `send`, and record the outcome: `outcome` of the result, or the
        failure's code. A request that certainly wasn't sent is repeated, up to `max_tries` in all.

        `check` gets the client's requests so far and raises if one more isn't allowed. No other
        request can be recorded between the check and this one."""
        number = self._record(request, check)
        try:
            answer = send()
        except WizardError as error:
            failure = error.failure
            self._finish(number, failure.code if failure.sent else NOT_SENT, failure.retry_at)
            if failure.sent or max_tries == 1 or failure.code == "network-tls":
                raise  # an untrusted certificate stays untrusted
        else:
            self._finish(number, outcome(answer))
            return answer
        return self.run(request, send, outcome, max_tries - 1, check)

    def _record(
        self, request: TokenRequest, check: Callable[[Sequence[TokenRequest]], None] | None
    ) -> int:
        """Record the request. If that fails, nothing is sent."""
        now, allowed = replace(request, at=self._clock()), check and self._check_with_known(check)
        try:
            return self._store.request_log.add(now, allowed, self._ago(COUNT_BY_CLIENT_DURATION))
        except WizardError as error:
            raise WizardError(replace(error.failure, sent=False)) from error

    def _finish(self, request_id: int, outcome: str, retry_at: datetime | None = None) -> None:
        """Record the outcome if possible. Zoho's answer matters more; without an outcome, the
        request counts as sent."""
        with suppress(WizardError):
            self._store.request_log.finish(request_id, outcome, retry_at)

    def _check_with_known(
        self, check: Callable[[Sequence[TokenRequest]], None]
    ) -> Callable[[Sequence[TokenRequest]], None]:
        return lambda logged_requests: check(self._without_future(logged_requests))

    def new_request(
        self, kind: RequestKind, client_id: str, location: str, grant: Grant | None = None
    ) -> TokenRequest:
        """A request that is about to be sent; `run` records it."""
        request = TokenRequest(kind=kind, at=self._clock(), location=location, client_id=client_id)
        if grant is None:
            return request
        zuid = grant.account.zuid if grant.account else ""
        return replace(request, connection=grant.connection, generation=grant.generation, zuid=zuid)

    def record_authorization(self, client_id: str, location: str, connection: str) -> None:
        """Record that a browser asks for a code."""
        request = self.new_request(RequestKind.AUTHORIZATION, client_id, location)
        self.run(replace(request, connection=connection), lambda: None)

    # what may be sent

    def check_consent(
        self, client: Client, zuid: str = "", *, force: bool = False, is_forwarded: bool = False
    ) -> None:
        """Raise unless one more consent with `client` may start now: ``codes-budget``, and unless
        `force`, ``throttled``, or ``refresh-tokens-budget`` for the known user `zuid`. One that
        `is_forwarded` starts later, so only the last of these applies."""
        if not (force or is_forwarded):
            self.check_rate_limit(client.client_id, client.location)
        if not is_forwarded:
            self._check_authorization_budget(client)
        if zuid and not force:
            self._check_refresh_token_budget(client, zuid)

    def check_refresh(
        self, grant: Grant, purpose: RefreshPurpose, requests: Sequence[TokenRequest]
    ) -> None:
        """Raise ``throttled``, ``zoho-paused``, ``token-budget`` or, if the grant's own budget
        would allow it, ``client-budget``, temporary and with ``retry_at``, unless a token request
        for `grant` may follow the `requests` of its client."""
        now, insisted = self._clock(), purpose is RefreshPurpose.INSISTED
        own_purpose = purpose if purpose is RefreshPurpose.REJECTED else RefreshPurpose.REQUIRED
        own = budgets.next_token_request_at(requests, grant, now, own_purpose)
        waits = (
            ("throttled", None if insisted else budgets.rate_limited_until(requests, now)),
            ("zoho-paused", budgets.paused_until(requests, now, insisted=insisted)),
            ("token-budget", own),
            ("client-budget", budgets.next_token_request_at(requests, grant, now, purpose)),
        )
        for code, until in waits:
            if until:
                raise wait(code, until, name=grant.connection, location=grant.location)

    def check_client_budget(self, requests: Sequence[TokenRequest]) -> None:
        """Raise ``client-budget`` unless one more token request may follow the `requests` of a
        client, however Zoho counts them."""
        if until := budgets.next_client_request_at(requests, self._clock()):
            raise wait("client-budget", until)

    def named_wait(self, grant: Grant) -> datetime | None:
        """Until when Zoho wants no requests from the client of `grant`; None: no such wait."""
        logged_requests, now = (
            self._requests_of_client(grant.client_id, grant.location),
            self._clock(),
        )
        throttled = budgets.rate_limited_until(logged_requests, now)
        return throttled or budgets.paused_until(logged_requests, now)

    def check_rate_limit(self, client_id: str, location: str) -> None:
        """Raise ``throttled`` while a rate limit applies to the client in this data center."""
        logged_requests = self._requests_of_client(client_id, location)
        if until := budgets.rate_limited_until(logged_requests, self._clock()):
            raise wait("throttled", until)

    def _check_authorization_budget(self, client: Client) -> None:
        """Raise ``codes-budget`` if too many consents with this client have started recently."""
        logged_requests = self._recent_authorizations(client.client_id)
        if len(logged_requests) >= LIMITS.codes_budget:
            free_at = logged_requests[LIMITS.codes_budget - 1].at + WINDOW
            count = str(LIMITS.codes_budget)
            raise wait("codes-budget", free_at, client=client.name, count=count)

    def _check_refresh_token_budget(self, client: Client, zuid: str) -> None:
        """Raise ``refresh-tokens-budget`` if this user has nearly as many refresh tokens as Zoho
        keeps."""
        count = self._count_refresh_tokens(client.client_id, zuid)
        if count >= LIMITS.refresh_tokens_hard_stop:
            details = {"count": str(count), "client": client.name}
            raise WizardError(Failure(code="refresh-tokens-budget", sent=False, details=details))

    def _count_refresh_tokens(self, client_id: str, zuid: str) -> int:
        """Valid refresh tokens of one user and client, as far as the wizard knows."""
        counts = self._store.grants.count_refresh_tokens(client_id)
        return sum(count for (owner, _email), count in counts.items() if owner == zuid)

    def recent_search_results(self, client_id: str, max_age: timedelta) -> dict[str, str]:
        """The results of searches for this client within `max_age`: location → `CLIENT_KNOWN` or
        `CLIENT_UNKNOWN`."""
        logged_requests = self._store.request_log.requests(
            since=self._ago(max_age), client_id=client_id
        )
        found = [
            entry
            for entry in reversed(logged_requests)
            if entry.outcome in (CLIENT_KNOWN, CLIENT_UNKNOWN)
        ]
        return {entry.location: entry.outcome for entry in found}

    def consent_schedules(
        self, places: Collection[tuple[str, str]]
    ) -> dict[tuple[str, str], budgets.ConsentSchedule]:
        """When consents can start, for each of `places`: client ID and data center."""
        now, client_ids = self._clock(), {client_id for client_id, _location in places}
        requests = self._store.request_log.requests(
            since=self._ago(COUNT_BY_CLIENT_DURATION),
            client_id=next(iter(client_ids)) if len(client_ids) == 1 else None,
        )
        authorizations, of_place = defaultdict(list), defaultdict(list)
        for request in requests:
            if request.kind is RequestKind.AUTHORIZATION and request.at >= self._ago(WINDOW):
                authorizations[request.client_id].append(request)
        for request in self._without_future(requests):
            of_place[request.client_id, request.location].append(request)
        return {
            place: budgets.consent_schedule(authorizations[place[0]], of_place[place], now)
            for place in places
        }

    def was_refreshed_within(self, grant: Grant, max_age: timedelta) -> bool:
        """Whether an access token was issued for `grant` within `max_age`."""
        logged_requests = self._store.request_log.requests(
            since=self._ago(max_age), connection=grant.connection
        )
        return any(
            entry.kind is RequestKind.REFRESH and entry.outcome == "ok"
            for entry in logged_requests
            if is_for_grant(entry, grant)
        )

    def unanswered(self, grant: Grant) -> TokenRequest | None:
        """The refresh of `grant` whose outcome is unknown: sent after its refresh token last
        rotated, with no answer stored. None if it has never rotated."""
        return self._store.grant_history.unanswered_refresh(grant)

    def is_sent_elsewhere(self, grant: Grant) -> bool:
        """Whether another machine may be sending the refresh token of `grant`, which rotates. The
        caller has the connection's lock, which ends with a session of the database: that of the
        other machine may have been cut."""
        if not self._store.database.is_shared:
            return False
        sent = self._without_future(list(filter(None, [self.unanswered(grant)])))
        return any(is_under_way(each, self._clock()) for each in sent)

    def outcome_unknown_since(self, grant: Grant) -> datetime | None:
        """As `states.outcome_unknown_since`, for the stored requests."""
        return outcome_unknown_since(grant, self.unanswered(grant), self._clock())

    def refresh_at(self, grant: Grant, expires_at: datetime) -> datetime:
        """When to refresh an access token of `grant` that expires at `expires_at`."""
        logged_requests = self._requests_of_client(grant.client_id, grant.location)
        lifetime_seconds = (expires_at - self._clock()).total_seconds()
        return expires_at - budgets.refresh_lead_time(logged_requests, grant, lifetime_seconds)

    def view(self, name: str) -> RequestLogView:
        """The requests for connection `name` in the last ten minutes, and how many are left."""
        client = self._store.clients.get(self._store.connections.get(name).client_id)
        grant = self._store.grants.get(name) or self._store.grants.candidate(name)
        account = grant.account if grant else None
        token_count = self._count_refresh_tokens(client.client_id, account.zuid) if account else 0
        location = grant.location if grant else client.location
        logged_requests = self._requests_of_client(client.client_id, location)
        recent = [entry for entry in logged_requests if entry.at > self._ago(WINDOW)]
        own = [entry for entry in recent if grant and is_for_grant(entry, grant)]
        budget = LIMITS.token_requests_budget
        client_budget = CLIENT_TOKEN_REQUESTS_BUDGET - LIMITS.token_requests_reserved
        return RequestLogView(
            requests=tuple(own),
            token_requests_left=max(0, budget - _count(own)),
            deferrable_requests_left=max(0, budget - _count(recent)),
            next_request_at=self._next_request_at(logged_requests, grant) if grant else None,
            authorizations_left=max(
                0, LIMITS.codes_budget - len(self._recent_authorizations(client.client_id))
            ),
            refresh_token_count=token_count,
            is_near_refresh_token_limit=token_count >= LIMITS.refresh_tokens_warning_threshold,
            is_counted_by_client=budgets.is_counted_by_client(logged_requests),
            client_requests_left=max(0, client_budget - _count(recent)),
        )

    def _next_request_at(self, requests: Sequence[TokenRequest], grant: Grant) -> datetime | None:
        now = self._clock()
        waits = (
            budgets.rate_limited_until(requests, now),
            budgets.paused_until(requests, now),
            budgets.next_token_request_at(requests, grant, now),
        )
        return max((each for each in waits if each), default=None)

    def _requests_of_client(self, client_id: str, location: str) -> Sequence[TokenRequest]:
        logged_requests = self._store.request_log.requests(
            since=self._ago(COUNT_BY_CLIENT_DURATION), client_id=client_id, location=location
        )
        return self._without_future(logged_requests)

    def _without_future(self, requests: Sequence[TokenRequest]) -> Sequence[TokenRequest]:
        """`requests` without those in the future: the clock went back, so their time is unknown."""
        latest = self._ago(timedelta(seconds=-CLOCK_TOLERANCE_SECONDS))
        return [entry for entry in requests if entry.at <= latest]

    def _recent_authorizations(self, client_id: str) -> list[TokenRequest]:
        logged_requests = self._store.request_log.requests(
            since=self._ago(WINDOW), client_id=client_id
        )
        return [entry for entry in logged_requests if entry.kind is RequestKind.AUTHORIZATION]

    def _ago(self, duration: timedelta) -> datetime:
        return self._clock() - duration


def _count(requests: Sequence[TokenRequest]) -> int:
    return sum(1 for entry in requests if is_counted(entry))


def wait(code: str, retry_at: datetime, **details: str) -> WizardError:
    """A temporary failure without a request: try again at `retry_at`."""
    failure = Failure(code, temporary=True, sent=False, details=details, retry_at=retry_at)
    return WizardError(failure)


LOCATIONS_BY_LIKELIHOOD = ("us", "eu", "in", "au", "jp", "ca", "sa", "uk", "ae", "sg", "cn")
"""The order in which a client's data center is searched: those with the most clients come first.
China is separate: its clients aren't known anywhere else."""

INVALID_SECRET = "0" * 42
"""Sent instead of the real secret to find a client's data center: one that knows the client ID
answers ``invalid_client_secret``, any other ``invalid_client``."""


class ClientRequests:
    """Sends requests about clients and codes, and records each in the request log."""

    def __init__(self, store: Store, request_log: RequestLog, oauth: "OAuth", zoho: Zoho) -> None:
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
    ) -> "TokenResponse":
        """Post `code` to the data center's token endpoint, once. Only a request that certainly
        wasn't sent is repeated, and none is sent without space to store the answer. The caller has
        committed `attempt` as EXCHANGE_INTENT."""
        request = self._request_log.new_request(
            RequestKind.CODE_EXCHANGE, client.client_id, data_center.location
        )
        secret = self.secret_for(client, data_center.location)

        def post() -> "TokenResponse":
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
        *,
        within_budget: bool = False,
    ) -> "TokenResponse":
        """Refresh once with credentials that aren't stored yet. If the answer replaces the refresh
        token, `keep` gets the new one before the rest is read. Raises the failures of the accounts
        server and the transport, ``throttled``, and `within_budget` ``client-budget`` instead of
        a request beyond the client's budget."""
        self._request_log.check_rate_limit(client_id, location)
        data_center = self._zoho.data_center(location)

        def refresh() -> "TokenResponse":
            response = self._oauth.refresh(data_center, client_id, client_secret, refresh_token)
            if response.new_refresh_token is not None:
                keep(response.new_refresh_token)
            return response.token()

        request = self._request_log.new_request(RequestKind.REFRESH, client_id, location)
        check = self._request_log.check_client_budget if within_budget else None
        return self._request_log.run(request, refresh, check=check)

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
