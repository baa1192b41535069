"""What the ledger's asks allow: pure judges of what was asked of one client in one data centre.

Zoho allows ten token requests in ten minutes. Its pages differ on whether they are counted for a
refresh token or for a client, so that each grant has a budget below ten, and a client has one from
the day on which Zoho throttles a grant that was within its own. Everything is derived from the
asks, newest first, and nothing is kept beside them: it holds for every process and after a restart.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum, auto

from wizard.model import FailureKind, Grant, RequestKind, TokenRequest
from wizard.model.failure_codes import codes_of
from wizard.model.states import PENDING_OUTCOME, PENDING_TIMEOUT
from wizard.transport import bounded
from wizard.zoho import limits

LIMITS = limits()
WINDOW = timedelta(seconds=LIMITS.window_seconds)
RATE_LIMIT_PAUSE = timedelta(seconds=LIMITS.rate_limit_pause_seconds)

CLIENT_TOKEN_REQUESTS_BUDGET = LIMITS.token_requests - 1
"""For one client in one data centre in a window where it counts together: one is left to a
person."""

COUNT_BY_CLIENT_DURATION = timedelta(days=1)
"""How long one throttle makes us count by client; a longer memory would outlive Zoho's moods."""

REFRESH_EARLY_SECONDS = 300
"""Seconds before its end at which a token is renewed, so that a script's next calls still work."""

REFRESH_SPREAD_SECONDS = 1500
"""Seconds over which the renewals of a client's connections are spread once it is counted as one:
two and a half windows, which hold 22 renewals, and no token is renewed in its first half hour."""

FAILURES_BEFORE_PAUSE = 5
"""Answers in a row that were none, after which a data centre is left alone for a while."""
OUTAGE_PAUSE, MAX_OUTAGE_PAUSE = timedelta(seconds=30), timedelta(minutes=5)
"""The first pause, doubled by each failure that follows, and where the doubling ends."""

NOT_SENT, PENDING, RATE_LIMITED = "not-sent", PENDING_OUTCOME, "throttled"
"""Outcomes: never left, counted against nothing; no answer yet; refused by Zoho's throttle."""

NO_RESPONSE_CODES = codes_of(FailureKind.NETWORK, FailureKind.OUTAGE, FailureKind.RESPONSE)
"""Outcomes that tell of the network or of Zoho's own trouble, and nothing of the client. What never
left is not among them: it burdened nobody, and a network that is back should be noticed at once."""

_SILENT = NO_RESPONSE_CODES | {NOT_SENT, PENDING, RATE_LIMITED}
"""Outcomes of an ask that Zoho did not answer by a verdict."""

TOKEN_REQUEST_KINDS = frozenset(
    {RequestKind.CODE_EXCHANGE, RequestKind.REFRESH, RequestKind.PREFLIGHT}
)


class RefreshPurpose(Enum):
    """What a refresh is for, which says how much of the budgets it may take."""

    REQUIRED = auto()
    """No token is left that works: a program stands still without it."""
    REJECTED = auto()
    """As before, because the last one was rejected: the reserved request is for this alone."""
    VERIFICATION = auto()
    """Somebody wants to know whether the grant lives. It has to fit whichever way Zoho counts."""
    EARLY = auto()
    """There is a token that still works. It has to fit so, too, and leaves room for programs."""
    INSISTED = auto()
    """A person wants it now, in spite of a wait that the server named: one request, which has to
    fit as a verdict does."""


def is_counted(request: TokenRequest) -> bool:
    """Whether Zoho counts `ask` as a token request."""
    return request.kind in TOKEN_REQUEST_KINDS and request.outcome != NOT_SENT


def is_counted_by_client(requests: Sequence[TokenRequest]) -> bool:
    """Whether the client is counted as one: our budgets keep every grant within its own, so a
    throttle can only mean that Zoho adds up more than one."""
    return any(ask.outcome == RATE_LIMITED for ask in requests)


def rate_limited_until(requests: Sequence[TokenRequest], now: datetime) -> datetime | None:
    """Until when Zoho's last throttle holds; None: it does not, or a refresh of the same grant
    that was answered since then shows that it has ended."""
    answered: set[tuple[str, int]] = set()
    for ask in requests:
        of = ask.connection, ask.generation
        if ask.outcome == RATE_LIMITED and of not in answered:
            end = bounded(ask.retry_at, ask.at) or ask.at + RATE_LIMIT_PAUSE
            if end > now:
                return end
        elif ask.kind is RequestKind.REFRESH and ask.outcome not in _SILENT:
            answered.add(of)
    return None


