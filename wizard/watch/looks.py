"""A look at many connections: several at a time, those of one client in turn, and nobody pressed.

Connections with an access token that lives are asked with it, and cost Zoho's token endpoint
nothing. The others are asked one after the other for each client, whose budgets they share; where
these are spent, a look waits if it may, or leaves the rest for later. A data centre that does not
answer is left alone after a few tries, and tried once more before it is said to be down.
"""

import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta

from wizard.broker import Broker, Need
from wizard.diagnosis import Diagnosis
from wizard.diagnosis.grants import useful_witnesses
from wizard.errors import WizardError, fail
from wizard.model import Clock, Failure, Grant, GrantState, Rung
from wizard.store import Store
from wizard.validation import Validation
from wizard.watch.verdict import Verdict, judged

AT_ONCE = 5
"""Connections that are checked at the same time, for most of a check is waiting. Zoho's products
answer five calls at once of an organization in their smallest editions, and all may be of one."""

PATIENCE = 5
"""Connections in a row that could not be reached, after which their data centre is left alone."""

A_MOMENT = timedelta(seconds=10)
"""After which what another process is at may have come to its end."""

Wait = Callable[[datetime], bool]
"""Waits until a moment; False where that is too long, or somebody has put an end to it."""

See = Callable[[str, Rung], None]
"""Is given what is asked of a connection as it is asked, in whatever thread."""

Told = Callable[[Verdict], None]
"""Is given each verdict as it falls, in whatever thread."""

SoFar = Callable[[Sequence[Verdict]], None]
"""Is given the verdicts so far, before a wait."""


class Looks:
    """Looks at connections and says of each whether it works."""

    def __init__(
        self,
        store: Store,
        broker: Broker,
        validation: Validation,
        diagnosis: Diagnosis,
        clock: Clock,
    ) -> None:
        self._store = store
        self._broker = broker
        self._validation = validation
        self._diagnosis = diagnosis
        self._clock = clock

    def at(
        self,
        names: Sequence[str],
        *,
        whole: bool = False,
        need: Need = Need.VERDICT,
        wait: Wait | None = None,
        see: See = lambda _name, _rung: None,
        told: Told = lambda _verdict: None,
        so_far: SoFar = lambda _verdicts: None,
    ) -> tuple[Verdict, ...]:
        """The verdicts on connections `names`, in their order.

        `whole` climbs the whole ladder of each. `need` says how much of the budgets a new token
        may take; what a person insists on is asked once. `wait` is asked where Zoho's limits are
        in the way; without it, or where it says no, what could not be asked is left open. `so_far`
        is given what was found before each wait. Failures end in the verdicts; raises only what is
        wrong with the store.
        """
        look = _Look(self._store, self._broker, self._validation, whole, need, see, told)
        look.ask(names)
        once = need is Need.INSISTED
        if not once:
            look.ask_unreached_again()
        self._ask_witnesses(look)
        while wait is not None and not once and (until := look.open_until(self._clock())):
            so_far(look.in_order(names))
            if not wait(until):
                break
            look.ask(look.open())
            self._ask_witnesses(look)
        return look.in_order(names)

    def _ask_witnesses(self, look: "_Look") -> None:
        """Ask what tells why others died; a look that climbs the whole ladder has done so."""
        if not look.whole:
            look.ask(self._witnesses(look))

    def _witnesses(self, look: "_Look") -> list[str]:
        """Connections that were well before others of their account were found dead, and whose life
        after that tells what the death was."""
        found: dict[str, None] = {}
        for verdict in look.died:
            failure = verdict.failure
            if failure is not None:
                evidence = self._diagnosis.evidence(verdict.name, failure)
                found.update((each.connection, None) for each in useful_witnesses(evidence))
        return [name for name in found if name in look.verdicts and look.verdicts[name].works]


