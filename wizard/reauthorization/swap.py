"""The swap: a proved grant to every destination, and only then the end of the one before.

Each step is written down by the room that takes it, and each may be repeated: whoever comes after
a crash finds what is still to do in the destinations and the grants. Until its last step at least
one refresh token works, since none is revoked that a destination holds.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

from wizard.broker import Broker
from wizard.delivery import Delivery
from wizard.errors import WizardError
from wizard.model import Clock, Event, Grant, GrantState
from wizard.reauthorization.line import holds
from wizard.store import Destination, Store

_IN_PLACE = ("grant-proved", "grant-adopted")
"""Lines of the history that say since when a grant is current."""


class Swap:
    """Hands a new grant on and ends the one before."""

    def __init__(self, store: Store, broker: Broker, delivery: Delivery, clock: Clock) -> None:
        self._store = store
        self._broker = broker
        self._delivery = delivery
        self._clock = clock

    def deliver(self, grant: Grant) -> None:
        """Bring the current `grant` to every destination that does not hold it yet.

        A destination that fails, or whose program cannot be made to read it, carries the failure,
        and gets the version before back where its grant still lives.
        """
        for destination in self._store.destinations(grant.connection):
            if holds(destination, grant.generation):
                continue
            with suppress(WizardError):  # the destination carries the failure
                delivered = self._delivery.deliver(destination, grant)
                if delivered.failure is not None:
                    self._roll_back(delivered)

    def _roll_back(self, destination: Destination) -> None:
        before = self._store.grant(destination.connection, destination.before_generation)
        if before is None or before.state is not GrantState.SUPERSEDED:
            return
        restored = self._delivery.undo(destination)
        failed = replace(restored, failure=destination.failure)
        self._store.deliver_destination(failed, restored.generation)

    def revoke_at(self, current: Grant, grace: timedelta) -> datetime | None:
        """When the refresh tokens that `current` superseded may be revoked; None: there is none,
        or a destination still holds one."""
        if not self._superseded(current):
            return None
        history = self._store.history(current.connection)
        since = in_place_since(current, history)
        return out_of_use_at(current, since, self._store.destinations(current.connection), grace)

    def retire(self, current: Grant, grace: timedelta) -> None:
        """Revoke at Zoho what `current` superseded, if its time has come.

        Raises what `Broker.revoke` raises; what was not revoked is when this is called again.
        """
        at = self.revoke_at(current, grace)
        if at is not None and at <= self._clock():
            for grant in self._superseded(current):
                self._broker.revoke(grant)

    def _superseded(self, current: Grant) -> list[Grant]:
        return [
            grant
            for grant in self._store.grants(current.connection)
            if grant.state is GrantState.SUPERSEDED and grant.generation < current.generation
        ]


def in_place_since(current: Grant, history: Sequence[Event]) -> datetime:
    """Since when `current` is its connection's current grant; at the latest since its consent."""
    said = str(current.generation)
    times = [
        event.at
        for event in history
        if event.kind in _IN_PLACE and event.details.get("generation") == said
    ]
    return max(times, default=current.granted_at)


def out_of_use_at(
    current: Grant, since: datetime, destinations: Sequence[Destination], grace: timedelta
) -> datetime | None:
    """When nothing uses the grant before `current` any more: as soon as every program was made to
    read the new one, else `grace` after the last of them was handed it; None: one of them holds
    the grant before."""
    if any(each.generation != current.generation for each in destinations):
        return None
    read = [each.in_use_at for each in destinations if each.in_use_at is not None]
    if destinations and len(read) == len(destinations):
        return max(read)
    handed = [each.delivered_at for each in destinations if each.delivered_at is not None]
    return max([since, *handed]) + grace
