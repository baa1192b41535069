"""The person's decision about a grant that reaches somebody else than the one before."""

from dataclasses import replace

from wizard.errors import fail
from wizard.model import Clock, Event, Grant, GrantState
from wizard.store import Store
from wizard.tokens import TokenService


class MismatchDecisions:
    """Puts a held grant in place after all, or gives it back to Zoho."""

    def __init__(self, store: Store, tokens: TokenService, clock: Clock) -> None:
        self._store = store
        self._tokens = tokens
        self._clock = clock

    def accept(self, name: str, generation: int) -> Grant:
        """Make a held grant current after all, because the person says so.

        Raises ``nothing-held``, or ``not-proved`` when its ladder was not climbed to the end.
        """
        grant = self._mismatched_grant(name, generation)
        report = self._store.verification_reports.get(name, generation)
        if report is None or not report.is_verified:
            raise fail("not-proved", name=name)
        self._tokens.activate_grant(grant, self._store.connections.get(name).generation)
        self._record_event("grant-accepted", name, generation=str(generation))
        return replace(grant, state=GrantState.VERIFIED)

    def discard(self, name: str, generation: int) -> None:
        """Revoke a held or unproved grant at Zoho, so that no stray token lives on; the grant
        before stays current. Raises ``nothing-held`` and what `Broker.revoke` raises."""
        self._tokens.revoke(self._mismatched_grant(name, generation, GrantState.NOT_VERIFIED))

    def _mismatched_grant(self, name: str, generation: int, *other_states: GrantState) -> Grant:
        grant = self._store.grants.get(name, generation)
        if grant is None or grant.state not in (GrantState.MISMATCH, *other_states):
            raise fail("nothing-held", name=name)
        return grant

    def _record_event(self, kind: str, connection: str, **details: str) -> None:
        self._store.events.record(Event(self._clock(), connection, kind, details))
