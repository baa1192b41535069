"""Begin, pause and resume a re-authorization, and continue it after each consent.

The swap follows: deliver a verified grant to every destination, then revoke the grant it replaced.
Each step is stored and can be repeated: after a crash, destinations and grants show what is left.
At least one refresh token always works, because none is revoked while a destination has it.
Each machine that shares the store delivers to its own destinations.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

from wizard.authorization import AuthorizationService
from wizard.delivery.service import DeliveryService
from wizard.errors import WizardError, fail
from wizard.model import Clock, Grant, GrantState, is_same_email
from wizard.model.states import ItemState
from wizard.reauthorization.plan import (
    ARRIVED,
    ItemSnapshot,
    NextAction,
    Reauthorization,
    ReauthorizationItem,
    ReauthorizationPlan,
    create_plan,
    determine_next_action,
    has_current_delivery,
    in_consent_order,
    is_account_transfer,
    is_reauthorized,
    to_item,
    transfer_failure,
)
from wizard.store import (
    ConnectionOverview,
    Destination,
    Store,
    StoredReauthorization,
    StoredReauthorizationItem,
)
from wizard.tokens.cached_tokens import ConnectionLocks
from wizard.tokens.request_log import RequestLog
from wizard.tokens.service import TokenService
from wizard.verification.steps import SUSPECTED_REJECTION

DEFAULT_GRACE_PERIOD = timedelta(hours=24)
"""How long a replaced refresh token is kept if programs may still use it: within a day, most
scheduled programs run with the new one."""

_SWAP_LOCK_TIMEOUT_SECONDS = 600.0
"""Enough for several destinations with slow reload commands."""


class ReauthorizationService:
    """Plans and stores re-authorizations, and does what the user isn't needed for."""

    def __init__(
        self,
        store: Store,
        tokens: TokenService,
        request_log: RequestLog,
        authorization: AuthorizationService,
        delivery: DeliveryService,
        locks: ConnectionLocks,
        clock: Clock,
    ) -> None:
        self._store = store
        self._request_log = request_log
        self._authorization = authorization
        self._locks = locks
        self._clock = clock
        self._swap = Swap(store, tokens, delivery, clock)

    # choosing and planning

    def rejected_connections(
        self, rows: Iterable[ConnectionOverview] | None = None
    ) -> tuple[str, ...]:
        """The connections that need re-authorization, by name; also those whose access token Zoho
        rejected while the refresh token couldn't be tested."""
        return tuple(
            row.connection.name
            for row in (self._store.overviews.unsettled() if rows is None else rows)
            if self._is_rejected(row)
        )

    def _is_rejected(self, row: ConnectionOverview) -> bool:
        if row.grant is None:
            return False
        failures = row.last_check.failures if row.last_check else ()
        return row.grant.state is GrantState.NEEDS_REAUTHORIZATION or any(
            failure.code == SUSPECTED_REJECTION for failure in failures
        )

    def connections_of_account(self, email: str) -> tuple[str, ...]:
        """The connections whose current grant is from the account with this email address, by
        name."""
        grants = [each.grant for each in self._store.overviews.all()]
        return tuple(
            grant.connection
            for grant in grants
            if grant and grant.account and is_same_email(grant.account.email, email)
        )

    def account_emails(self) -> tuple[str, ...]:
        """The email addresses of all accounts that authorized a connection, sorted."""
        grants = [each.grant for each in self._store.overviews.all()]
        emails = {grant.account.email for grant in grants if grant and grant.account}
        return tuple(sorted(emails))

    def plan(self, names: Collection[str] = (), new_account_email: str = "") -> ReauthorizationPlan:
        """Plan a re-authorization of `names` (default: `rejected_connections`); stores nothing.

        Raises ``unknown-connection``, ``nothing-to-reauthorize``.
        """
        names = self._names_or_rejected(names)
        overviews = self._overviews(names)
        stored = self._new_items(names, overviews, new_account_email=new_account_email)
        items = self._to_items(stored, overviews)
        schedules = self._request_log.consent_schedules(_places(items))
        by_client = {client_id: schedule for (client_id, _location), schedule in schedules.items()}
        return create_plan(items, by_client, self._clock())

    def begin(
        self,
        names: Collection[str] = (),
        additional_scope: tuple[str, ...] = (),
        new_account_email: str = "",
        grace_period: timedelta = DEFAULT_GRACE_PERIOD,
    ) -> Reauthorization:
        """Begin to re-authorize `names` (default: `rejected_connections`), or add them to the
        current re-authorization if that isn't done.

        `additional_scope` is requested in addition to the scopes of each connection.
        `new_account_email` is the account that takes the connections over; empty: none. Replaced
        tokens are kept for `grace_period`. Raises ``unknown-connection``,
        ``nothing-to-reauthorize``.
        """
        names = self._names_or_rejected(names)
        items = self._new_items(
            names, self._overviews(names), additional_scope, new_account_email, grace_period
        )
        previous = self.current()
        if previous is not None and previous.is_done:
            self.end()
        self._store.reauthorizations.begin(items, self._clock())
        stored = self._require_current()
        return self._to_reauthorization(stored, self._overviews_of(stored))

    def _names_or_rejected(self, names: Collection[str]) -> tuple[str, ...]:
        names = tuple(dict.fromkeys(names)) or self.rejected_connections()
        if not names:
            raise fail("nothing-to-reauthorize")
        return names

    def _new_items(
        self,
        names: Collection[str],
        overviews: Mapping[str, ConnectionOverview],
        additional_scope: tuple[str, ...] = (),
        new_account_email: str = "",
        grace_period: timedelta = DEFAULT_GRACE_PERIOD,
    ) -> list[StoredReauthorizationItem]:
        for name in names:
            if name not in overviews:
                self._store.connections.get(name)  # raises
        generations = {name: overviews[name].connection.generation for name in names}
        details = self._clock(), additional_scope, new_account_email, grace_period
        return [StoredReauthorizationItem(name, generations[name], *details) for name in names]

    # the current re-authorization

    def current(self, *, has_revocations: bool = True) -> Reauthorization | None:
        """The current re-authorization; None if there is none. Without revocations, its items don't
        say when replaced refresh tokens are revoked."""
        stored = self._store.reauthorizations.current()
        if stored is None:
            return None
        return self._to_reauthorization(stored, self._overviews_of(stored), has_revocations)

    def latest_items(self, names: Collection[str]) -> tuple[ReauthorizationItem, ...]:
        """The items of `names` in their latest re-authorizations, in the order of consents."""
        stored = self._store.reauthorizations.latest_items(names)
        items = self._to_items(stored.values(), self._overviews(stored))
        return tuple(in_consent_order(items))

    def current_and_next(
        self, names: Collection[str] = (), *, verifies_meanwhile: bool = False
    ) -> tuple[Reauthorization, NextAction] | None:
        """The current re-authorization and its next action, as `determine_next_action` says; None
        if there is none. `names`: only for these connections; default: for all."""
        stored = self._store.reauthorizations.current()
        if stored is None:
            return None
        now, overviews = self._clock(), self._overviews_of(stored)
        reauthorization = self._to_reauthorization(stored, overviews)
        schedules = self._request_log.consent_schedules(_places(reauthorization.items))
        next_consent_at = {place: each.next_start(now) for place, each in schedules.items()}
        items = [each for each in reauthorization.items if not names or each.connection in names]
        return reauthorization, determine_next_action(
            replace(reauthorization, items=tuple(items)),
            next_consent_at,
            _last_signed_in_emails(stored, overviews),
            now,
            verifies_meanwhile=verifies_meanwhile,
        )

    def next_action(
        self, names: Collection[str] = (), *, verifies_meanwhile: bool = False
    ) -> NextAction | None:
        """The next action of the current re-authorization, or of a part of it; None if there is
        none."""
        current = self.current_and_next(names, verifies_meanwhile=verifies_meanwhile)
        return current[1] if current else None

    def pause(self) -> None:
        """Begin no more consents until `resume`. Raises ``no-reauthorization``."""
        self._store.reauthorizations.pause(self._require_current().id, paused=True)

    def resume(self) -> None:
        """Continue the current re-authorization. Raises ``no-reauthorization``."""
        self._store.reauthorizations.pause(self._require_current().id, paused=False)

    def skip(self, name: str) -> None:
        """Leave connection `name` as it is, and revoke a grant that waits for a decision. Raises
        ``no-reauthorization``, `Conflict` if it isn't in the re-authorization, and what
        `TokenService.revoke` raises."""
        self.discard(name)
        self._store.reauthorizations.skip_item(self._require_current().id, name)

    def discard(self, name: str) -> None:
        """Revoke the mismatched grant of connection `name`, if there is one: its consent is pending
        again. Raises what `TokenService.revoke` raises."""
        candidate = self._store.grants.candidate(name)
        if candidate is not None and candidate.state is GrantState.MISMATCH:
            self._authorization.discard(name, candidate.generation)

    def accept(self, name: str) -> None:
        """Make the mismatched grant of connection `name` current, as the user decided, and deliver
        it. Raises ``nothing-to-decide``, or ``not-verified`` if one of its steps failed."""
        candidate = self._store.grants.candidate(name)
        if candidate is None:
            raise fail("nothing-to-decide", name=name)
        self._authorization.accept(name, candidate.generation)
        self.continue_after_verification(name)

    def end(self) -> None:
        """End the current re-authorization. Unfinished items stay as they are; replaced tokens are
        still revoked after their grace period. Raises ``no-reauthorization``."""
        self._store.reauthorizations.end(self._require_current().id, self._clock())

    # after a verification

    def continue_after_verification(self, name: str) -> None:
        """Continue with connection `name` if it is being re-authorized: accept the expected new
        account, deliver the new grant, revoke the replaced one. Safe to call again at any time."""
        with self._locks.swap(name, _SWAP_LOCK_TIMEOUT_SECONDS):
            reauthorization = self._store.reauthorizations.current()
            items = reauthorization.items if reauthorization else ()
            item = next((each for each in items if each.connection == name), None)
            if item is None or item.skipped:
                return
            self._transfer_account(item)
            current = self._store.grants.get(name)
            if current is not None and is_reauthorized(item, current):
                self._swap.deliver(current, self._store.destinations.all(name))
                if self._store.database.is_shared:
                    self._store.destinations.await_delivery_elsewhere(name, current.generation)
                with suppress(WizardError):  # `revoke_replaced_tokens` tries again
                    self._swap.revoke_replaced(current, item.grace_period)

    def deliver_overdue(self, name: str | None = None) -> None:
        """Deliver to the destinations here what re-authorizations on other machines replaced, of
        connection `name` or all, and then revoke what nothing uses anymore. Failures of deliveries
        are in the destinations."""
        overdue = self._store.destinations.overdue
        for each in dict.fromkeys(destination.connection for destination in overdue(name)):
            # Another process delivers, or the revocation is tried again by `monitor`.
            with suppress(WizardError), self._locks.swap(each, 0):
                item = self._store.reauthorizations.latest_items([each]).get(each)
                current = self._store.grants.get(each)
                if item is not None and current is not None and is_reauthorized(item, current):
                    self._swap.deliver(current, overdue(each))
                    self._swap.revoke_replaced(current, item.grace_period)

    def revoke_replaced_tokens(self) -> None:
        """Revoke the replaced tokens of all re-authorizations whose grace period is over. Failures
        are tried again at the next call."""
        names = self._store.grants.connections_with_replaced()
        for name, item in self._store.reauthorizations.latest_items(names).items():
            current = self._store.grants.get(name)
            if current is not None and is_reauthorized(item, current):
                with suppress(WizardError):
                    self._swap.revoke_replaced(current, item.grace_period)

    def _transfer_account(self, item: StoredReauthorizationItem) -> None:
        name = item.connection
        new, previous = self._store.grants.candidate(name), self._store.grants.get(name)
        if new is None or previous is None or not is_account_transfer(item, new):
            return
        reports = [
            self._store.verification_reports.get(name, each.generation) for each in (new, previous)
        ]
        failure = transfer_failure(new, previous, *reports)
        if failure is None:
            self._authorization.accept(name, new.generation)
        else:
            self._store.grants.set_state(
                name, new.generation, new.state, failure, expected=new.state
            )

    # what is stored

    def _require_current(self) -> StoredReauthorization:
        stored = self._store.reauthorizations.current()
        if stored is None:
            raise fail("no-reauthorization")
        return stored

    def _overviews(self, names: Collection[str]) -> dict[str, ConnectionOverview]:
        return {row.connection.name: row for row in self._store.overviews.all(names)}

    def _overviews_of(self, stored: StoredReauthorization) -> dict[str, ConnectionOverview]:
        return self._overviews([each.connection for each in stored.items])

    def _to_reauthorization(
        self,
        stored: StoredReauthorization,
        overviews: Mapping[str, ConnectionOverview],
        has_revocations: bool = True,
    ) -> Reauthorization:
        items = in_consent_order(self._to_items(stored.items, overviews, has_revocations))
        return Reauthorization(stored.started_at, stored.paused, tuple(items))

    def _to_items(
        self,
        stored_items: Collection[StoredReauthorizationItem],
        overviews: Mapping[str, ConnectionOverview],
        has_revocations: bool = True,
    ) -> list[ReauthorizationItem]:
        """The items as they are now, with a constant number of SQL statements."""
        has_candidate = [name for name, each in overviews.items() if each.candidate]
        reports = self._store.verification_reports.of_candidates(has_candidate)
        clients = {each.client_id: each for each in self._store.clients.all()}
        here = self._store.database.machine_id
        destinations: dict[str, list[Destination]] = defaultdict(list)
        for destination in self._store.destinations.everywhere():
            destinations[destination.connection].append(destination)
        reauthorized = [
            each.connection
            for each in stored_items
            if each.connection in overviews
            and is_reauthorized(each, overviews[each.connection].grant)
        ]
        activations = (
            self._store.grants.activations_over_replaced(reauthorized, ACTIVATION_EVENTS)
            if reauthorized and has_revocations
            else {}
        )
        items = []
        for stored in stored_items:
            name = stored.connection
            overview = overviews.get(name)
            if overview is None:  # removed since
                continue
            candidate, current = overview.candidate, overview.grant
            report = reports.get((name, candidate.generation)) if candidate else None
            attempt = overview.attempt
            if attempt and (attempt.created_at < stored.started_at or attempt.is_in_place):
                attempt = None
            own = [each for each in destinations[name] if each.machine == here]
            snapshot = ItemSnapshot(stored, overview, report, attempt, own)
            item = to_item(snapshot, clients[overview.connection.client_id])
            if current and item.state in ARRIVED:
                behind = [each for each in destinations[name] if each.generation != item.generation]
                names = {each.machine_name for each in behind if each.machine != here}
                item = replace(item, undelivered_machines=tuple(sorted(names)))
            if current and item.state is ItemState.REAUTHORIZED and name in activations:
                revoke_at = unused_at(
                    current, activations[name], destinations[name], stored.grace_period
                )
                item = replace(item, revoke_at=revoke_at)
            items.append(item)
        return items


