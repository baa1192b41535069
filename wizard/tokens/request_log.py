"""The ledger of every ask of an accounts server: what was asked, and what may be asked now.

Zoho allows ten token requests in ten minutes, ten codes for a client in ten minutes, and twenty
living refresh tokens for a user of a client, the twenty-first killing the oldest. Our budgets stay
below each of these numbers. The ledger lives in the store, so that it holds for every process and
after a restart.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeVar

from wizard.errors import WizardError
from wizard.fastpath.token_file import CLOCK_TOLERANCE_SECONDS
from wizard.model import Client, Clock, Failure, Grant, RequestKind, TokenRequest
from wizard.model.states import outcome_unknown_since
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

Result = TypeVar("Result")

SEARCH_INTERVAL = timedelta(hours=1)
"""A client's data centre is looked for at most this often without the person's word."""

MAX_UNSENT_TRIES = 3
"""Tries of a request that certainly never left: refused connections and DNS recover at once or
not at all, and each try is bounded by the transport's own deadline."""

CLIENT_KNOWN, CLIENT_UNKNOWN = "known-here", "unknown-here"
"""Outcomes of an ask that looked for a client's home with a made-up secret."""


@dataclass(frozen=True)
class RequestLogView:
    """What was asked for one connection lately, and what may still be asked."""

    requests: tuple[TokenRequest, ...]
    """Of the last ten minutes, newest first."""
    token_requests_left: int
    deferrable_requests_left: int
    """Of these, for what can wait, such as a diagnosis: counted for the whole client."""
    next_request_at: datetime | None
    """When the next token request may be made; None: now."""
    authorizations_left: int
    refresh_token_count: int
    """Living refresh tokens of this connection's user and client, as far as the wizard knows."""
    is_near_refresh_token_limit: bool
    """The refresh tokens come near to Zoho's limit."""
    is_counted_by_client: bool
    """Zoho throttled a grant within its own budget, so that the client is counted as one."""
    client_requests_left: int
    """Token requests of the whole client there, if it is counted as one; without the one that is
    reserved to replace a rejected access token."""


