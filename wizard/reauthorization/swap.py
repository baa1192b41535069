"""The swap: a proved grant to every destination, and only then the end of the one before.

Each step is written down by the room that takes it, and each may be repeated: whoever comes after
a crash finds what is still to do in the destinations and the grants. Until its last step at least
one refresh token works, since none is revoked that a destination holds.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

from wizard.delivery.service import DeliveryService
from wizard.errors import WizardError
from wizard.model import Clock, Event, Grant, GrantState
from wizard.reauthorization.items import has_current_delivery
from wizard.store import Destination, Store
from wizard.tokens.service import TokenService

ACTIVATION_EVENTS = ("grant-verified", "grant-accepted")
"""Lines of the history that say since when a grant is current."""


class Swap:
    """Hands a new grant on and ends the one before."""

    def __init__(
        self, store: Store, tokens: TokenService, delivery: DeliveryService, clock: Clock
    ) -> None:
        self._store = store
        self._tokens = tokens
        self._delivery = delivery
        self._clock = clock

    def deliver(self, grant: Grant) -> None:
        """Bring the current `grant` to every destination that does not hold it yet.

        A destination that fails, or whose program cannot be made to read it, carries the failure,
        and gets the version before back where its grant still lives.
        """
        for destination in self._store.destinations.all(grant.connection):
            if has_current_delivery(destination, grant.generation):
                continue
            with suppress(WizardError):  # the destination carries the failure
                delivered = self._delivery.deliver(destination, grant)
                if delivered.failure is not None:
                    self._roll_back(delivered)

    def _roll_back(self, destination: Destination) -> None:
        before = self._store.grants.get(destination.connection, destination.previous_generation)
        if before is None or before.state is not GrantState.REPLACED:
            return
        restored = self._delivery.undo(destination)
        failed = replace(restored, failure=destination.failure)
        self._store.destinations.record_delivery(failed, restored.generation)

    def revoke_at(self, current: Grant, grace_period: timedelta) -> datetime | None:
        """When the refresh tokens that `current` superseded may be revoked; None: there is none,
        or a destination still holds one."""
        if not self._replaced_grants(current):
            return None
        history = self._store.events.of_connection(current.connection)
        since = active_since(current, history)
        return unused_at(
            current, since, self._store.destinations.all(current.connection), grace_period
        )

    def revoke_replaced(self, current: Grant, grace_period: timedelta) -> None:
        """Revoke at Zoho what `current` superseded, if its time has come.

        Raises what `Broker.revoke` raises; what was not revoked is when this is called again.
        """
        at = self.revoke_at(current, grace_period)
        if at is not None and at <= self._clock():
            for grant in self._replaced_grants(current):
                self._tokens.revoke(grant)

    def _replaced_grants(self, current: Grant) -> list[Grant]:
        return [
            grant
            for grant in self._store.grants.of_connection(current.connection)
            if grant.state is GrantState.REPLACED and grant.generation < current.generation
        ]


def active_since(current: Grant, history: Sequence[Event]) -> datetime:
    """Since when `current` is its connection's current grant; at the latest since its consent."""
    generation = str(current.generation)
    times = [
        event.at
        for event in history
        if event.kind in ACTIVATION_EVENTS and event.details.get("generation") == generation
    ]
    return max(times, default=current.granted_at)


def unused_at(
    current: Grant, since: datetime, destinations: Sequence[Destination], grace_period: timedelta
) -> datetime | None:
    """When nothing uses the grant before `current` any more: as soon as every program was made to
    read the new one, else `grace` after the last of them was handed it; None: one of them holds
    the grant before."""
    if any(each.generation != current.generation for each in destinations):
        return None
    read = [each.reloaded_at for each in destinations if each.reloaded_at is not None]
    if destinations and len(read) == len(destinations):
        return max(read)
    handed = [each.delivered_at for each in destinations if each.delivered_at is not None]
    return max([since, *handed]) + grace_period
