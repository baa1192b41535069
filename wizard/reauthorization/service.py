"""Repairs: begun, paused, resumed, and carried on after each consent."""

from collections.abc import Collection, Iterable
from contextlib import suppress
from datetime import datetime, timedelta

from wizard.authorization import AuthorizationService
from wizard.delivery.service import DeliveryService
from wizard.errors import WizardError, fail
from wizard.locks import hold_lock
from wizard.model import Attempt, Clock, Grant, GrantState
from wizard.model.states import ItemState
from wizard.paths import Paths
from wizard.reauthorization.items import (
    RETRYING_STATES,
    ItemSnapshot,
    ReauthorizationItem,
    is_account_transfer,
    is_reauthorized,
    is_same_email,
    item_state,
    retry_time,
    transfer_failure,
)
from wizard.reauthorization.plan import (
    NextAction,
    Reauthorization,
    ReauthorizationPlan,
    create_plan,
    determine_next_action,
    in_consent_order,
)
from wizard.reauthorization.swap import Swap
from wizard.store import ConnectionOverview, Store, StoredReauthorization, StoredReauthorizationItem
from wizard.tokens.budgets import ConsentSchedule
from wizard.tokens.request_log import RequestLog
from wizard.tokens.service import TokenService
from wizard.verification.steps import SUSPECTED_REJECTION

DEFAULT_GRACE_PERIOD = timedelta(hours=24)
"""How long a superseded refresh token lives where nothing proves that it is out of use: a day sees
most schedules run once with the new one."""

_SWAP_LOCK_TIMEOUT_SECONDS = (
    600.0  # seconds; some destinations, each with a reload that may take its time
)


