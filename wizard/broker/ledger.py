"""The ledger of every ask of an accounts server: what was asked, and what may be asked now.

Zoho allows ten token requests in ten minutes, ten codes for a client in ten minutes, and twenty
living refresh tokens for a user of a client, the twenty-first killing the oldest. Our budgets stay
below each of these numbers. The ledger lives in the store, so that it holds for every process and
after a restart.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeVar

from wizard.broker import budgets
from wizard.broker.budgets import (
    CLIENT_TOKEN_REQUESTS,
    LIMITS,
    MEMORY,
    NOT_SENT,
    WINDOW,
    Need,
    counts,
    of_grant,
)
from wizard.cache import CLOCK_STEP
from wizard.errors import WizardError
from wizard.model import Ask, AskKind, Client, Clock, Failure, Grant
from wizard.store import UNANSWERED, Store

Answer = TypeVar("Answer")

SEARCH_REST = timedelta(hours=1)
"""A client's data centre is looked for at most this often without the person's word."""

UNSENT_TRIES = 3
"""Tries of a request that certainly never left: refused connections and DNS recover at once or
not at all, and each try is bounded by the transport's own deadline."""

KNOWN, UNKNOWN = "known-here", "unknown-here"
"""Outcomes of an ask that looked for a client's home with a made-up secret."""


@dataclass(frozen=True)
class LedgerView:
    """What was asked for one connection lately, and what may still be asked."""

    asks: tuple[Ask, ...]
    """Of the last ten minutes, newest first."""
    token_requests_left: int
    spare_left: int
    """Of these, for what can wait, such as a diagnosis: counted for the whole client."""
    next_free_at: datetime | None
    """When the next token request may be made; None: now."""
    codes_left: int
    refresh_tokens: int
    """Living refresh tokens of this connection's user and client, as far as the wizard knows."""
    warning: bool
    """The refresh tokens come near to Zoho's limit."""
    counted_by_client: bool
    """Zoho throttled a grant within its own budget, so that the client is counted as one."""
    client_requests_left: int
    """Token requests of the whole client there, if it is counted as one; without the one that is
    reserved to replace a rejected access token."""


