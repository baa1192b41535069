"""Decide which requests may be sent now, from the logged requests of one client in one data center.

Zoho allows ten token requests in ten minutes. Its documentation contradicts itself on whether that
is for a refresh token or for a client. So each grant has a budget below ten, and a client gets one
for a day if Zoho rate-limits a grant that was within its own budget. The functions are pure and
take `requests` newest first.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum, auto

from wizard.model import FailureKind, Grant, RequestKind, TokenRequest
from wizard.model.failure import codes_of
from wizard.model.states import PENDING_OUTCOME, PENDING_TIMEOUT
from wizard.transport import bounded
from wizard.zoho import limits

LIMITS = limits()
WINDOW = timedelta(seconds=LIMITS.window_seconds)
RATE_LIMIT_PAUSE = timedelta(seconds=LIMITS.rate_limit_pause_seconds)

CLIENT_TOKEN_REQUESTS_BUDGET = LIMITS.token_requests - 1
"""For one client in one data center and window, if it is counted by client. One request is left for
the user."""

COUNT_BY_CLIENT_DURATION = timedelta(days=1)
"""How long to count by client after a rate limit."""

REFRESH_EARLY_SECONDS = 300
"""Seconds before an access token expires at which it is refreshed, so that a script's next calls
still work."""

REFRESH_SPREAD_SECONDS = 1500
"""Seconds over which the refreshes of a client's connections are spread if it is counted by client:
two and a half windows, enough for 22 refreshes. No token is refreshed in its first half hour."""

FAILURES_BEFORE_PAUSE = 5
"""Requests in a row without a usable answer after which none are sent to a data center for a
while."""
OUTAGE_PAUSE, MAX_OUTAGE_PAUSE = timedelta(seconds=30), timedelta(minutes=5)
"""The first pause, which doubles with each further failure, and the longest."""

NOT_SENT, PENDING, RATE_LIMITED = "not-sent", PENDING_OUTCOME, "throttled"
"""Outcomes: certainly not sent, so not counted; no answer yet; rate-limited by Zoho."""

NO_RESPONSE_CODES = codes_of(FailureKind.NETWORK, FailureKind.OUTAGE, FailureKind.RESPONSE)
"""Outcomes that show a failure of the network or of Zoho. `NOT_SENT` isn't one of them, so that
requests resume as soon as the network is back."""

_SILENT = NO_RESPONSE_CODES | {NOT_SENT, PENDING, RATE_LIMITED}
"""Outcomes of requests that Zoho didn't decide."""

TOKEN_REQUEST_KINDS = frozenset(
    {
        *(RequestKind.CODE_EXCHANGE, RequestKind.REFRESH),
        *(RequestKind.PREFLIGHT, RequestKind.ENHANCEMENT),
    }
)


class RefreshPurpose(Enum):
    """What a refresh is for, which says how much of the budgets it may take."""

    REQUIRED = auto()
    """A program needs a token, and there is no usable one."""
    REJECTED = auto()
    """The same, because Zoho rejected the last one. May use the reserved request."""
    VERIFICATION = auto()
    """A test of the grant. Must fit the budgets of the grant and of the client."""
    EARLY = auto()
    """The current token still works. Must leave requests for programs."""
    INSISTED = auto()
    """As VERIFICATION, sent once although Zoho asked to wait: the user insists."""


def is_counted(request: TokenRequest) -> bool:
    """Whether Zoho counts `request` as a token request."""
    return request.kind in TOKEN_REQUEST_KINDS and request.outcome != NOT_SENT


def is_counted_by_client(requests: Sequence[TokenRequest]) -> bool:
    """Whether Zoho counts the requests of all grants of the client together. Our budgets keep each
    grant below its limit, so any rate limit shows that."""
    return any(request.outcome == RATE_LIMITED for request in requests)


def rate_limited_until(requests: Sequence[TokenRequest], now: datetime) -> datetime | None:
    """When Zoho's last rate limit ends; None: there is none, or Zoho has answered a refresh of the
    same grant since."""
    answered: set[tuple[str, int]] = set()
    for request in requests:
        grant = request.connection, request.generation
        if request.outcome == RATE_LIMITED and grant not in answered:
            end = bounded(request.retry_at, request.at) or request.at + RATE_LIMIT_PAUSE
            if end > now:
                return end
        elif request.kind is RequestKind.REFRESH and request.outcome not in _SILENT:
            answered.add(grant)
    return None


def paused_until(
    requests: Sequence[TokenRequest], now: datetime, *, insisted: bool = False
) -> datetime | None:
    """Until when no request is sent to a data center that doesn't answer; None: send.

    `FAILURES_BEFORE_PAUSE` failures in a row cause a pause, and each further one a longer pause.
    Then one request is sent, and no other until it is answered. A ``Retry-After`` applies from the
    first failure on, unless the user has `insisted`.
    """
    failures = tuple(_consecutive_failures(requests))
    if not failures:
        return None
    retry_times = () if insisted else (bounded(each.retry_at, each.at) for each in failures)
    ends = [end for end in retry_times if end]
    if len(failures) >= FAILURES_BEFORE_PAUSE:
        doubled = OUTAGE_PAUSE * 2 ** min(len(failures) - FAILURES_BEFORE_PAUSE, 4)
        ends.append(failures[0].at + min(doubled, MAX_OUTAGE_PAUSE))
        probes = [a.at for a in requests if a.kind in TOKEN_REQUEST_KINDS and a.outcome == PENDING]
        ends += [at + PENDING_TIMEOUT for at in probes if at > failures[0].at]
    return max((end for end in ends if end > now), default=None)