def paused_until(
    requests: Sequence[TokenRequest], now: datetime, *, insisted: bool = False
) -> datetime | None:
    """Until when a data centre that does not answer is left alone; None: ask.

    After `PATIENCE` failures in a row it rests, longer with each; then one ask may try, and as
    long as that one is on its way, nobody else. A ``Retry-After`` counts from the first failure on,
    unless a person has `insisted`.
    """
    failures = tuple(_consecutive_failures(requests))
    if not failures:
        return None
    named = () if insisted else (bounded(ask.retry_at, ask.at) for ask in failures)
    ends = [end for end in named if end]
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
    for ask in answered:
        if ask.outcome in NO_RESPONSE_CODES:
            yield ask
        elif ask.outcome != NOT_SENT:
            return


def next_token_request_at(
    requests: Sequence[TokenRequest],
    grant: Grant,
    now: datetime,
    purpose: RefreshPurpose = RefreshPurpose.REQUIRED,
) -> datetime | None:
    """When one more token request for `grant` fits into the budgets; None: now."""
    lately = [ask for ask in requests if is_counted(ask) and ask.at > now - WINDOW]
    own = [ask for ask in lately if is_for_grant(ask, grant)]
    reserved, together = LIMITS.token_requests_reserved, is_counted_by_client(requests)
    for_this = reserved if purpose is RefreshPurpose.REJECTED else 0
    frees = [_free_at(own, LIMITS.token_requests_budget + for_this)]
    if purpose is RefreshPurpose.EARLY:
        frees.append(_free_at(lately, LIMITS.token_requests_budget))
    elif purpose in (RefreshPurpose.VERIFICATION, RefreshPurpose.INSISTED) or together:
        held_back = reserved - for_this if together else 0
        frees.append(_free_at(lately, CLIENT_TOKEN_REQUESTS_BUDGET - held_back))
    return max((free_at for free_at in frees if free_at), default=None)


TOKEN_REQUESTS_PER_CONSENT = 2
"""Token requests that one consent takes: its code is exchanged, and its grant proved."""


@dataclass(frozen=True)
class ConsentSchedule:
    """How fast consents of one client may follow each other."""

    started_at: tuple[datetime, ...]
    """Those of the last ten minutes, oldest first."""
    budget: int
    """How many may be begun in ten minutes."""
    blocked_until: datetime | None
    """None is begun before then, since its code could not be exchanged."""

    def next_start(self, now: datetime) -> datetime:
        """When the next one may be begun."""
        first = now if self.blocked_until is None else max(now, self.blocked_until)
        if len(self.started_at) < self.budget:
            return first
        return max(first, self.started_at[-self.budget] + WINDOW)

    def with_start(self, at: datetime) -> "ConsentSchedule":
        """The pace once one more is begun."""
        return replace(self, started_at=(*self.started_at, at))


def consent_schedule(
    authorizations: Sequence[TokenRequest], requests: Sequence[TokenRequest], now: datetime
) -> ConsentSchedule:
    """The pace of a client after `codes`, and after `asks` of the data centre in which its codes
    are exchanged. A client that is counted as one gets fewer: each takes `FOR_A_CONSENT`."""
    together = is_counted_by_client(requests)
    lately = [ask for ask in requests if is_counted(ask) and ask.at > now - WINDOW]
    capacity = CLIENT_TOKEN_REQUESTS_BUDGET - TOKEN_REQUESTS_PER_CONSENT + 1
    rests = [rate_limited_until(requests, now), _free_at(lately, capacity) if together else None]
    return ConsentSchedule(
        started_at=tuple(sorted(ask.at for ask in authorizations)),
        budget=CLIENT_TOKEN_REQUESTS_BUDGET // TOKEN_REQUESTS_PER_CONSENT
        if together
        else LIMITS.codes_budget,
        blocked_until=max((each for each in rests if each), default=None),
    )


def is_for_grant(request: TokenRequest, grant: Grant) -> bool:
    """Whether `ask` was for `grant`."""
    return (request.connection, request.generation) == (grant.connection, grant.generation)


def refresh_lead_time(
    requests: Sequence[TokenRequest], grant: Grant, lifetime_seconds: float
) -> timedelta:
    """How long before the end of its `life` (seconds) an access token of `grant` is renewed.

    The connections of a client that is counted as one take turns, each at its own time, so that
    they do not all come to their end within one window.
    """
    seconds = REFRESH_EARLY_SECONDS
    if is_counted_by_client(requests):
        digest = hashlib.sha256(grant.connection.encode()).digest()
        seconds += int.from_bytes(digest[:4], "big") % REFRESH_SPREAD_SECONDS
    return timedelta(seconds=min(seconds, lifetime_seconds / 2))


def _free_at(requests: Sequence[TokenRequest], budget: int) -> datetime | None:
    """When one more fits: the ask that is `budget` back (newest first) leaves the window."""
    return requests[budget - 1].at + WINDOW if len(requests) >= budget else None
