"""The ladder: what proves a grant, rung by rung, each committed as it is climbed.

The refresh works → who am I → which organization → one cheap read per product → scopes granted
against asked → the clock. A grant whose climb ends without a failed rung becomes its connection's
current one, unless it reaches another account or organization than the one before, or less: then
it waits for the person, and the one before stays current.

Whether a proved grant still works is told by fewer asks, whose rungs replace those before.
"""

from collections.abc import Iterator
from datetime import timedelta

from wizard.broker import Broker, Need
from wizard.errors import fail
from wizard.model import AskKind, Clock, Event, Failure, Grant, GrantState, Rung
from wizard.oauth import TokenResponse
from wizard.resource import Resource
from wizard.store import Store
from wizard.validation.climb import Climb
from wizard.validation.identity import other_than_before
from wizard.zoho import Zoho

PROVABLE = (GrantState.UNPROVED, GrantState.PROVED, GrantState.MISMATCH)
"""The states of grants whose ladder can be climbed."""

REFUSED = frozenset({"invalid-code", "invalid-client", "invalid-client-secret"})
"""Outcomes of a refresh after which an access token that lives on tells only half of the truth."""

LATELY = timedelta(hours=2)
"""Twice the life of an access token: one that lives now was made within it."""


class Validation:
    """Climbs the ladder of a grant and decides what follows from it."""

    def __init__(
        self, store: Store, broker: Broker, resource: Resource, zoho: Zoho, clock: Clock
    ) -> None:
        self._store = store
        self._broker = broker
        self._resource = resource
        self._zoho = zoho
        self._clock = clock

    def climb(self, name: str, generation: int, need: Need = Need.TOKEN) -> Iterator[Rung]:
        """Climb the ladder of grant `generation` of connection `name`, committing each rung
        before it is yielded; the decision falls when the iterator is exhausted.

        A failed rung is a rung, not an exception. Raises `WizardError` when there is no such
        grant (``no-grant``), it is dead or revoked, or it is being climbed (``climb-under-way``).
        """
        with self._broker.climbing(name):
            yield from self._climbed(self._grant(name, generation), need)

    def check(
        self,
        name: str,
        generation: int,
        need: Need = Need.VERDICT,
        *,
        witnessed: bool = False,
    ) -> Iterator[Rung]:
        """Ask what tells whether grant `generation` of connection `name` still works, the cheapest
        first and no more than that: see `Climb.cheapest`. What was not asked stands as it was.

        A grant that was not proved to the end climbs the whole ladder. Raises as `climb` does, and
        where Zoho's limits keep it from being asked: ``token-budget``, ``client-budget``,
        ``token-rejected``, ``throttled``, ``zoho-resting``, or ``refused-for-now``.
        """
        with self._broker.climbing(name):
            grant = self._grant(name, generation)
            receipt = self._store.receipt(name, generation)
            climb = self._begun(grant)
            if receipt is None or not climb.proves(receipt) or grant.state is not GrantState.PROVED:
                yield from self._climbed(grant, need)
                return
            seen = []
            renew = self._refused(grant)
            for rung in climb.cheapest(receipt, need, renew=renew, witnessed=witnessed):
                seen.append(rung)
                yield rung
            self._store.renew_rungs(name, generation, seen)

    def _climbed(self, grant: Grant, need: Need) -> Iterator[Rung]:
        name, generation = grant.connection, grant.generation
        before = self._store.receipt(name, generation)
        self._store.begin_receipt(name, generation, self._clock())
        climb, climbed = self._begun(grant), set()
        for rung in climb.whole(need):
            self._store.add_rung(name, generation, rung)
            climbed.add(rung.name)
            yield rung
        # What a failure kept from being asked stands as it was: whoever takes a connection over is
        # held to what it read before.
        for rung in before.rungs if before and before.finished_at else ():
            if rung.name not in climbed:
                self._store.add_rung(name, generation, rung)
        self._store.finish_receipt(name, generation, self._clock())
        self._decide(name, generation, climb.token)

    def _begun(self, grant: Grant) -> Climb:
        return Climb(grant, self._store, self._broker, self._resource, self._clock)

    def _refused(self, grant: Grant) -> bool:
        """Whether the last refresh of the grant was refused, whoever asked for it lately; what
        was refused before stands in its receipt or history."""
        asks = self._store.asks(since=self._clock() - LATELY, connection=grant.connection)
        own = (ask for ask in asks if ask.generation == grant.generation)
        outcomes = (ask.outcome for ask in own if ask.kind is AskKind.REFRESH)
        return next(outcomes, "") in REFUSED

    def _grant(self, name: str, generation: int) -> Grant:
        self._store.connection(name)
        grant = self._store.grant(name, generation)
        if grant is None:
            raise fail("no-grant", name=name)
        if grant.state not in PROVABLE:
            code = "grant-dead" if grant.state is GrantState.DEAD else "grant-revoked"
            raise fail(code, name=name)
        return grant

    def _decide(self, name: str, generation: int, token: TokenResponse | None) -> None:
        """Make a proved grant current, hold one that reaches somebody else, leave a failed one."""
        grant = self._store.grant(name, generation)
        receipt = self._store.receipt(name, generation)
        if grant is None or receipt is None or token is None or grant.state not in PROVABLE:
            return
        current = self._store.connection(name).generation
        if current == generation:
            if receipt.proved and grant.state is GrantState.PROVED:
                self._broker.keep(grant, token)
            elif receipt.proved:  # restored from a backup
                self._make_current(grant, token, current)
            return
        before = self._store.grant(name)
        wanted = self._store.wanted_scope(name, generation)
        other = other_than_before(grant, before, wanted) if before else None
        if other is not None:
            self._hold(grant, other)
        elif receipt.proved and grant.state is GrantState.UNPROVED:
            self._make_current(grant, token, current)

    def _make_current(self, grant: Grant, token: TokenResponse, current: int) -> None:
        self._broker.install(grant, current, token)
        self._note("grant-proved", grant)

    def _hold(self, grant: Grant, failure: Failure) -> None:
        if grant.state is GrantState.MISMATCH:
            return
        self._store.mark_grant(
            grant.connection,
            grant.generation,
            GrantState.MISMATCH,
            failure=failure,
            expected=grant.state,
        )
        self._note("grant-held", grant)

    def _note(self, kind: str, grant: Grant) -> None:
        details = {"generation": str(grant.generation)}
        self._store.note(Event(self._clock(), grant.connection, kind, details))
