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

from wizard.model import Ask, AskKind, Grant
from wizard.transport import bounded
from wizard.zoho import limits

LIMITS = limits()
WINDOW = timedelta(seconds=LIMITS.window)
PAUSE = timedelta(seconds=LIMITS.throttle_pause)

CLIENT_TOKEN_REQUESTS = LIMITS.token_requests - 1
"""For one client in one data centre in a window where it counts together: one is left to a
person."""

MEMORY = timedelta(days=1)
"""How long one throttle makes us count by client; a longer memory would outlive Zoho's moods."""

EARLY = 300
"""Seconds before its end at which a token is renewed, so that a script's next calls still work."""

SPREAD_OUT = 1500
"""Seconds over which the renewals of a client's connections are spread once it is counted as one:
two and a half windows, which hold 22 renewals, and no token is renewed in its first half hour."""

PATIENCE = 5
"""Answers in a row that were none, after which a data centre is left alone for a while."""
REST, LONGEST_REST = timedelta(seconds=30), timedelta(minutes=5)
"""The first pause, doubled by each failure that follows, and where the doubling ends."""
UNDER_WAY = timedelta(seconds=30)
"""How long an ask may be on its way: the transport's total deadline."""

NOT_SENT, ASKED, THROTTLED = "not-sent", "asked", "throttled"
"""Outcomes: never left, counted against nothing; no answer yet; refused by Zoho's throttle."""

NO_ANSWER = frozenset(
    {
        *("network-timeout", "network-reset", "network-proxy", "network-tls"),
        *("data-centre-down", "general-error", "not-json", "malformed-answer", "answer-too-large"),
    }
)
"""Outcomes that tell of the network or of Zoho's own trouble, and nothing of the client. What never
left is not among them: it burdened nobody, and a network that is back should be noticed at once."""

_SILENT = NO_ANSWER | {NOT_SENT, ASKED, THROTTLED}
"""Outcomes of an ask that Zoho did not answer by a verdict."""

TOKEN_KINDS = frozenset({AskKind.EXCHANGE, AskKind.REFRESH, AskKind.PREFLIGHT})


class Need(Enum):
    """What a refresh is for, which says how much of the budgets it may take."""

    TOKEN = auto()
    """No token is left that works: a program stands still without it."""
    REJECTED = auto()
    """As before, because the last one was rejected: the reserved request is for this alone."""
    VERDICT = auto()
    """Somebody wants to know whether the grant lives. It has to fit whichever way Zoho counts."""
    SPARE = auto()
    """There is a token that still works. It has to fit so, too, and leaves room for programs."""
    INSISTED = auto()
    """A person wants it now, in spite of a wait that the server named: one request, which has to
    fit as a verdict does."""


def counts(ask: Ask) -> bool:
    """Whether Zoho counts `ask` as a token request."""
    return ask.kind in TOKEN_KINDS and ask.outcome != NOT_SENT


def counted_by_client(asks: Sequence[Ask]) -> bool:
    """Whether the client is counted as one: our budgets keep every grant within its own, so a
    throttle can only mean that Zoho adds up more than one."""
    return any(ask.outcome == THROTTLED for ask in asks)


def throttled_until(asks: Sequence[Ask], now: datetime) -> datetime | None:
    """Until when Zoho's last throttle holds; None: it does not, or a refresh of the same grant
    that was answered since then shows that it has ended."""
    answered: set[tuple[str, int]] = set()
    for ask in asks:
        of = ask.connection, ask.generation
        if ask.outcome == THROTTLED and of not in answered:
            end = bounded(ask.retry_at, ask.at) or ask.at + PAUSE
            if end > now:
                return end
        elif ask.kind is AskKind.REFRESH and ask.outcome not in _SILENT:
            answered.add(of)
    return None


def resting_until(asks: Sequence[Ask], now: datetime, *, insisted: bool = False) -> datetime | None:
    """Until when a data centre that does not answer is left alone; None: ask.

    After `PATIENCE` failures in a row it rests, longer with each; then one ask may try, and as
    long as that one is on its way, nobody else. A ``Retry-After`` counts from the first failure on,
    unless a person has `insisted`.
    """
    failures = tuple(_failures_in_a_row(asks))
    if not failures:
        return None
    named = () if insisted else (bounded(ask.retry_at, ask.at) for ask in failures)
    ends = [end for end in named if end]
    if len(failures) >= PATIENCE:
        doubled = REST * 2 ** min(len(failures) - PATIENCE, 4)
        ends.append(failures[0].at + min(doubled, LONGEST_REST))
        probes = [a.at for a in asks if a.kind in TOKEN_KINDS and a.outcome == ASKED]
        ends += [at + UNDER_WAY for at in probes if at > failures[0].at]
    return max((end for end in ends if end > now), default=None)