class ReauthorizationService:
    """Plans a repair, keeps it, and does what no person is needed for."""

    def __init__(
        self,
        store: Store,
        tokens: TokenService,
        request_log: RequestLog,
        authorization: AuthorizationService,
        delivery: DeliveryService,
        paths: Paths,
        clock: Clock,
    ) -> None:
        self._store = store
        self._request_log = request_log
        self._authorization = authorization
        self._paths = paths
        self._clock = clock
        self._swap = Swap(store, tokens, delivery, clock)

    # choosing and planning

    def rejected_connections(
        self, rows: Iterable[ConnectionOverview] | None = None
    ) -> tuple[str, ...]:
        """The connections that Zoho refuses, by name: their grant for good, or their access token
        while it could not be asked whether the grant lives."""
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
        """The connections whose current grant was given by the account with this e-mail address,
        by name."""
        grants = [each.grant for each in self._store.overviews.all()]
        return tuple(
            grant.connection
            for grant in grants
            if grant and grant.account and is_same_email(grant.account.email, email)
        )

    def plan(self, names: Collection[str] = (), new_account_email: str = "") -> ReauthorizationPlan:
        """What repairing `names` (default: all that Zoho refuses) would take; nothing is stored.

        Raises ``unknown-connection``, ``nothing-to-repair``.
        """
        fresh = self._new_items(names, new_account_email=new_account_email)
        items = [self._to_item(line, now) for line, now in self._with_overviews(fresh)]
        return create_plan(
            items, {line.client_id: self._consent_schedule(line) for line in items}, self._clock()
        )

    def begin(
        self,
        names: Collection[str] = (),
        additional_scope: tuple[str, ...] = (),
        new_account_email: str = "",
        grace_period: timedelta = DEFAULT_GRACE_PERIOD,
    ) -> Reauthorization:
        """Begin the repair of `names` (default: all that Zoho refuses), or add them to the one
        under way; one in which nothing is left to do ends with that.

        `scope` is asked for beside what each connection has; `accept` is the e-mail address of the
        person who takes them over; `revoke_after` the grace of superseded tokens. Raises
        ``unknown-connection``, ``nothing-to-repair``.
        """
        items = self._new_items(names, additional_scope, new_account_email, grace_period)
        before = self.current()
        if before is not None and before.is_done:
            self.end()
        self._store.reauthorizations.begin(items, self._clock())
        return self._to_reauthorization(self._require_current())

    def _new_items(
        self,
        names: Collection[str],
        additional_scope: tuple[str, ...] = (),
        new_account_email: str = "",
        grace_period: timedelta = DEFAULT_GRACE_PERIOD,
    ) -> list[StoredReauthorizationItem]:
        names = tuple(dict.fromkeys(names)) or self.rejected_connections()
        if not names:
            raise fail("nothing-to-repair")
        now = self._clock()
        self._store.overviews.all(names)
        return [
            StoredReauthorizationItem(
                name,
                self._store.connections.get(name).generation,
                now,
                additional_scope,
                new_account_email,
                grace_period,
            )
            for name in names
        ]

    # a repair under way

    def current(self) -> Reauthorization | None:
        """The repair under way; None: there is none."""
        stored = self._store.reauthorizations.current()
        return self._to_reauthorization(stored) if stored else None

    def latest_items(self, names: Collection[str]) -> tuple[ReauthorizationItem, ...]:
        """How the last repair of each of `names` stands, or ended, in the order of consents."""
        items = [line for name, line in self._store.reauthorizations.latest_items(names).items()]
        return tuple(
            in_consent_order(self._to_item(line, now) for line, now in self._with_overviews(items))
        )

    def current_and_next(self) -> tuple[Reauthorization, NextAction] | None:
        """The repair under way, and what comes next as it stands; None: there is none."""
        stored = self._store.reauthorizations.current()
        if stored is None:
            return None
        reauthorization, now = self._to_reauthorization(stored), self._clock()
        places = {(line.client_id, line.location): line for line in reauthorization.items}
        free = {
            place: self._consent_schedule(line).next_start(now) for place, line in places.items()
        }
        return reauthorization, determine_next_action(
            reauthorization, free, self._last_signed_in_emails(stored), now
        )

    def next_action(self) -> NextAction | None:
        """What comes next in the repair under way; None: there is none."""
        current = self.current_and_next()
        return current[1] if current else None

    def pause(self) -> None:
        """Begin no further consent until `resume`. Raises ``no-repair``."""
        self._store.reauthorizations.pause(self._require_current().id, paused=True)

    def resume(self) -> None:
        """Go on with the repair under way. Raises ``no-repair``."""
        self._store.reauthorizations.pause(self._require_current().id, paused=False)

    def skip(self, name: str) -> None:
        """Leave connection `name` as it was; a grant that waits for a decision is given back to
        Zoho. Raises ``no-repair``, `Conflict` where it is no part of the repair, and what
        `Broker.revoke` raises."""
        self.discard(name)
        self._store.reauthorizations.skip_item(self._require_current().id, name)

    def discard(self, name: str) -> None:
        """Give a held grant of connection `name` back to Zoho, if there is one: its consent is
        pending again. Raises what `Broker.revoke` raises."""
        candidate = self._store.grants.candidate(name)
        if candidate is not None and candidate.state is GrantState.MISMATCH:
            self._authorization.discard(name, candidate.generation)

    def accept(self, name: str) -> None:
        """Take what connection `name` was held for: the person says so. Its destinations get it.

        Raises ``nothing-held``, or ``not-proved`` where a live call with it failed.
        """
        candidate = self._store.grants.candidate(name)
        if candidate is None:
            raise fail("nothing-held", name=name)
        self._authorization.accept(name, candidate.generation)
        self.continue_after_verification(name)

    def end(self) -> None:
        """End the repair under way. What it left undone stays as it is; superseded tokens are
        still revoked when their grace is over. Raises ``no-repair``."""
        self._store.reauthorizations.end(self._require_current().id, self._clock())

    # what follows a proof

    def continue_after_verification(self, name: str) -> None:
        """Do what follows from what is stored about connection `name`, if it is being repaired: an
        announced person takes it over, destinations get the new grant, the one before ends.

        May be called at any time and as often as one likes.
        """
        with hold_lock(
            f"{self._paths.lock_file(name)}.swap",
            _SWAP_LOCK_TIMEOUT_SECONDS,
            "swap-under-way",
            name,
        ):
            reauthorization = self._store.reauthorizations.current()
            items = reauthorization.items if reauthorization else ()
            item = next((each for each in items if each.connection == name), None)
            if item is None or item.skipped:
                return
            self._transfer_account(item)
            current = self._store.grants.get(name)
            if current is not None and is_reauthorized(item, current):
                self._swap.deliver(current)
                with suppress(WizardError):  # not now: at the next `retire`
                    self._swap.revoke_replaced(current, item.grace_period)

    def revoke_replaced_tokens(self) -> None:
        """Revoke the superseded tokens of all repairs whose time has come. What Zoho does not
        take now is tried again at the next call."""
        for name, item in self._store.reauthorizations.latest_items().items():
            current = self._store.grants.get(name)
            if current is not None and is_reauthorized(item, current):
                with suppress(WizardError):
                    self._swap.revoke_replaced(current, item.grace_period)

    def _transfer_account(self, item: StoredReauthorizationItem) -> None:
        name = item.connection
        new, before = self._store.grants.candidate(name), self._store.grants.get(name)
        if new is None or before is None or not is_account_transfer(item, new):
            return
        reports = [
            self._store.verification_reports.get(name, each.generation) for each in (new, before)
        ]
        against = transfer_failure(new, before, *reports)
        if against is None:
            self._authorization.accept(name, new.generation)
        else:
            self._store.grants.set_state(
                name, new.generation, new.state, against, expected=new.state
            )

    # what is stored

    def _require_current(self) -> StoredReauthorization:
        stored = self._store.reauthorizations.current()
        if stored is None:
            raise fail("no-repair")
        return stored

    def _to_reauthorization(self, stored: StoredReauthorization) -> Reauthorization:
        items = [self._to_item(item, now) for item, now in self._with_overviews(stored.items)]
        return Reauthorization(stored.started_at, stored.paused, tuple(in_consent_order(items)))

    def _with_overviews(
        self, items: Collection[StoredReauthorizationItem]
    ) -> Iterable[tuple[StoredReauthorizationItem, ConnectionOverview]]:
        names = [line.connection for line in items]
        self._store.include(names)
        rows = self._store.overviews.all(names)
        known = {row.connection.name: row for row in rows}
        return [(line, known[line.connection]) for line in items if line.connection in known]

    def _to_item(
        self, item: StoredReauthorizationItem, overview: ConnectionOverview
    ) -> ReauthorizationItem:
        snapshot = self._snapshot(item, overview)
        state, failure = item_state(snapshot)
        client = self._store.clients.get(overview.connection.client_id)
        named = overview.grant or overview.candidate
        email = named.account.email if named and named.account else ""
        newest = overview.candidate or overview.grant
        return ReauthorizationItem(
            connection=item.connection,
            state=state,
            email=item.new_account_email or email,
            location=named.location if named else overview.connection.location or client.location,
            client_id=client.client_id,
            client_name=client.name,
            previous_generation=item.previous_generation,
            generation=newest.generation if newest else 0,
            additional_scope=item.additional_scope,
            new_account_email=item.new_account_email,
            failure=failure,
            retry_at=retry_time(failure, snapshot.report) if state in RETRYING_STATES else None,
            revoke_at=self._revoke_at(item, state, overview.grant),
        )

    def _snapshot(
        self, item: StoredReauthorizationItem, overview: ConnectionOverview
    ) -> ItemSnapshot:
        name, candidate = item.connection, overview.candidate
        return ItemSnapshot(
            stored=item,
            overview=overview,
            report=self._store.verification_reports.get(name, candidate.generation)
            if candidate
            else None,
            attempt=self._newest_attempt(item),
            destinations=self._store.destinations.all(name),
        )

    def _newest_attempt(self, item: StoredReauthorizationItem) -> Attempt | None:
        newest = self._store.attempts.newest(item.connection)
        return newest if newest and newest.created_at >= item.started_at else None

    def _revoke_at(
        self, item: StoredReauthorizationItem, state: ItemState, current: Grant | None
    ) -> datetime | None:
        if current is None or state is not ItemState.REAUTHORIZED:
            return None
        return self._swap.revoke_at(current, item.grace_period)

    def _last_signed_in_emails(self, stored: StoredReauthorization) -> dict[str, str]:
        """Who consented last in each data centre since the repair began, stray ones too."""
        grants = [
            each
            for item in stored.items
            for each in self._store.grants.of_connection(item.connection)
        ]
        grants = [grant for grant in grants if grant.granted_at >= stored.started_at]
        grants.sort(key=lambda grant: grant.granted_at)
        return {grant.location: grant.account.email for grant in grants if grant.account}

    def _consent_schedule(self, item: ReauthorizationItem) -> ConsentSchedule:
        """How fast the consents of the line's client may follow each other."""
        return self._request_log.consent_schedule(
            self._store.clients.get(item.client_id), item.location
        )
