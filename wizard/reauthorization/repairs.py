"""Repairs: begun, paused, resumed, and carried on after each consent."""

from collections.abc import Collection, Iterable
from contextlib import suppress
from datetime import datetime, timedelta

from wizard.authorization import Authorization
from wizard.broker import Broker, Pace
from wizard.broker.lock import held
from wizard.delivery import Delivery
from wizard.errors import WizardError, fail
from wizard.home import Home
from wizard.model import Attempt, Clock, Grant, GrantState
from wizard.reauthorization.line import (
    Evidence,
    Line,
    LineState,
    again_at,
    has_arrived,
    judge,
    same_address,
    takes_over,
)
from wizard.reauthorization.plan import Plan, in_order, plan_of
from wizard.reauthorization.steps import Next, Repair, next_of
from wizard.reauthorization.swap import Swap
from wizard.reauthorization.takeover import hindrance
from wizard.store import Overview, RepairLine, Store, StoredRepair
from wizard.validation import SUSPECTED

GRACE = timedelta(hours=24)
"""How long a superseded refresh token lives where nothing proves that it is out of use: a day sees
most schedules run once with the new one."""

_SWAP_DEADLINE = 600.0  # seconds; some destinations, each with a reload that may take its time


class Repairs:
    """Plans a repair, keeps it, and does what no person is needed for."""

    def __init__(
        self,
        store: Store,
        broker: Broker,
        authorization: Authorization,
        delivery: Delivery,
        home: Home,
        clock: Clock,
    ) -> None:
        self._store = store
        self._broker = broker
        self._authorization = authorization
        self._home = home
        self._clock = clock
        self._swap = Swap(store, broker, delivery, clock)

    # choosing and planning

    def refused(self) -> tuple[str, ...]:
        """The connections that Zoho refuses, by name: their grant for good, or their access token
        while it could not be asked whether the grant lives."""
        return tuple(row.connection.name for row in self._store.unsettled() if self._refuses(row))

    def _refuses(self, row: Overview) -> bool:
        grant = row.grant
        if grant is None or grant.state is GrantState.DEAD or not row.check_failed:
            return grant is not None and grant.state is GrantState.DEAD
        receipt = self._store.receipt(grant.connection, grant.generation)
        met = [rung.failure for rung in receipt.rungs if rung.failure] if receipt else []
        return any(failure.code == SUSPECTED for failure in met)

    def of_account(self, email: str) -> tuple[str, ...]:
        """The connections whose current grant was given by the account with this e-mail address,
        by name."""
        grants = [each.grant for each in self._store.overview()]
        return tuple(
            grant.connection
            for grant in grants
            if grant and grant.account and same_address(grant.account.email, email)
        )

    def plan(self, names: Collection[str] = (), accept: str = "") -> Plan:
        """What repairing `names` (default: all that Zoho refuses) would take; nothing is stored.

        Raises ``unknown-connection``, ``nothing-to-repair``.
        """
        fresh = self._fresh(names, accept=accept)
        lines = [self._line(line, now) for line, now in self._with_overviews(fresh)]
        return plan_of(lines, {line.client_id: self._pace(line) for line in lines}, self._clock())

    def begin(
        self,
        names: Collection[str] = (),
        scope: tuple[str, ...] = (),
        accept: str = "",
        revoke_after: timedelta = GRACE,
    ) -> Repair:
        """Begin the repair of `names` (default: all that Zoho refuses), or add them to the one
        under way; one in which nothing is left to do ends with that.

        `scope` is asked for beside what each connection has; `accept` is the e-mail address of the
        person who takes them over; `revoke_after` the grace of superseded tokens. Raises
        ``unknown-connection``, ``nothing-to-repair``.
        """
        lines = self._fresh(names, scope, accept, revoke_after)
        before = self.current()
        if before is not None and before.done:
            self.end()
        self._store.begin_repair(lines, self._clock())
        return self._repair(self._under_way())

    def _fresh(
        self,
        names: Collection[str],
        scope: tuple[str, ...] = (),
        accept: str = "",
        grace: timedelta = GRACE,
    ) -> list[RepairLine]:
        names = tuple(dict.fromkeys(names)) or self.refused()
        if not names:
            raise fail("nothing-to-repair")
        now = self._clock()
        return [
            RepairLine(name, self._store.connection(name).generation, now, scope, accept, grace)
            for name in names
        ]

    # a repair under way

    def current(self) -> Repair | None:
        """The repair under way; None: there is none."""
        stored = self._store.repair()
        return self._repair(stored) if stored else None

    def report(self, names: Collection[str]) -> tuple[Line, ...]:
        """How the last repair of each of `names` stands, or ended, in the order of consents."""
        lines = [line for name, line in self._store.last_lines().items() if name in names]
        return tuple(in_order(self._line(line, now) for line, now in self._with_overviews(lines)))

    def standing(self) -> tuple[Repair, Next] | None:
        """The repair under way, and what comes next as it stands; None: there is none."""
        stored = self._store.repair()
        if stored is None:
            return None
        repair, now = self._repair(stored), self._clock()
        places = {(line.client_id, line.location): line for line in repair.lines}
        free = {place: self._pace(line).next(now) for place, line in places.items()}
        return repair, next_of(repair, free, self._signed_in(stored), now)

    def next_step(self) -> Next | None:
        """What comes next in the repair under way; None: there is none."""
        standing = self.standing()
        return standing[1] if standing else None

    def pause(self) -> None:
        """Begin no further consent until `resume`. Raises ``no-repair``."""
        self._store.pause_repair(self._under_way().id, paused=True)

    def resume(self) -> None:
        """Go on with the repair under way. Raises ``no-repair``."""
        self._store.pause_repair(self._under_way().id, paused=False)

    def skip(self, name: str) -> None:
        """Leave connection `name` as it was; a grant that waits for a decision is given back to
        Zoho. Raises ``no-repair``, `Conflict` where it is no part of the repair, and what
        `Broker.revoke` raises."""
        self.discard(name)
        self._store.skip_line(self._under_way().id, name)

    def discard(self, name: str) -> None:
        """Give a held grant of connection `name` back to Zoho, if there is one: its consent is
        pending again. Raises what `Broker.revoke` raises."""
        candidate = self._store.candidate(name)
        if candidate is not None and candidate.state is GrantState.MISMATCH:
            self._authorization.discard(name, candidate.generation)

    def accept(self, name: str) -> None:
        """Take what connection `name` was held for: the person says so. Its destinations get it.

        Raises ``nothing-held``, or ``not-proved`` where a live call with it failed.
        """
        candidate = self._store.candidate(name)
        if candidate is None:
            raise fail("nothing-held", name=name)
        self._authorization.adopt(name, candidate.generation)
        self.settle(name)

    def end(self) -> None:
        """End the repair under way. What it left undone stays as it is; superseded tokens are
        still revoked when their grace is over. Raises ``no-repair``."""
        self._store.end_repair(self._under_way().id, self._clock())

    # what follows a proof

    def settle(self, name: str) -> None:
        """Do what follows from what is stored about connection `name`, if it is being repaired: an
        announced person takes it over, destinations get the new grant, the one before ends.

        May be called at any time and as often as one likes.
        """
        with held(f"{self._home.lock_file(name)}.swap", _SWAP_DEADLINE, "swap-under-way", name):
            repair = self._store.repair()
            lines = repair.lines if repair else ()
            line = next((each for each in lines if each.connection == name), None)
            if line is None or line.skipped:
                return
            self._take_over(line)
            current = self._store.grant(name)
            if current is not None and has_arrived(line, current):
                self._swap.deliver(current)
                with suppress(WizardError):  # not now: at the next `retire`
                    self._swap.retire(current, line.grace)

    def retire(self) -> None:
        """Revoke the superseded tokens of all repairs whose time has come. What Zoho does not
        take now is tried again at the next call."""
        for name, line in self._store.last_lines().items():
            current = self._store.grant(name)
            if current is not None and has_arrived(line, current):
                with suppress(WizardError):
                    self._swap.retire(current, line.grace)

    def _take_over(self, line: RepairLine) -> None:
        name = line.connection
        new, before = self._store.candidate(name), self._store.grant(name)
        if new is None or before is None or not takes_over(line, new):
            return
        receipts = [self._store.receipt(name, each.generation) for each in (new, before)]
        against = hindrance(new, before, *receipts)
        if against is None:
            self._authorization.adopt(name, new.generation)
        else:
            self._store.mark_grant(name, new.generation, new.state, against, expected=new.state)

    # what is stored

    def _under_way(self) -> StoredRepair:
        stored = self._store.repair()
        if stored is None:
            raise fail("no-repair")
        return stored

    def _repair(self, stored: StoredRepair) -> Repair:
        lines = [self._line(line, now) for line, now in self._with_overviews(stored.lines)]
        return Repair(stored.begun_at, stored.paused, tuple(in_order(lines)))

    def _with_overviews(
        self, lines: Collection[RepairLine]
    ) -> Iterable[tuple[RepairLine, Overview]]:
        rows = self._store.overview([line.connection for line in lines])
        known = {row.connection.name: row for row in rows}
        return [(line, known[line.connection]) for line in lines if line.connection in known]

    def _line(self, line: RepairLine, now: Overview) -> Line:
        seen = self._evidence(line, now)
        state, failure = judge(seen)
        client = self._store.client(now.connection.client_id)
        named = now.grant or now.candidate
        email = named.account.email if named and named.account else ""
        newest = now.candidate or now.grant
        return Line(
            connection=line.connection,
            state=state,
            email=line.accept or email,
            location=named.location if named else now.connection.location or client.location,
            client_id=client.client_id,
            client=client.name,
            before=line.before,
            generation=newest.generation if newest else 0,
            scope=line.scope,
            accept=line.accept,
            failure=failure,
            again_at=again_at(failure, seen.receipt) if state is LineState.WAITING else None,
            revoke_at=self._revoke_at(line, state, now.grant),
        )

    def _evidence(self, line: RepairLine, now: Overview) -> Evidence:
        name, candidate = line.connection, now.candidate
        return Evidence(
            stored=line,
            now=now,
            receipt=self._store.receipt(name, candidate.generation) if candidate else None,
            attempt=self._newest_attempt(line),
            destinations=self._store.destinations(name),
        )

    def _newest_attempt(self, line: RepairLine) -> Attempt | None:
        newest = next(iter(self._store.attempts(line.connection)), None)
        return newest if newest and newest.created_at >= line.begun_at else None

    def _revoke_at(
        self, line: RepairLine, state: LineState, current: Grant | None
    ) -> datetime | None:
        if current is None or state is not LineState.REPAIRED:
            return None
        return self._swap.revoke_at(current, line.grace)

    def _signed_in(self, stored: StoredRepair) -> dict[str, str]:
        """Who consented last in each data centre since the repair began, stray ones too."""
        grants = [each for line in stored.lines for each in self._store.grants(line.connection)]
        grants = [grant for grant in grants if grant.granted_at >= stored.begun_at]
        grants.sort(key=lambda grant: grant.granted_at)
        return {grant.location: grant.account.email for grant in grants if grant.account}

    def _pace(self, line: Line) -> Pace:
        """How fast the consents of the line's client may follow each other."""
        return self._broker.pace(self._store.client(line.client_id), line.location)