class RequestLog:
    """Writes down every ask and says which may be made now."""

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
        """Write `ask` down, `act`, and settle its `outcome`: by default ``ok``, or the failure's
        code. An ask that certainly never left is repeated, up to `tries` in all.

        `allow` is given what was asked of this client there before, and raises where one ask more
        is too many; nobody else asks between its look and the ask that follows."""
        number = self._record(request, check)
        try:
            answer = send()
        except WizardError as error:
            failure = error.failure
            self._finish(number, failure.code if failure.sent else NOT_SENT, failure.retry_at)
            if failure.sent or max_tries == 1 or failure.code == "network-tls":
                raise  # a certificate that is not trusted now will not be in a second either
        else:
            self._finish(number, outcome(answer))
            return answer
        return self.run(request, send, outcome, max_tries - 1, check)

    def _record(
        self, request: TokenRequest, check: Callable[[Sequence[TokenRequest]], None] | None
    ) -> int:
        """Write the ask down; where that is not possible, nothing is sent."""
        now, allowed = replace(request, at=self._clock()), check and self._check_with_known(check)
        try:
            return self._store.request_log.add(now, allowed, self._ago(COUNT_BY_CLIENT_DURATION))
        except WizardError as error:
            raise WizardError(replace(error.failure, sent=False)) from error

    def _finish(self, request_id: int, outcome: str, retry_at: datetime | None = None) -> None:
        """Write the outcome down, if that is possible: what Zoho answered is worth more than the
        line about it, and without it the ask counts as one that was made."""
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
        """Record that a browser is sent to ask for a code."""
        request = self.new_request(RequestKind.AUTHORIZATION, client_id, location)
        self.run(replace(request, connection=connection), lambda: None)

    # what may be sent

    def check_consent(self, client: Client, zuid: str = "", *, force: bool = False) -> None:
        """Raise unless one more consent with `client` may start now: ``codes-budget``, and unless
        `force`, ``throttled``, or ``refresh-tokens-budget`` for the known user `zuid`."""
        if not force:
            self.check_rate_limit(client.client_id, client.location)
        self._check_authorization_budget(client)
        if zuid and not force:
            self._check_refresh_token_budget(client, zuid)

    def check_refresh(
        self, grant: Grant, purpose: RefreshPurpose, requests: Sequence[TokenRequest]
    ) -> None:
        """Raise ``throttled``, ``zoho-paused``, ``token-budget`` or, where the grant's own budget
        would allow it, ``client-budget``, temporary and with ``retry_at``, unless a token request
        for `grant` may be made after `asks` of its client."""
        now, insisted = self._clock(), purpose is RefreshPurpose.INSISTED
        mine = purpose if purpose is RefreshPurpose.REJECTED else RefreshPurpose.REQUIRED
        own = budgets.next_token_request_at(requests, grant, now, mine)
        waits = (
            ("throttled", None if insisted else budgets.rate_limited_until(requests, now)),
            ("zoho-paused", budgets.paused_until(requests, now, insisted=insisted)),
            ("token-budget", own),
            ("client-budget", budgets.next_token_request_at(requests, grant, now, purpose)),
        )
        for code, until in waits:
            if until:
                raise wait(code, until, name=grant.connection, location=grant.location)

    def named_wait(self, grant: Grant) -> datetime | None:
        """Until when Zoho wants the client of `grant` to ask nothing there; None: it does not."""
        logged_requests, now = (
            self._requests_of_client(grant.client_id, grant.location),
            self._clock(),
        )
        throttled = budgets.rate_limited_until(logged_requests, now)
        return throttled or budgets.paused_until(logged_requests, now)

    def check_rate_limit(self, client_id: str, location: str) -> None:
        """Raise ``throttled`` while Zoho's last throttle of this client there still holds."""
        logged_requests = self._requests_of_client(client_id, location)
        if until := budgets.rate_limited_until(logged_requests, self._clock()):
            raise wait("throttled", until)

    def _check_authorization_budget(self, client: Client) -> None:
        """Raise ``codes-budget`` when this client has begun too many consents lately."""
        logged_requests = self._recent_authorizations(client.client_id)
        if len(logged_requests) >= LIMITS.codes_budget:
            free_at = logged_requests[LIMITS.codes_budget - 1].at + WINDOW
            count = str(LIMITS.codes_budget)
            raise wait("codes-budget", free_at, client=client.name, count=count)

    def _check_refresh_token_budget(self, client: Client, zuid: str) -> None:
        """Raise ``refresh-tokens-budget`` when another consent of this user would come near the
        number at which Zoho kills the oldest refresh token."""
        living = self._count_refresh_tokens(client.client_id, zuid)
        if living >= LIMITS.refresh_tokens_hard_stop:
            details = {"count": str(living), "client": client.name}
            raise WizardError(Failure(code="refresh-tokens-budget", sent=False, details=details))

    def _count_refresh_tokens(self, client_id: str, zuid: str) -> int:
        """Living refresh tokens of one user and client, as far as the wizard knows."""
        counts = self._store.grants.count_refresh_tokens(client_id)
        return sum(count for (owner, _email), count in counts.items() if owner == zuid)

    def recent_search_results(self, client_id: str, max_age: timedelta) -> dict[str, str]:
        """What data centres said within `rest` when this client's home was looked for:
        location → `KNOWN` or `UNKNOWN`."""
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
        """How fast consents may follow each other, by client id and data center, for `places`."""
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
        """Whether an access token was made for `grant` within `span`."""
        logged_requests = self._store.request_log.requests(
            since=self._ago(max_age), connection=grant.connection
        )
        made = [
            entry
            for entry in logged_requests
            if entry.kind is RequestKind.REFRESH and entry.outcome == "ok"
        ]
        return any(is_for_grant(entry, grant) for entry in made)

    def unanswered(self, grant: Grant) -> TokenRequest | None:
        """The refresh of `grant` whose outcome is unknown: sent after its refresh token was last
        replaced, with no answer stored. Always None where the server has never replaced one."""
        return self._store.grant_history.unanswered_refresh(grant)

    def outcome_unknown_since(self, grant: Grant) -> datetime | None:
        """As `states.outcome_unknown_since`, of the stored requests."""
        return outcome_unknown_since(grant, self.unanswered(grant), self._clock())

    def refresh_at(self, grant: Grant, expires_at: datetime) -> datetime:
        """When an access token of `grant` that ends at `expires_at` is to be renewed."""
        logged_requests = self._requests_of_client(grant.client_id, grant.location)
        life = (expires_at - self._clock()).total_seconds()
        return expires_at - budgets.refresh_lead_time(logged_requests, grant, life)

    def view(self, name: str) -> RequestLogView:
        """The requests for connection `name` in the last ten minutes, and how many are left."""
        client = self._store.clients.get(self._store.connections.get(name).client_id)
        grant = self._store.grants.get(name) or self._store.grants.candidate(name)
        account = grant.account if grant else None
        living = self._count_refresh_tokens(client.client_id, account.zuid) if account else 0
        location = grant.location if grant else client.location
        logged_requests = self._requests_of_client(client.client_id, location)
        lately = [entry for entry in logged_requests if entry.at > self._ago(WINDOW)]
        own = [entry for entry in lately if grant and is_for_grant(entry, grant)]
        most = LIMITS.token_requests_budget
        together = CLIENT_TOKEN_REQUESTS_BUDGET - LIMITS.token_requests_reserved
        return RequestLogView(
            requests=tuple(own),
            token_requests_left=max(0, most - _count(own)),
            deferrable_requests_left=max(0, most - _count(lately)),
            next_request_at=self._next_request_at(logged_requests, grant) if grant else None,
            authorizations_left=max(
                0, LIMITS.codes_budget - len(self._recent_authorizations(client.client_id))
            ),
            refresh_token_count=living,
            is_near_refresh_token_limit=living >= LIMITS.refresh_tokens_warning_threshold,
            is_counted_by_client=budgets.is_counted_by_client(logged_requests),
            client_requests_left=max(0, together - _count(lately)),
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
        """`asks` without what stands in the future, since the clock went back: nobody can say when
        it was."""
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
    """A failure of our own budgets: nothing was sent, and waiting helps."""
    failure = Failure(code, temporary=True, sent=False, details=details, retry_at=retry_at)
    return WizardError(failure)
