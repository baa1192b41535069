"""The rungs of one grant: the calls that prove it, and what each of them saw.

All of them are asked to prove a grant; to know whether a proved one still works, only as many as it
takes, the cheapest first.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TypeVar

from wizard.broker import Broker, Need
from wizard.errors import WizardError
from wizard.model import (
    AccessToken,
    Account,
    Clock,
    Failure,
    Grant,
    Organization,
    Receipt,
    Rung,
    RungState,
)
from wizard.oauth import TokenResponse
from wizard.resource import Reading, Resource, rejects_token
from wizard.store import Store
from wizard.zoho import ALWAYS, Product, covers, products_of

SKEW = timedelta(seconds=60)
"""A difference between our clock and Zoho's that people should know of: our margin on a token's
life is two minutes, and half of it is then gone."""

NO_VERDICT = frozenset(
    {
        *("token-budget", "client-budget", "token-rejected", "throttled", "zoho-resting"),
        "refresh-under-way",
    }
)
"""Failures for which the grant was not asked about: they say nothing of it."""

SUSPECTED = "refused-for-now"
"""The access token is refused, and whether the grant lives with it could not be asked."""

Seen = tuple[RungState, Mapping[str, str], Failure | None]
"""What a rung saw: its state, the evidence, and the failure where there is one."""

Ask = Callable[[], Seen]
Answer = TypeVar("Answer")


class Climb:
    """One climb: what the rungs hand up to each other."""

    def __init__(
        self, grant: Grant, store: Store, broker: Broker, resource: Resource, clock: Clock
    ) -> None:
        self._grant = grant
        self._products = products_of(grant.scope)
        self._store = store
        self._broker = broker
        self._resource = resource
        self._clock = clock
        self._organizations = list(grant.organizations)
        self._access_token = ""
        self._renewed = False
        self._skew: timedelta | None = None
        self.token: TokenResponse | None = None

    def proves(self, receipt: Receipt | None) -> bool:
        """Whether `receipt` holds every rung of this ladder, passed or not."""
        names = {rung.name for rung in receipt.rungs} if receipt else set()
        ended = receipt is not None and receipt.finished_at is not None
        return ended and {"refresh", "clock", *self._later()} <= names

    def whole(self, need: Need) -> Iterator[Rung]:
        """All rungs, in order; nothing after a failed refresh or identity makes sense."""
        asks: dict[str, Ask] = {"refresh": partial(self._refresh, need), **self._later()}
        for name, ask in asks.items():
            rung = self._rung(name, ask)
            yield rung
            if rung.state is RungState.FAILED and name in ("refresh", "identity"):
                return
        yield self._rung("clock", self._clock_rung)

    def cheapest(
        self, before: Receipt, need: Need, *, renew: bool, witnessed: bool
    ) -> Iterator[Rung]:
        """As few rungs as tell whether the grant still does what it was proved to do.

        A read with the access token that lives tells of the token, of its refresh token and of the
        product. Only where there is none, or it is refused, or the last refresh failed (`renew`), a
        new one is asked for. What failed at its last time (`before`) is asked again. `witnessed`:
        see `Broker.renew_for_verdict`.

        Raises the failures of `NO_VERDICT`, and `SUSPECTED` instead of them where the last access
        token is known to be rejected.
        """
        cached = self._broker.cached_token(self._grant)
        self._access_token = cached.value if cached else ""
        if renew or not cached or "refresh" in _failed(before):
            rung = self._first_renewal(need, witnessed)
            yield rung
            if rung.state is RungState.FAILED:
                return
        for name in self._telling(before):
            rung = self._verdict(name, self._later()[name])
            if _refuses(rung) and not self._renewed:
                again = self._confirmed(rung, need)
                yield again
                if again.state is RungState.FAILED:
                    return
                rung = self._verdict(name, self._later()[name])
            yield rung
        if self._skew is not None:
            yield self._rung("clock", self._clock_rung)

    def _later(self) -> dict[str, Ask]:
        """The rungs between the first and the last."""
        reads = {f"read:{each.id}": partial(self._read, each) for each in self._products}
        identity = {"identity": self._identity, "organization": self._find_organizations}
        return {**identity, **reads, "scope": self._scope}

    def _telling(self, before: Receipt) -> list[str]:
        """The rungs that tell whether an access token works: a read of each product, else who
        consented."""
        reads = [each for each in self._products if each.probe_for(self._grant.scope)]
        wanted = {f"read:{each.id}" for each in reads} or {"identity"}
        wanted |= {"scope", *_failed(before)}
        return [name for name in self._later() if name in wanted]

    def _first_renewal(self, need: Need, witnessed: bool) -> Rung:
        """The refresh where no access token lives."""
        suspected = self._broker.is_rejected(self._grant)
        try:
            return self._verdict("refresh", partial(self._renew, need, witnessed=witnessed))
        except WizardError as error:
            if not suspected:
                raise
            raise WizardError(replace(error.failure, code=SUSPECTED)) from None

    def _confirmed(self, refused: Rung, need: Need) -> Rung:
        """The refresh after an access token was refused, which it confirms or explains; where
        Zoho cannot be asked now, the refusal, and when it can be."""
        self._renewed = True
        try:
            return self._verdict("refresh", partial(self._renew, need, witnessed=True))
        except WizardError as error:
            met = refused.failure or error.failure
            later = error.failure.retry_at
            return replace(refused, failure=replace(met, code=SUSPECTED, retry_at=later))

    def _verdict(self, name: str, ask: Ask) -> Rung:
        rung = self._rung(name, ask)
        if rung.failure is not None and rung.failure.code in NO_VERDICT:
            raise WizardError(rung.failure)
        return rung

    def _rung(self, name: str, ask: Ask) -> Rung:
        try:
            state, evidence, failure = ask()
        except WizardError as error:
            state, evidence, failure = RungState.FAILED, {}, error.failure
        if rejects_token(failure):
            self._broker.reject(self._grant, self._access_token)
        return Rung(name, state, evidence, self._clock(), failure)

    # the rungs

    def _refresh(self, need: Need) -> Seen:
        self.token = self._broker.refresh_grant(self._grant, need)
        return self._refreshed(self.token)

    def _renew(self, need: Need, *, witnessed: bool) -> Seen:
        """A new access token for everybody, which others may have had made meanwhile."""
        unless = self._access_token
        token = self._broker.renew_for_verdict(self._grant, unless, witnessed=witnessed, need=need)
        if isinstance(token, AccessToken):
            self._access_token = token.value
            return RungState.PASSED, {"access token": "renewed by another program"}, None
        return self._refreshed(token)

    def _refreshed(self, token: TokenResponse) -> Seen:
        self._access_token, api_domain = token.access_token, token.api_domain
        self._skew = token.exchange.at - token.date if token.date else None
        evidence = {
            "access token": f"issued for {token.expires_in // 60} minutes",
            "data centre": self._grant.location.upper(),
            "API domain": api_domain,
        }
        if token.api_domain_refused is not None:
            details = {"given": token.api_domain_refused[:100], "expected": api_domain}
            return RungState.FAILED, evidence, Failure("foreign-api-domain", details=details)
        return RungState.PASSED, evidence, None

    def _identity(self) -> Seen:
        if covers(self._grant.scope, (ALWAYS,)):  # of a token that was made elsewhere
            return RungState.SKIPPED, {"account": "this scope does not tell who consented"}, None
        account, _date = self._asked(
            lambda token: self._resource.who_am_i(token, self._grant.location)
        )
        self._describe(account, self._grant.organizations)
        evidence = {"name": account.display_name, "e-mail": account.email, "ZUID": account.zuid}
        return RungState.PASSED, evidence, None

    def _find_organizations(self) -> Seen:
        evidence: dict[str, str] = {}
        self._organizations = []
        for product in self._products:
            if not product.lists_organizations(self._grant.scope):
                continue
            found = self._organizations_of(product)
            self._organizations.extend(found)
            if found:
                evidence[product.title] = ", ".join(_title(each) for each in found)
        if self._grant.account is not None:
            self._describe(self._grant.account, tuple(self._organizations))
        state = RungState.PASSED if self._organizations else RungState.SKIPPED
        return state, evidence or {"organization": "nothing in this scope tells one"}, None

    def _organizations_of(self, product: Product) -> tuple[Organization, ...]:
        return self._asked(
            lambda token: self._resource.organizations(product, token, self._grant.location)
        )

    def _read(self, product: Product) -> Seen:
        chosen = next((each for each in self._organizations if each.product == product.id), None)

        def read(token: str) -> Reading:
            reading = self._resource.read(
                product,
                token,
                self._grant.location,
                chosen,
                self._grant.scope,
            )
            if reading.failure is not None and reading.failure.code == "token-invalid":
                raise WizardError(reading.failure)
            return reading

        reading = self._asked(read)
        if reading.failure is None:
            return RungState.PASSED, {product.title: reading.words}, None
        if not reading.failure.sent and reading.failure.code == "no-cheap-read":
            return RungState.SKIPPED, {product.title: "this scope allows no cheap read"}, None
        return RungState.FAILED, {product.title: f"{reading.words} cannot be read"}, reading.failure

    def _scope(self) -> Seen:
        wanted = self._store.wanted_scope(self._grant.connection, self._grant.generation)
        missing = covers(self._grant.scope, wanted)
        evidence = {"granted": ", ".join(self._grant.scope)}
        if not missing:
            return RungState.PASSED, evidence, None
        evidence["not granted"] = ", ".join(missing)
        details = {"name": self._grant.connection, "missing": ", ".join(missing)}
        return RungState.PARTIAL, evidence, Failure("fewer-scopes", details=details)

    def _clock_rung(self) -> Seen:
        if self._skew is None:
            return RungState.SKIPPED, {"clock": "Zoho's answer told no time"}, None
        seconds = round(self._skew.total_seconds())
        if abs(self._skew) <= SKEW:
            difference = "1 second" if abs(seconds) == 1 else f"{abs(seconds)} seconds"
            return RungState.PASSED, {"difference": difference}, None
        ahead = "ahead of" if seconds > 0 else "behind"
        evidence = {"difference": f"this computer is {abs(seconds)} seconds {ahead} Zoho"}
        details = {"seconds": str(abs(seconds)), "direction": ahead}
        return RungState.PARTIAL, evidence, Failure("clock-skew", details=details)

    def _describe(self, account: Account, organizations: tuple[Organization, ...]) -> None:
        """Write down whom the grant reaches; what an earlier climb saw stands until all is asked,
        because the next consent is compared with it."""
        self._grant = replace(self._grant, account=account, organizations=organizations)
        self._store.describe_grant(
            self._grant.connection, self._grant.generation, account, organizations
        )

    def _asked(self, ask: Callable[[str], Answer]) -> Answer:
        """Ask with the access token. Once a climb, a refused one of a grant that is being proved
        is renewed and asked again: CRM is known to refuse a good token now and then."""
        try:
            return ask(self._access_token)
        except WizardError as error:
            if error.failure.code != "token-invalid" or self._renewed or self.token is None:
                raise
        self._renewed = True
        self.token = self._broker.refresh_grant(self._grant)
        self._access_token = self.token.access_token
        return ask(self._access_token)


def _failed(receipt: Receipt) -> set[str]:
    """The names of the rungs that failed."""
    return {rung.name for rung in receipt.rungs if rung.state is RungState.FAILED}


def _refuses(rung: Rung) -> bool:
    """Whether an access token was refused, or may have been: Books has one code, 57, for a dead
    token and for a missing right, and a fresh token tells them apart (zoho.md 6.3)."""
    return rung.failure is not None and rung.failure.code in ("token-invalid", "not-authorized")


def _title(organization: Organization) -> str:
    if organization.environment:
        return f"{organization.name}, {organization.environment}"
    return organization.name
