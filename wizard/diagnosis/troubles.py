"""One message for each cause: connections that fail together, told once.

What a cause took with it shows what it was. Tokens of one account that Zoho refuses while it knows
their clients ended at the account; those of one client alone ended with the app; a client that is
refused fails wherever it is used; a data centre that cannot be reached says nothing of any token.
What could not be asked within Zoho's limits is told beside what it most likely died with.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from wizard.diagnosis import Diagnosis
from wizard.diagnosis.patterns import (
    CLIENT_REFUSED,
    UNREACHED,
    Case,
    Group,
    Reach,
    grouped,
)
from wizard.errors import explain
from wizard.model import Clock, Failure, Finding, GrantState, RungState
from wizard.store import Overview, Store
from wizard.validation import SUSPECTED
from wizard.zoho import Zoho

ACCESS_TOKEN_LIFE = timedelta(hours=1)
"""What Zoho gives every access token; what was handed out before may work for so long."""

NEEDS_CONSENT = 3
"""The exit code of findings that a new consent mends."""

REFUSED = frozenset({SUSPECTED, f"account-{SUSPECTED}"})
OPEN = frozenset({"not-asked-yet", *REFUSED})


@dataclass(frozen=True)
class Trouble:
    """One cause, and everything that it stopped."""

    reach: Reach
    names: tuple[str, ...]
    finding: Finding
    key: str
    """Tells this cause from others of the same look."""
    marks: frozenset[str]
    """What it stopped: in which way, connection and generation. Two looks that have one of these
    in common have met the same cause, however far it has spread meanwhile."""
    email: str = ""
    """Whose sign-in mends it; empty where no sign-in does, or nobody knows whose."""
    programs: tuple[str, ...] = ()
    """The destinations that hold credentials of these connections."""
    tokens_until: datetime | None = None
    """The latest end of an access token handed out before; None: all are past it."""
    suspects: tuple[str, ...] = ()
    """Connections that it most likely stopped, too, and that could not be asked yet; of a client
    that is refused, those that stop when their last access tokens end."""

    @property
    def dead(self) -> bool:
        """Whether a new consent is needed."""
        return self.finding.exit_code == NEEDS_CONSENT

    @property
    def open(self) -> bool:
        """Whether it is no verdict: the connections could not be asked yet."""
        return self.finding.code in OPEN

    @property
    def to_repair(self) -> tuple[str, ...]:
        """The connections that a repair takes."""
        refused = self.dead or self.finding.code in REFUSED
        return (*self.names, *self.suspects) if refused else ()


class Troubles:
    """Groups what fails by its cause."""

    def __init__(self, store: Store, diagnosis: Diagnosis, zoho: Zoho, clock: Clock) -> None:
        self._store = store
        self._diagnosis = diagnosis
        self._zoho = zoho
        self._clock = clock

    def stored(self, rows: Iterable[Overview] | None = None) -> tuple[Trouble, ...]:
        """The causes of what is stored as dead or as failed in its last check; asks nobody.
        `rows` are the unsettled connections, where they were read already."""
        rows = self._store.unsettled() if rows is None else rows
        cases = ((row, self._failure(row)) for row in rows)
        return self._told(
            [Case(row.connection, row.grant, failure) for row, failure in cases if failure]
        )

    def of(
        self, failures: Mapping[str, Failure], well: Collection[str] = ()
    ) -> tuple[Trouble, ...]:
        """The causes of `failures`, by connection, as a check has just met them; connections `well`
        worked in the same check."""
        rows = self._store.overview(failures)
        cases = [Case(row.connection, row.grant, failures[row.connection.name]) for row in rows]
        silent = {case.location for case in cases if case.code in UNREACHED}
        others = self._store.overview(well) if silent and well else ()
        return self._told(cases, {row.grant.location for row in others if row.grant})

    def _failure(self, row: Overview) -> Failure | None:
        grant = row.grant or row.candidate
        if grant is None or grant.state is GrantState.REVOKED:
            return None
        if grant.state is GrantState.DEAD:
            return grant.failure or Failure("grant-dead")
        receipt = self._store.receipt(grant.connection, grant.generation)
        if not row.check_failed or receipt is None:
            return None
        failed = (rung.failure for rung in receipt.rungs if rung.state is RungState.FAILED)
        return next(failed, None) or Failure("unknown")

    def _told(self, cases: list[Case], answered: Collection[str] = ()) -> tuple[Trouble, ...]:
        """The causes of `cases`; the data centres `answered` have done so for other connections."""
        groups = grouped(cases, self._client_alone)
        last = self._store.last_refreshes() if groups else {}
        programs = defaultdict(list)
        for each in self._store.destinations() if groups else ():
            programs[each.connection].append(each.target)
        told = [self._trouble(group, last, programs, answered) for group in groups]
        return tuple(sorted(told, key=lambda each: (not each.dead, -len(each.names), each.names)))

    def _client_alone(self, case: Case) -> bool:
        """Whether another client's token of the same account lives: then not the account ended
        these."""
        found = self._diagnosis.finding(case.name, case.failure)
        return any(each.code == "password-changed" for each in found.ruled_out)

    def _trouble(
        self,
        group: Group,
        last: Mapping[str, datetime],
        programs: Mapping[str, list[str]],
        answered: Collection[str],
    ) -> Trouble:
        first = group.cases[0]
        finding = self._finding(group, answered)
        met = [each.name for each in group.everything]
        suspects = [each.name for each in group.suspects]
        if first.code in CLIENT_REFUSED:
            users = self._store.users_of(first.client_id, first.location)
            suspects = [name for name in users if name not in met]
        ends = [last[name] + ACCESS_TOKEN_LIFE for name in (*met, *suspects) if name in last]
        signs_in = finding.exit_code == NEEDS_CONSENT or first.code == SUSPECTED
        targets = (each for name in met for each in programs.get(name, ()))
        return Trouble(
            reach=Reach.CONNECTION if group.alone else group.reach,
            names=tuple(case.name for case in group.cases),
            finding=finding,
            key=group.key,
            marks=frozenset(case.mark for case in group.everything),
            email=first.email if signs_in else "",
            programs=tuple(dict.fromkeys(targets)),
            tokens_until=max((end for end in ends if end > self._clock()), default=None),
            suspects=tuple(suspects),
        )

    def _finding(self, group: Group, answered: Collection[str]) -> Finding:
        """The words for all of `group`, above what may be behind the first of it."""
        first, code = group.cases[0], group.code
        own = self._diagnosis.finding(first.name, first.failure)
        if not code:
            return own
        if group.reach is Reach.DATA_CENTRE and first.location in answered:
            code = "data-centre-partly-unreached"
        met = replace(first.failure, code=code, details=self._details(group, own))
        known = explain(met, self._clock())
        return replace(
            own,
            code=code,
            title=known.title,
            cause=known.cause,
            remedy=own.remedy if first.code in CLIENT_REFUSED else known.remedy,
            steps=known.steps,
            exit_code=known.exit_code,
        )

    def _details(self, group: Group, own: Finding) -> dict[str, str]:
        first, count = group.cases[0], len(group.cases)
        place = self._zoho.data_centre(first.location).name if first.location else "Zoho"
        return {
            "connections": f"{count} connection{'s' if count > 1 else ''}",
            "tokens": "their refresh tokens" if count > 1 else "its refresh token",
            "names": " ".join(each.name for each in group.everything),
            "email": first.email,
            "client": self._store.client(first.client_id).name,
            "client_id": first.client_id,
            "data_centre": place,
            "reason": own.title,
        }