def unknown_account(email: str, known: Iterable[str]) -> WizardError:
    """The error for an account that authorized no connection; `known` are those that did."""
    return fail("no-account", email=email, known=", ".join(known))


def _last_signed_in_emails(
    stored: StoredReauthorization, overviews: Mapping[str, ConnectionOverview]
) -> dict[str, str]:
    """The account that approved last in each data center since the re-authorization began, even if
    it was the wrong one."""
    newest = (each.newest for each in overviews.values())
    grants = [each for each in newest if each and each.granted_at >= stored.started_at]
    grants.sort(key=lambda grant: grant.granted_at)
    return {grant.location: grant.account.email for grant in grants if grant.account}


def _places(items: Iterable[ReauthorizationItem]) -> list[tuple[str, str]]:
    """The clients with the data centers where their codes are exchanged, each once."""
    return list(dict.fromkeys((each.client_id, each.location) for each in items))


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

    def deliver(self, grant: Grant, destinations: Iterable[Destination]) -> None:
        """Deliver the current `grant` to those of the destinations that don't have it yet.

        If that or the reload fails, the destination has the failure. After a failed reload it also
        gets its previous version back, if that grant isn't revoked.
        """
        for destination in destinations:
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
        destination on any machine still has one."""
        name = current.connection
        activations = self._store.grants.activations_over_replaced([name], ACTIVATION_EVENTS)
        if name not in activations:
            return None
        destinations = self._store.destinations.everywhere(name)
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