def _consecutive_failures(requests: Sequence[TokenRequest]) -> Iterator[TokenRequest]:
    answered = (
        a for a in requests if a.kind is not RequestKind.AUTHORIZATION and a.outcome != PENDING
    )
    for request in answered:
        if request.outcome in NO_RESPONSE_CODES:
            yield request
        elif request.outcome != NOT_SENT:
            return


def next_token_request_at(
    requests: Sequence[TokenRequest],
    grant: Grant,
    now: datetime,
    purpose: RefreshPurpose = RefreshPurpose.REQUIRED,
) -> datetime | None:
    """When the budgets allow one more token request for `grant`; None: now."""
    recent = _recent(requests, now)
    own = [each for each in recent if is_for_grant(each, grant)]
    reserved, by_client = LIMITS.token_requests_reserved, is_counted_by_client(requests)
    usable = reserved if purpose is RefreshPurpose.REJECTED else 0
    times = [_free_at(own, LIMITS.token_requests_budget + usable)]
    if purpose is RefreshPurpose.EARLY:
        times.append(_free_at(recent, LIMITS.token_requests_budget))
    elif purpose in (RefreshPurpose.VERIFICATION, RefreshPurpose.INSISTED) or by_client:
        withheld = reserved - usable if by_client else 0
        times.append(_free_at(recent, CLIENT_TOKEN_REQUESTS_BUDGET - withheld))
    return max((each for each in times if each), default=None)


def next_client_request_at(requests: Sequence[TokenRequest], now: datetime) -> datetime | None:
    """When the budget of a client allows one more token request that can wait; None: now."""
    return _free_at(_recent(requests, now), CLIENT_TOKEN_REQUESTS_BUDGET)


TOKEN_REQUESTS_PER_CONSENT = 2
"""Token requests that one consent takes: the code exchange and the refresh that verifies it."""


@dataclass(frozen=True)
class ConsentSchedule:
    """When consents with one client can start."""

    started_at: tuple[datetime, ...]
    """Those of the last ten minutes, oldest first."""
    budget: int
    """How many can start in ten minutes."""
    blocked_until: datetime | None
    """Until then, a code couldn't be exchanged."""

    def next_start(self, now: datetime) -> datetime:
        """When the next one can start."""
        first = now if self.blocked_until is None else max(now, self.blocked_until)
        if len(self.started_at) < self.budget:
            return first
        return max(first, self.started_at[-self.budget] + WINDOW)

    def with_start(self, at: datetime) -> "ConsentSchedule":
        """The schedule after one more has started."""
        return replace(self, started_at=(*self.started_at, at))


def consent_schedule(
    authorizations: Sequence[TokenRequest], requests: Sequence[TokenRequest], now: datetime
) -> ConsentSchedule:
    """The schedule of a client after its recent `authorizations`, and `requests` to the data center
    that exchanges its codes. A client that is counted by client gets fewer consents: each takes
    `TOKEN_REQUESTS_PER_CONSENT`."""
    by_client = is_counted_by_client(requests)
    capacity = CLIENT_TOKEN_REQUESTS_BUDGET - TOKEN_REQUESTS_PER_CONSENT + 1
    free_at = _free_at(_recent(requests, now), capacity) if by_client else None
    blocks = [rate_limited_until(requests, now), free_at]
    return ConsentSchedule(
        started_at=tuple(sorted(each.at for each in authorizations)),
        budget=CLIENT_TOKEN_REQUESTS_BUDGET // TOKEN_REQUESTS_PER_CONSENT
        if by_client
        else LIMITS.codes_budget,
        blocked_until=max((each for each in blocks if each), default=None),
    )


def is_for_grant(request: TokenRequest, grant: Grant) -> bool:
    """Whether `request` was for `grant`."""
    return (request.connection, request.generation) == (grant.connection, grant.generation)


def refresh_lead_time(
    requests: Sequence[TokenRequest], grant: Grant, lifetime_seconds: float
) -> timedelta:
    """How long before it expires an access token of `grant` with `lifetime_seconds` is refreshed.

    If the requests of its client are counted together, each connection has its own time, so that
    they aren't all due in the same window.
    """
    seconds = REFRESH_EARLY_SECONDS
    if is_counted_by_client(requests):
        digest = hashlib.sha256(grant.connection.encode()).digest()
        seconds += int.from_bytes(digest[:4], "big") % REFRESH_SPREAD_SECONDS
    return timedelta(seconds=min(seconds, lifetime_seconds / 2))


def _recent(requests: Sequence[TokenRequest], now: datetime) -> list[TokenRequest]:
    """Those in the current window that count."""
    return [each for each in requests if is_counted(each) and each.at > now - WINDOW]


def _free_at(requests: Sequence[TokenRequest], budget: int) -> datetime | None:
    """When one more fits: as soon as the one `budget` back leaves the window; None: now."""
    return requests[budget - 1].at + WINDOW if len(requests) >= budget else None