class Ledger:
    """Writes down every ask and says which may be made now."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def record(
        self,
        ask: Ask,
        act: Callable[[], Answer],
        outcome: Callable[[Answer], str] = lambda _: "ok",
        tries: int = UNSENT_TRIES,
        allow: Callable[[Sequence[Ask]], None] | None = None,
    ) -> Answer:
        """Write `ask` down, `act`, and settle its `outcome`: by default ``ok``, or the failure's
        code. An ask that certainly never left is repeated, up to `tries` in all.

        `allow` is given what was asked of this client there before, and raises where one ask more
        is too many; nobody else asks between its look and the ask that follows."""
        number = self._written(ask, allow)
        try:
            answer = act()
        except WizardError as error:
            failure = error.failure
            self._settle(number, failure.code if failure.sent else NOT_SENT, failure.retry_at)
            if failure.sent or tries == 1 or failure.code == "network-tls":
                raise  # a certificate that is not trusted now will not be in a second either
        else:
            self._settle(number, outcome(answer))
            return answer
        return self.record(ask, act, outcome, tries - 1, allow)

    def _written(self, ask: Ask, allow: Callable[[Sequence[Ask]], None] | None) -> int:
        """Write the ask down; where that is not possible, nothing is sent."""
        now, allowed = replace(ask, at=self._clock()), allow and self._allowed(allow)
        try:
            return self._store.record(now, allowed, self._ago(MEMORY))
        except WizardError as error:
            raise WizardError(replace(error.failure, sent=False)) from error

    def _settle(self, number: int, outcome: str, retry_at: datetime | None = None) -> None:
        """Write the outcome down, if that is possible: what Zoho answered is worth more than the
        line about it, and without it the ask counts as one that was made."""
        with suppress(WizardError):
            self._store.settle(number, outcome, retry_at)

    def _allowed(self, allow: Callable[[Sequence[Ask]], None]) -> Callable[[Sequence[Ask]], None]:
        return lambda asks: allow(self._known(asks))

    # what may be asked

    def allow_refresh(self, grant: Grant, need: Need, asks: Sequence[Ask]) -> None:
        """Raise ``throttled``, ``zoho-resting``, ``token-budget`` or, where the grant's own budget
        would allow it, ``client-budget``, temporary and with ``retry_at``, unless a token request
        for `grant` may be made after `asks` of its client."""
        now, insisted = self._clock(), need is Need.INSISTED
        mine = need if need is Need.REJECTED else Need.TOKEN
        own = budgets.next_token_request(asks, grant, now, mine)
        waits = {
            "throttled": None if insisted else budgets.throttled_until(asks, now),
            "zoho-resting": budgets.resting_until(asks, now, insisted=insisted),
            "token-budget": own,
            "client-budget": budgets.next_token_request(asks, grant, now, need),
        }
        for code, until in waits.items():
            if until:
                raise wait(code, until, name=grant.connection, location=grant.location)

    def named_wait(self, grant: Grant) -> datetime | None:
        """Until when Zoho wants the client of `grant` to ask nothing there; None: it does not."""
        asks, now = self._of_client(grant.client_id, grant.location), self._clock()
        throttled = budgets.throttled_until(asks, now)
        return throttled or budgets.resting_until(asks, now)

    def check_throttle(self, client_id: str, location: str) -> None:
        """Raise ``throttled`` while Zoho's last throttle of this client there still holds."""
        asks = self._of_client(client_id, location)
        if until := budgets.throttled_until(asks, self._clock()):
            raise wait("throttled", until)

    def check_code(self, client: Client) -> None:
        """Raise ``codes-budget`` when this client has begun too many consents lately."""
        asks = self._codes(client.client_id)
        if len(asks) >= LIMITS.codes_budget:
            free_at = asks[LIMITS.codes_budget - 1].at + WINDOW
            count = str(LIMITS.codes_budget)
            raise wait("codes-budget", free_at, client=client.name, count=count)

    def check_refresh_tokens(self, client: Client, zuid: str) -> None:
        """Raise ``refresh-tokens-budget`` when another consent of this user would come near the
        number at which Zoho kills the oldest refresh token."""
        living = self.refresh_tokens(client.client_id, zuid)
        if living >= LIMITS.refresh_tokens_stop:
            details = {"count": str(living), "client": client.name}
            raise WizardError(Failure(code="refresh-tokens-budget", sent=False, details=details))

    def refresh_tokens(self, client_id: str, zuid: str) -> int:
        """Living refresh tokens of one user and client, as far as the wizard knows."""
        counts = self._store.refresh_tokens_of(client_id)
        return sum(count for (owner, _email), count in counts.items() if owner == zuid)

    def searched(self, client_id: str, rest: timedelta) -> dict[str, str]:
        """What data centres said within `rest` when this client's home was looked for:
        location → `KNOWN` or `UNKNOWN`."""
        asks = self._store.asks(since=self._ago(rest), client_id=client_id)
        found = [ask for ask in reversed(asks) if ask.outcome in (KNOWN, UNKNOWN)]
        return {ask.location: ask.outcome for ask in found}

    def pace(self, client: Client, location: str) -> budgets.Pace:
        """How fast consents with `client` may follow each other whose codes are exchanged in a data
        centre."""
        asks = self._of_client(client.client_id, location)
        return budgets.pace(self._codes(client.client_id), asks, self._clock())

    def refreshed_within(self, grant: Grant, span: timedelta) -> bool:
        """Whether an access token was made for `grant` within `span`."""
        asks = self._store.asks(since=self._ago(span), connection=grant.connection)
        made = [ask for ask in asks if ask.kind is AskKind.REFRESH and ask.outcome == "ok"]
        return any(of_grant(ask, grant) for ask in made)

    def unanswered(self, grant: Grant) -> Ask | None:
        """The refresh of `grant` whose outcome is unknown: sent after its refresh token was last
        replaced, with no answer stored. Always None where the server has never replaced one."""
        if grant.rotated_at is None:
            return None
        asks = self._store.asks(since=grant.rotated_at, connection=grant.connection)
        own = (ask for ask in asks if ask.kind is AskKind.REFRESH and of_grant(ask, grant))
        last = next((ask for ask in own if ask.outcome in (*UNANSWERED, "ok")), None)
        return None if last is None or last.outcome == "ok" else last

    def renew_at(self, grant: Grant, expires_at: datetime) -> datetime:
        """When an access token of `grant` that ends at `expires_at` is to be renewed."""
        asks = self._of_client(grant.client_id, grant.location)
        life = (expires_at - self._clock()).total_seconds()
        return expires_at - budgets.lead(asks, grant, life)

    def view(self, grant: Grant | None, client: Client) -> LedgerView:
        """What a page shows of the ledger for `grant` of `client`."""
        account = grant.account if grant else None
        living = self.refresh_tokens(client.client_id, account.zuid) if account else 0
        location = grant.location if grant else client.location
        asks = self._of_client(client.client_id, location)
        lately = [ask for ask in asks if ask.at > self._ago(WINDOW)]
        own = [ask for ask in lately if grant and of_grant(ask, grant)]
        most = LIMITS.token_requests_budget
        together = CLIENT_TOKEN_REQUESTS - LIMITS.token_requests_reserved
        return LedgerView(
            asks=tuple(own),
            token_requests_left=max(0, most - _count(own)),
            spare_left=max(0, most - _count(lately)),
            next_free_at=self._next_free_at(asks, grant) if grant else None,
            codes_left=max(0, LIMITS.codes_budget - len(self._codes(client.client_id))),
            refresh_tokens=living,
            warning=living >= LIMITS.refresh_tokens_warn,
            counted_by_client=budgets.counted_by_client(asks),
            client_requests_left=max(0, together - _count(lately)),
        )

    def _next_free_at(self, asks: Sequence[Ask], grant: Grant) -> datetime | None:
        now = self._clock()
        waits = (
            budgets.throttled_until(asks, now),
            budgets.resting_until(asks, now),
            budgets.next_token_request(asks, grant, now),
        )
        return max((each for each in waits if each), default=None)

    def _of_client(self, client_id: str, location: str) -> Sequence[Ask]:
        asks = self._store.asks(since=self._ago(MEMORY), client_id=client_id, location=location)
        return self._known(asks)

    def _known(self, asks: Sequence[Ask]) -> Sequence[Ask]:
        """`asks` without what stands in the future, since the clock went back: nobody can say when
        it was."""
        latest = self._ago(timedelta(seconds=-CLOCK_STEP))
        return [ask for ask in asks if ask.at <= latest]

    def _codes(self, client_id: str) -> list[Ask]:
        asks = self._store.asks(since=self._ago(WINDOW), client_id=client_id)
        return [ask for ask in asks if ask.kind is AskKind.CODE]

    def _ago(self, span: timedelta) -> datetime:
        return self._clock() - span


def _count(asks: Sequence[Ask]) -> int:
    return sum(1 for ask in asks if counts(ask))


def wait(code: str, retry_at: datetime, **details: str) -> WizardError:
    """A failure of our own budgets: nothing was sent, and waiting helps."""
    failure = Failure(code, temporary=True, sent=False, details=details, retry_at=retry_at)
    return WizardError(failure)
