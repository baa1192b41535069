"""The person's decision about a grant that reaches somebody else than the one before."""

from dataclasses import replace

from wizard.broker import Broker
from wizard.errors import fail
from wizard.model import Clock, Event, Grant, GrantState
from wizard.store import Store


class Decisions:
    """Puts a held grant in place after all, or gives it back to Zoho."""

    def __init__(self, store: Store, broker: Broker, clock: Clock) -> None:
        self._store = store
        self._broker = broker
        self._clock = clock

    def adopt(self, name: str, generation: int) -> Grant:
        """Make a held grant current after all, because the person says so.

        Raises ``nothing-held``, or ``not-proved`` when its ladder was not climbed to the end.
        """
        grant = self._held(name, generation)
        receipt = self._store.receipt(name, generation)
        if receipt is None or not receipt.proved:
            raise fail("not-proved", name=name)
        self._broker.install(grant, self._store.connection(name).generation)
        self._note("grant-adopted", name, generation=str(generation))
        return replace(grant, state=GrantState.PROVED)

    def discard(self, name: str, generation: int) -> None:
        """Revoke a held or unproved grant at Zoho, so that no stray token lives on; the grant
        before stays current. Raises ``nothing-held`` and what `Broker.revoke` raises."""
        self._broker.revoke(self._held(name, generation, GrantState.UNPROVED))

    def _held(self, name: str, generation: int, *also: GrantState) -> Grant:
        grant = self._store.grant(name, generation)
        if grant is None or grant.state not in (GrantState.MISMATCH, *also):
            raise fail("nothing-held", name=name)
        return grant

    def _note(self, kind: str, connection: str, **details: str) -> None:
        self._store.note(Event(self._clock(), connection, kind, details))