def _failures_in_a_row(asks: Sequence[Ask]) -> Iterator[Ask]:
    answered = (a for a in asks if a.kind is not AskKind.CODE and a.outcome != ASKED)
    for ask in answered:
        if ask.outcome in NO_ANSWER:
            yield ask
        elif ask.outcome != NOT_SENT:
            return


def next_token_request(
    asks: Sequence[Ask], grant: Grant, now: datetime, need: Need = Need.TOKEN
) -> datetime | None:
    """When one more token request for `grant` fits into the budgets; None: now."""
    lately = [ask for ask in asks if counts(ask) and ask.at > now - WINDOW]
    own = [ask for ask in lately if of_grant(ask, grant)]
    reserved, together = LIMITS.token_requests_reserved, counted_by_client(asks)
    for_this = reserved if need is Need.REJECTED else 0
    frees = [_free_at(own, LIMITS.token_requests_budget + for_this)]
    if need is Need.SPARE:
        frees.append(_free_at(lately, LIMITS.token_requests_budget))
    elif need in (Need.VERDICT, Need.INSISTED) or together:
        held_back = reserved - for_this if together else 0
        frees.append(_free_at(lately, CLIENT_TOKEN_REQUESTS - held_back))
    return max((free_at for free_at in frees if free_at), default=None)


FOR_A_CONSENT = 2
"""Token requests that one consent takes: its code is exchanged, and its grant proved."""


@dataclass(frozen=True)
class Pace:
    """How fast consents of one client may follow each other."""

    begun: tuple[datetime, ...]
    """Those of the last ten minutes, oldest first."""
    budget: int
    """How many may be begun in ten minutes."""
    rest: datetime | None
    """None is begun before then, since its code could not be exchanged."""

    def next(self, now: datetime) -> datetime:
        """When the next one may be begun."""
        first = now if self.rest is None else max(now, self.rest)
        if len(self.begun) < self.budget:
            return first
        return max(first, self.begun[-self.budget] + WINDOW)

    def after(self, at: datetime) -> "Pace":
        """The pace once one more is begun."""
        return replace(self, begun=(*self.begun, at))


def pace(codes: Sequence[Ask], asks: Sequence[Ask], now: datetime) -> Pace:
    """The pace of a client after `codes`, and after `asks` of the data centre in which its codes
    are exchanged. A client that is counted as one gets fewer: each takes `FOR_A_CONSENT`."""
    together = counted_by_client(asks)
    lately = [ask for ask in asks if counts(ask) and ask.at > now - WINDOW]
    room = CLIENT_TOKEN_REQUESTS - FOR_A_CONSENT + 1
    rests = [throttled_until(asks, now), _free_at(lately, room) if together else None]
    return Pace(
        begun=tuple(sorted(ask.at for ask in codes)),
        budget=CLIENT_TOKEN_REQUESTS // FOR_A_CONSENT if together else LIMITS.codes_budget,
        rest=max((each for each in rests if each), default=None),
    )


def of_grant(ask: Ask, grant: Grant) -> bool:
    """Whether `ask` was for `grant`."""
    return (ask.connection, ask.generation) == (grant.connection, grant.generation)


def lead(asks: Sequence[Ask], grant: Grant, life: float) -> timedelta:
    """How long before the end of its `life` (seconds) an access token of `grant` is renewed.

    The connections of a client that is counted as one take turns, each at its own time, so that
    they do not all come to their end within one window.
    """
    seconds = EARLY
    if counted_by_client(asks):
        digest = hashlib.sha256(grant.connection.encode()).digest()
        seconds += int.from_bytes(digest[:4], "big") % SPREAD_OUT
    return timedelta(seconds=min(seconds, life / 2))


def _free_at(asks: Sequence[Ask], budget: int) -> datetime | None:
    """When one more fits: the ask that is `budget` back (newest first) leaves the window."""
    return asks[budget - 1].at + WINDOW if len(asks) >= budget else None