class _Look:
    """One look under way."""

    def __init__(
        self,
        store: Store,
        broker: Broker,
        validation: Validation,
        whole: bool,
        need: Need,
        see: See,
        told: Told,
    ) -> None:
        self._store = store
        self._broker = broker
        self._validation = validation
        self.whole = whole
        self._need = need
        self._see = see
        self._told = told
        self._lock = threading.Lock()
        self._in_a_row: Counter[str] = Counter()
        self.verdicts: dict[str, Verdict] = {}
        self.died: list[Verdict] = []
        """Verdicts on grants that were alive before this look."""

    def ask(self, names: Iterable[str]) -> None:
        """Ask about connections `names`: those that need a new token in turn for each client, the
        longest unasked first, then those whose token lives."""
        living: list[str] = []
        by_client: dict[tuple[str, str], list[str]] = defaultdict(list)
        for name in dict.fromkeys(names):
            grant = self._subject(name)
            if grant is None or self._broker.cached_token(grant) is not None:
                living.append(name)
            else:
                by_client[grant.client_id, grant.location].append(name)
        asked_at = self._store.last_refreshes() if by_client else {}
        turns = [
            sorted(each, key=lambda name: (name in asked_at, asked_at.get(name), name))
            for each in by_client.values()
        ]
        tasks = [*turns, *([name] for name in living)]
        with ThreadPoolExecutor(AT_ONCE, "look") as threads:
            try:
                for _ in threads.map(self._ask_each, tasks):
                    pass
            finally:  # after Ctrl-C, what was not begun is not begun
                threads.shutdown(wait=False, cancel_futures=True)

    def ask_unreached_again(self) -> None:
        """One that could not be reached is asked once more, and with it all of its data centre:
        a single connection that broke is no disturbance."""
        silent: dict[str, list[str]] = defaultdict(list)
        for name, verdict in self.verdicts.items():
            if verdict.unreached:
                silent[verdict.location].append(name)
        for location, (first, *others) in silent.items():
            self._in_a_row[location] = 0
            self.ask([first])
            if not self.verdicts[first].unreached:
                self.ask(others)

    def in_order(self, names: Iterable[str]) -> tuple[Verdict, ...]:
        """The verdicts so far on connections `names`."""
        return tuple(self.verdicts[name] for name in dict.fromkeys(names))

    def open(self) -> list[str]:
        """The connections that Zoho's limits kept from being asked."""
        return [name for name, verdict in self.verdicts.items() if verdict.open]

    def open_until(self, now: datetime) -> datetime | None:
        """When the first of these may be asked; None: there is none."""
        failures = (self.verdicts[name].failure for name in self.open())
        return min((each.retry_at or now + A_MOMENT for each in failures if each), default=None)

    def _subject(self, name: str) -> Grant | None:
        """The grant that a check is about: the one in use, or one that is still to be proved."""
        current, candidate = self._store.grant(name), self._store.candidate(name)
        if candidate is None:
            return current
        in_use = current is not None and current.state is GrantState.PROVED
        return current if in_use and candidate.state is GrantState.MISMATCH else candidate

    def _ask_each(self, names: Sequence[str]) -> None:
        for name in names:
            verdict = self._verdict(name)
            with self._lock:
                self.verdicts[name] = verdict
            self._told(verdict)

    def _verdict(self, name: str) -> Verdict:
        """The verdict on what is in use when it falls: a grant that was replaced meanwhile has none
        any more."""
        while True:
            grant = self._subject(name)
            if grant is None:
                return judged(name, None, (), fail("no-grant", name=name).failure)
            if silence := self._silence(grant):
                return judged(name, grant, (), silence)
            verdict = self._asked(grant)
            now = self._subject(name)
            if now is None or now.generation == grant.generation:
                self._count(grant, verdict)
                return verdict

    def _asked(self, grant: Grant) -> Verdict:
        name, rungs = grant.connection, list[Rung]()
        failure: Failure | None = None
        validation, generation, need = self._validation, grant.generation, self._need
        ask = validation.check(name, generation, need, witnessed=self._is_witnessed(grant))
        if self.whole:
            ask = validation.climb(name, generation, need)
        try:
            for rung in ask:
                rungs.append(rung)
                self._see(name, rung)
        except WizardError as error:
            failure = error.failure
        return judged(name, self._store.grant(name, grant.generation), rungs, failure)

    def _is_witnessed(self, grant: Grant) -> bool:
        """Whether another grant of the same account and client was found dead in this look."""
        with self._lock:
            died = [each.grant for each in self.died if each.grant]
        return any(_owner(each) == _owner(grant) for each in died)

    def _silence(self, grant: Grant) -> Failure | None:
        """Why a connection is not asked about: its data centre did not answer for others."""
        with self._lock:
            if self._in_a_row[grant.location] < PATIENCE:
                return None
            silent = [each for each in self.verdicts.values() if each.unreached]
        met = [each.failure for each in silent if each.location == grant.location]
        return next((replace(each, sent=False) for each in met if each), None)

    def _count(self, before: Grant, verdict: Verdict) -> None:
        with self._lock:
            if verdict.unreached:
                self._in_a_row[before.location] += 1
            elif not verdict.open:
                self._in_a_row[before.location] = 0
            if verdict.dead and before.state is not GrantState.DEAD:
                self.died.append(verdict)


def _owner(grant: Grant) -> tuple[str, str, str]:
    """The account, its data centre and the client; one that is not known is nobody else's."""
    who = grant.account.zuid if grant.account else f"? {grant.connection}"
    return who, grant.location, grant.client_id
