"""The swap: deliver a verified grant to every destination, then revoke the grant it replaced.

Each step is stored and can be repeated: after a crash, destinations and grants show what is left.
At least one refresh token always works, because none is revoked while a destination has it.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

from wizard.delivery.service import DeliveryService
from wizard.errors import WizardError
from wizard.model import Clock, Grant, GrantState
from wizard.reauthorization.items import has_current_delivery
from wizard.store import Destination, Store
from wizard.tokens.service import TokenService

ACTIVATION_EVENTS = ("grant-verified", "grant-accepted")
"""Events that make a grant current."""


class Swap:
    """Delivers new grants and revokes replaced ones."""

    def __init__(
        self, store: Store, tokens: TokenService, delivery: DeliveryService, clock: Clock
    ) -> None:
        self._store = store
        self._tokens = tokens
        self._delivery = delivery
        self._clock = clock

    def deliver(self, grant: Grant) -> None:
        """Deliver the current `grant` to every destination that doesn't have it yet.

        If that or the reload fails, the destination has the failure. After a failed reload it also
        gets its previous version back, if that grant isn't revoked.
        """
        for destination in self._store.destinations.all(grant.connection):
            if has_current_delivery(destination, grant.generation):
                continue
            with suppress(WizardError):  # the destination has the failure
                delivered = self._delivery.deliver(destination, grant)
                if delivered.failure is not None:
                    self._roll_back(delivered)

    def _roll_back(self, destination: Destination) -> None:
        previous = self._store.grants.get(destination.connection, destination.previous_generation)
        if previous is None or previous.state is not GrantState.REPLACED:
            return
        restored = self._delivery.undo(destination)
        failed = replace(restored, failure=destination.failure)
        self._store.destinations.record_delivery(failed, restored.generation)

    def revoke_at(self, current: Grant, grace_period: timedelta) -> datetime | None:
        """When to revoke the refresh tokens that `current` replaced; None: there is none, or a
        destination still has one."""
        name = current.connection
        activations = self._store.grants.activations_over_replaced([name], ACTIVATION_EVENTS)
        if name not in activations:
            return None
        destinations = self._store.destinations.all(name)
        return unused_at(current, activations[name], destinations, grace_period)

    def revoke_replaced(self, current: Grant, grace_period: timedelta) -> None:
        """Revoke at Zoho what `current` replaced, if it is time; call it again after a failure.
        Raises what `TokenService.revoke` raises."""
        at = self.revoke_at(current, grace_period)
        if at is None or at > self._clock():
            return
        for grant in self._store.grants.of_connection(current.connection):
            if grant.state is GrantState.REPLACED and grant.generation < current.generation:
                self._tokens.revoke(grant)


def unused_at(
    current: Grant,
    activated_at: datetime | None,
    destinations: Sequence[Destination],
    grace_period: timedelta,
) -> datetime | None:
    """When nothing uses the grants that `current` replaced: as soon as the reload command of every
    destination has succeeded, else `grace_period` after the last delivery and `activated_at`
    (None: unknown, so its consent). None: a destination still has a replaced one."""
    if any(each.generation != current.generation for each in destinations):
        return None
    reloaded = [each.reloaded_at for each in destinations if each.reloaded_at is not None]
    if destinations and len(reloaded) == len(destinations):
        return max(reloaded)
    delivered = [each.delivered_at for each in destinations if each.delivered_at is not None]
    return max([activated_at or current.granted_at, *delivered]) + grace_period
